/*
 * timeout.c - blocks once, with a timeout of so many milliseconds, and must get to its end.
 *
 * Usage: timeout CALL MILLISECONDS. How long it took is the test's to measure: the program may have
 * been through an image in between.
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include "tests/targets/target.h"

static const struct timespec *interval(long milliseconds)
{
    static struct timespec time;

    time = (struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000};
    return &time;
}

static int block(const char *call, int milliseconds)
{
    const struct timespec *time = interval(milliseconds);
    struct epoll_event event;
    struct timespec rem;
    int word = 0;

    if (!strcmp(call, "poll"))
        return poll(NULL, 0, milliseconds);
    if (!strcmp(call, "epoll_wait"))
        return epoll_wait(epoll_create1(0), &event, 1, milliseconds);
    if (!strcmp(call, "nanosleep"))
        return (int)syscall(SYS_nanosleep, time, NULL);
    if (!strcmp(call, "nanosleep_rem"))
        return (int)syscall(SYS_nanosleep, time, &rem);
    if (!strcmp(call, "clock_nanosleep"))
        return (int)syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, time, NULL);
    if (!strcmp(call, "clock_nanosleep_rem"))
        return (int)syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, time, &rem);
    if (!strcmp(call, "futex"))
        return syscall(SYS_futex, &word, 128 /* FUTEX_WAIT | FUTEX_PRIVATE_FLAG */, 0, time, NULL,
                       0) < 0 &&
                       errno == ETIMEDOUT
                   ? 0
                   : -1;
    cannot(call);
    return -1;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        cannot("usage");
    ready();
    CHECK(block(argv[1], atoi(argv[2])) == 0, "%s: %s", argv[1], strerror(errno));
    return finish();
}
