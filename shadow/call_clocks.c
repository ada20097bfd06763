/* call_clocks.c - moments of clocks that are not the same here and where the program is: see
 * call.h. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "shadow/call.h"
#include "stubs/wire.h"

#define SECOND 1000000000LL
#define SAME   10000000LL /* of a clock that is the same for both: what a request may take */

/* By how much our clock is ahead of the program's, in nanoseconds: longer by the time that the
 * request took, so that nothing comes too early. */
static int64_t ahead(clockid_t clock, uint64_t theirs)
{
    struct timespec now;
    clock_gettime(clock, &now);
    uint64_t ours = (uint64_t)(now.tv_sec * SECOND + now.tv_nsec);
    return theirs ? (int64_t)(ours - theirs) : 0;
}

static bool differs(int64_t ahead)
{
    return ahead < 0 || ahead >= SAME;
}

static int read_clock(int number)
{
    char path[64], text[512], *at;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", number);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[size > 0 ? size : 0] = 0;
    return (at = strstr(text, "clockid: ")) ? atoi(at + 9) : -1;
}

/* The clock of a timerfd; -1: it is none. */
static int clock_of(int number)
{
    pthread_rwlock_wrlock(&executor.numbers);
    setrlimit(RLIMIT_NOFILE, &executor.open);
    int clock = read_clock(number);
    setrlimit(RLIMIT_NOFILE, &executor.closed);
    pthread_rwlock_unlock(&executor.numbers);
    return clock;
}

/* What the kernel refuses or takes for "never" stays as it is; what is past is past. */
static void move(struct timespec *t, int64_t by)
{
    int64_t moved;
    if (t->tv_sec < 0 || t->tv_nsec < 0 || t->tv_nsec >= SECOND || !(t->tv_sec || t->tv_nsec) ||
        t->tv_sec > INT64_MAX / SECOND / 2)
        return;
    if (__builtin_add_overflow(t->tv_sec * SECOND + t->tv_nsec, by, &moved) || moved <= 0)
        moved = 1;
    *t = (struct timespec){moved / SECOND, moved % SECOND};
}

void call_clocks(struct plan *p)
{
    struct itimerspec timer;
    int64_t monotonic = ahead(CLOCK_MONOTONIC, p->request.args[WIRE_MONOTONIC]),
            boottime = ahead(CLOCK_BOOTTIME, p->request.args[WIRE_BOOTTIME]);
    if (!(p->args[1] & TFD_TIMER_ABSTIME) || !decode_has(p, 2) ||
        !(differs(monotonic) || differs(boottime)))
        return;
    int clock = clock_of((int)p->args[0]);
    void *at = (void *)p->args[2];
    memcpy(&timer, at, sizeof timer);
    if (clock == CLOCK_MONOTONIC)
        move(&timer.it_value, monotonic);
    else if (clock == CLOCK_BOOTTIME || clock == CLOCK_BOOTTIME_ALARM)
        move(&timer.it_value, boottime);
    memcpy(at, &timer, sizeof timer);
}
