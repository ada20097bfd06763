/* wait.c - waiting for descriptors. */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "surface.h"

static const struct timespec at_once, brief = {0, 1000000}, wrong = {0, -1};

static void show_polled(const struct pollfd *p, int count)
{
    for (int i = 0; i < count; i++)
        show("    %d: %x", p[i].fd, p[i].revents);
}

static void polling(void)
{
    int a[2], b[2];
    uint64_t mask = 1ull << (SIGUSR1 - 1);
    if (pipe(a) || pipe(b) || write(a[1], "x", 1) != 1)
        return;
    struct pollfd p[] = {{a[0], POLLIN, 7}, {a[1], POLLOUT, 7}, {b[0], POLLIN, 7},
                         {999, POLLIN, 7},  {-5, POLLIN, 7},    {5000000, POLLIN, 0}};
    CALL(poll, p, 6, -1);
    show_polled(p, 6);
    CALL(poll, p + 2, 1, 0);
    CALL(poll, p + 2, 1, 3);
    CALL(poll, NULL, 0, 1);
    CALL(poll, NULL, 1, 0);
    CALL(poll, BAD, 1, 0);
    CALL(poll, p, 10000000, 0);
    CALL(ppoll, p, 3, &at_once, NULL, 8);
    show_polled(p, 3);
    CALL(ppoll, p + 2, 1, &brief, NULL, 8);
    CALL(ppoll, p + 2, 1, &brief, &mask, 8);
    CALL(ppoll, p + 2, 1, &brief, &mask, 7);
    CALL(ppoll, p + 2, 1, &brief, BAD, 8);
    CALL(ppoll, p + 2, 1, BAD, NULL, 8);
    CALL(ppoll, p + 2, 1, &wrong, NULL, 8);
    CALL(close, b[1]);
    CALL(poll, p + 2, 1, -1);
    show_polled(p + 2, 1);
}

static void only(fd_set *set, int fd)
{
    FD_ZERO(set);
    FD_SET(fd, set);
}

static void show_set(const char *what, fd_set *set)
{
    char text[128] = "";
    for (int i = 0; i < 64; i++)
        if (FD_ISSET(i, set))
            snprintf(text + strlen(text), sizeof text - strlen(text), " %d", i);
    show("    %s:%s", what, text);
}

static void sets(void)
{
    int a[2], b[2];
    fd_set in, out, except;
    struct timeval limit = {0, 1000}, wrong_limit = {0, -1};
    if (pipe(a) || pipe(b) || write(a[1], "x", 1) != 1)
        return;
    for (int i = 0; i < 2; i++) {
        only(&in, a[0]), only(&out, a[1]), only(&except, a[0]);
        FD_SET(b[0], &in);
        if (i)
            CALL(pselect6, b[1] + 1, &in, &out, &except, NULL, NULL);
        else
            CALL(select, b[1] + 1, &in, &out, &except, NULL);
        show_set("in", &in), show_set("out", &out), show_set("except", &except);
    }
    only(&in, b[0]);
    CALL(select, b[0] + 1, &in, NULL, NULL, &limit);
    show("    left %ld.%06ld", (long)limit.tv_sec, (long)limit.tv_usec);
    show_set("in", &in);
    CALL(select, -1, &in, NULL, NULL, &limit);
    CALL(select, 0, NULL, NULL, NULL, &limit);
    CALL(select, 5, BAD, NULL, NULL, &limit);
    CALL(select, 5, NULL, NULL, NULL, &wrong_limit);
    CALL(select, 5, NULL, NULL, NULL, BAD);
    only(&in, 60);
    CALL(select, 61, &in, NULL, NULL, &limit);
    CALL(select, 1000000, NULL, NULL, NULL, &limit);
    struct timespec t = brief;
    only(&in, b[0]);
    CALL(pselect6, b[0] + 1, &in, NULL, NULL, &t, NULL);
    show("    left %ld.%09ld", (long)t.tv_sec, t.tv_nsec);
    CALL(pselect6, b[0] + 1, &in, NULL, NULL, &at_once, BAD);
    CALL(pselect6, b[0] + 1, &in, NULL, NULL, &wrong, NULL);
    const uint64_t mask = 0;
    const uint64_t pair[2] = {(uintptr_t)&mask, 7}, far[2] = {(uintptr_t)BAD, 8};
    CALL(pselect6, b[0] + 1, &in, NULL, NULL, &at_once, pair);
    CALL(pselect6, b[0] + 1, &in, NULL, NULL, &at_once, far);
}

/* As many as may be open, for which no program has a set: the kernel looks at what its own table
 * has room for, and writes no more. */

static struct {
    fd_set set;
    unsigned char behind[4096];
} narrow;

