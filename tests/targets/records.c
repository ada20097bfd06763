/*
 * records.c - numbered records by every way of I/O that could lose, double or reorder one.
 *
 * Usage: records FEED. Each round appends records to three files - write to one opened with
 * O_APPEND, pwrite, writev - of sizes from 16 bytes to more than a frame of remote I/O takes, and
 * reads the newest again; reads FEED, a pipe into which somebody writes the numbers 0, 1, 2, ... of
 * 8 bytes each; sends itself a datagram and takes it; passes bytes through a pipe of its own that
 * poll() tells of. At the end it reads the files again: each record stands there once, in order,
 * with nothing between.
 *
 * From when there is a file "go", a timer comes every millisecond, with SA_RESTART in every second
 * round; its handler writes a numbered record itself. In every tenth round a read of a pipe that
 * stays empty is left by siglongjmp out of the handler.
 */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "tests/targets/target.h"

#define LARGE (320 << 10)
#define WAYS  4

enum { APPEND, AT, VECTOR, HANDLER };
static const char *const names[WAYS] = {"append", "at", "vector", "handler"};
static int file[WAYS], feed, own[2], empty[2], datagrams[2];
static uint64_t next[WAYS], position, fed;
static volatile sig_atomic_t jump;
static sigjmp_buf out;
static unsigned char buffer[LARGE], again[LARGE];

/* A record: its number, its size, then bytes that follow from both. */
static void fill(uint64_t number, uint64_t size)
{
    memcpy(buffer, &number, 8);
    memcpy(buffer + 8, &size, 8);
    for (uint64_t i = 16; i < size; i++)
        buffer[i] = (unsigned char)(number * 31 + i * 7 + (i >> 8));
}

static uint64_t size_of(uint64_t number)
{
    static const uint64_t sizes[] = {16, 17, 64, 1000, 4096, 16, 70000, 100, 24, 262143, 31, LARGE};
    return sizes[number % (sizeof sizes / sizeof *sizes)];
}

/* Goes on where a call stopped short, or was interrupted before it began. */
static void write_all(int way, uint64_t size)
{
    for (uint64_t done = 0; done < size;) {
        struct iovec parts[2] = {
            {buffer + done, (size - done) / 3},
            {buffer + done + (size - done) / 3, size - done - (size - done) / 3}};
        ssize_t part = way == AT ? pwrite(file[way], buffer + done, size - done, (off_t)position)
                       : way == VECTOR ? writev(file[way], parts, 2)
                                       : write(file[way], buffer + done, size - done);
        if (part < 0 && errno != EINTR) {
            differs("%s: record %llu: %s", names[way], (unsigned long long)next[way],
                    strerror(errno));
            return;
        }
        done += part > 0 ? (uint64_t)part : 0;
        position += way == AT && part > 0 ? (uint64_t)part : 0;
    }
}

/* The record that ends where the file ends now. */
static void read_again(int way, uint64_t size, off_t end)
{
    for (uint64_t done = 0; done < size;) {
        ssize_t part = pread(file[way], again + done, size - done, end - (off_t)(size - done));
        if (part <= 0 && errno != EINTR) {
            differs("%s: reading: %s", names[way], strerror(errno));
            return;
        }
        done += part > 0 ? (uint64_t)part : 0;
    }
    CHECK(!memcmp(again, buffer, size), "%s: record %llu reads as another", names[way],
          (unsigned long long)next[way]);
}

static void add(int way)
{
    struct stat st;
    uint64_t size = size_of(next[way]);
    fill(next[way], size);
    write_all(way, size);
    CHECK(fstat(file[way], &st) == 0, "fstat: %s", strerror(errno));
    read_again(way, size, st.st_size);
    next[way]++;
}

static void on_tick(int signal)
{
    int saved = errno;
    (void)signal;
    uint64_t number = next[HANDLER]++;
    CHECK(write(file[HANDLER], &number, 8) == 8, "in the handler: %s", strerror(errno));
    errno = saved;
    if (jump) {
        jump = 0;
        siglongjmp(out, 1);
    }
}

static void set_timer(int restarts)
{
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = restarts ? SA_RESTART : 0};
    if (sigaction(SIGALRM, &action, NULL))
        cannot("sigaction");
}