static void narrow_sets(void)
{
    int a[2];
    struct timeval limit = {0, 1000};
    struct timespec t = brief;
    if (by_function || pipe(a) || write(a[1], "x", 1) != 1) /* it has a large table then */
        return;
    for (int i = 0; i < 3; i++) {
        memset(&narrow, 0xee, sizeof narrow);
        only(&narrow.set, i == 2 ? a[1] : a[0]);
        if (i)
            CALL(pselect6, INT32_MAX, &narrow.set, NULL, NULL, &t, NULL);
        else
            CALL(select, MANY, &narrow.set, NULL, NULL, &limit);
        show_bytes("set and what is behind it", &narrow, sizeof narrow);
    }
}

/* ... which has grown. It never shrinks, so this comes last. */
static void wide_sets(void)
{
    int a[2];
    struct timeval limit = {0, 1000};
    struct timespec t = brief;
    if (!by_function || pipe(a) || write(a[1], "x", 1) != 1)
        return;
    int high = (int)CALL(fcntl, a[0], F_DUPFD, 2500);
    unsigned char *bits = (unsigned char *)&narrow;
    for (int i = 0; i < 2 && high > 0; i++) {
        memset(&narrow, 0, sizeof narrow);
        memset(bits + 512, 0xee, sizeof narrow - 512);
        bits[high / 8] |= (unsigned char)(1 << high % 8);
        bits[2000 / 8] |= (unsigned char)i; /* is not open */
        CALL(pselect6, MANY, &narrow, NULL, NULL, &t, NULL);
        show_bytes("sets and what is behind them", &narrow, sizeof narrow);
        CALL(select, high + 1, &narrow, NULL, NULL, &limit);
    }
}

static void show_ready(const struct epoll_event *e, long count)
{
    for (long i = 0; i < count; i++)
        show("    event %x data %ld", e[i].events, (long)e[i].data.u64);
}

static void queues(void)
{
    int a[2], b[2], q = CALL(epoll_create1, O_CLOEXEC);
    uint64_t mask = 0;
    struct epoll_event got[8], in = {EPOLLIN, {.u64 = 123456789012}}, out = {EPOLLOUT, {.u64 = 2}};
    CALL(epoll_create1, 77);
    CALL(epoll_create, 1);
    CALL(epoll_create, 0);
    if (pipe(a) || pipe(b) || write(a[1], "x", 1) != 1)
        return;
    CALL(epoll_ctl, q, EPOLL_CTL_ADD, a[0], &in);
    CALL(epoll_ctl, q, EPOLL_CTL_ADD, a[0], &in);
    CALL(epoll_ctl, q, EPOLL_CTL_ADD, 0, &in);
    CALL(epoll_ctl, q, EPOLL_CTL_ADD, q, &in);
    CALL(epoll_ctl, q, EPOLL_CTL_ADD, a[1], BAD);
    CALL(epoll_ctl, q, EPOLL_CTL_ADD, a[1], NULL);
    CALL(epoll_ctl, q, 77, a[1], &out);
    CALL(epoll_ctl, q, EPOLL_CTL_MOD, a[1], &out);
    CALL(epoll_ctl, 0, EPOLL_CTL_ADD, a[1], &out);
    show_ready(got, CALL(epoll_wait, q, got, 8, -1));
    CALL(epoll_ctl, q, EPOLL_CTL_ADD, a[1], &out);
    show_ready(got, CALL(epoll_wait, q, got, 1, 0));
    show_ready(got, CALL(epoll_pwait, q, got, 8, 0, NULL, 8));
    show_ready(got, CALL(epoll_pwait, q, got, 8, 0, &mask, 8));
    CALL(epoll_pwait, q, got, 8, 0, &mask, 7);
    CALL(epoll_pwait, q, got, 8, 0, BAD, 8);
    show_ready(got, CALL(epoll_pwait2, q, got, 8, &at_once, NULL, 8));
    CALL(epoll_pwait2, q, got, 8, BAD, NULL, 8);
    CALL(epoll_pwait2, q, got, 8, &wrong, NULL, 8);
    CALL(epoll_wait, q, got, 0, 0);
    CALL(epoll_wait, q, got, -1, 0);
    CALL(epoll_wait, q, BAD, 8, 0);
    CALL(epoll_wait, 0, got, 8, 0);
    CALL(epoll_wait, -1, got, 8, 0);
    CALL(epoll_wait, q, got, 1 << 30, 0);
    CALL(epoll_ctl, q, EPOLL_CTL_DEL, a[1], NULL);
    CALL(epoll_ctl, q, EPOLL_CTL_DEL, a[1], NULL);
    CALL(epoll_ctl, q, EPOLL_CTL_DEL, a[0], BAD);
    CALL(epoll_wait, q, got, 8, 1);
    CALL(epoll_pwait2, q, got, 8, &brief, NULL, 8);
}

const struct surface_case wait_cases[] = {
    {"poll", polling},
    {"select", sets},
    {"select of more than a set has", narrow_sets},
    {"epoll", queues},
    {"select of high numbers", wide_sets},
    {NULL, NULL},
};