static void read_feed(void)
{
    static uint64_t numbers[256];
    static size_t have;
    ssize_t got = read(feed, (char *)numbers + have, sizeof numbers - have);
    if (got <= 0) {
        CHECK(got < 0 && errno == EINTR, "feed: %s", got ? strerror(errno) : "end of file");
        return;
    }
    have += (size_t)got;
    for (size_t i = 0; i < have / 8; i++, fed++)
        if (numbers[i] != fed) {
            differs("feed: %llu instead of %llu", (unsigned long long)numbers[i],
                    (unsigned long long)fed);
            fed = numbers[i];
        }
    memmove(numbers, numbers + have / 8, have % 8);
    have %= 8;
}

static void pass_datagram(uint64_t number)
{
    uint64_t got = 0;
    ssize_t size;
    while ((size = send(datagrams[0], &number, 8, 0)) < 0 && errno == EINTR)
        ;
    CHECK(size == 8, "send: %s", strerror(errno));
    while ((size = recv(datagrams[1], &got, 8, 0)) < 0 && errno == EINTR)
        ;
    CHECK(size == 8 && got == number, "datagram %llu came for %llu", (unsigned long long)got,
          (unsigned long long)number);
    size = recv(datagrams[1], &got, 8, MSG_DONTWAIT);
    CHECK(size < 0 && errno == EAGAIN, "datagram %llu came twice", (unsigned long long)number);
}

static void pass_pipe(uint64_t number)
{
    uint64_t got = 0;
    struct pollfd polled = {own[0], POLLIN, 0};
    ssize_t size;
    while ((size = write(own[1], &number, 8)) < 0 && errno == EINTR)
        ;
    while (poll(&polled, 1, -1) < 0 && errno == EINTR)
        ;
    CHECK(polled.revents == POLLIN, "poll: events %d", polled.revents);
    while ((size = read(own[0], &got, 8)) < 0 && errno == EINTR)
        ;
    CHECK(size == 8 && got == number, "pipe: %llu came for %llu", (unsigned long long)got,
          (unsigned long long)number);
    while ((size = poll(&polled, 1, 0)) < 0 && errno == EINTR)
        ;
    CHECK(size == 0, "pipe: %llu came twice", (unsigned long long)number);
}

/* The read blocks until the handler leaves it. */
static void leave_by_jump(void)
{
    char byte;
    if (sigsetjmp(out, 1) == 0) {
        jump = 1;
        while (read(empty[0], &byte, 1) < 0 && errno == EINTR)
            ;
        differs("a read of an empty pipe came back");
    }
}

static void check_file(int way)
{
    struct stat st;
    off_t at = 0;
    for (uint64_t n = 0; n < next[way]; n++) {
        uint64_t size = way == HANDLER ? 8 : size_of(n);
        ssize_t part = pread(file[way], again, size, at);
        fill(n, size);
        if (part != (ssize_t)size || memcmp(again, buffer, size)) {
            differs("%s: record %llu of %llu is not there: %llu stands at %lld", names[way],
                    (unsigned long long)n, (unsigned long long)next[way],
                    *(unsigned long long *)again, (long long)at);
            return;
        }
        at += (off_t)size;
    }
    CHECK(fstat(file[way], &st) == 0 && st.st_size == at, "%s: %lld bytes instead of %lld",
          names[way], (long long)st.st_size, (long long)at);
}

static void set_up(const char *path)
{
    for (int way = 0; way < WAYS; way++) {
        int flags = way == APPEND || way == HANDLER ? O_APPEND : 0;
        file[way] = open(names[way], O_RDWR | O_CREAT | O_TRUNC | flags, 0644);
        if (file[way] < 0)
            cannot(names[way]);
    }
    feed = open(path, O_RDONLY);
    if (feed < 0 || pipe(own) || pipe(empty) || socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams))
        cannot(path);
}

int main(int argc, char **argv)
{
    const struct itimerval tick = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    uint64_t round = 0;
    int ticking = 0;

    set_up(argc > 1 ? argv[1] : "feed");
    ready();
    do {
        set_timer(round % 2 == 0);
        for (int way = 0; way < HANDLER; way++)
            add(way);
        read_feed();
        pass_datagram(round);
        pass_pipe(round);
        if (round++ % 10 == 9 && ticking)
            leave_by_jump();
        if (!ticking && access("go", F_OK) == 0)
            ticking = setitimer(ITIMER_REAL, &tick, NULL) == 0;
    } while (!differences && !stop_asked());
    setitimer(ITIMER_REAL, &never, NULL);
    for (int way = 0; way < WAYS; way++)
        check_file(way);
    printf("%llu rounds, %llu ticks, %llu of the feed\n", (unsigned long long)round,
           (unsigned long long)next[HANDLER], (unsigned long long)fed);
    return finish();
}
