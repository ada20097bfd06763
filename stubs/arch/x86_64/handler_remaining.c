/*
 * handler_remaining.c - x86-64: the time that an interrupted call still has: see stubs/reissue.h.
 *
 * Only registers are changed. A timeout that stands in the program's memory is const to it, so the
 * register is pointed at a copy of ours; at most at calls with a restart block, which the kernel
 * never reads the timeout of again, so that nothing refers to our memory once the library is gone.
 * The copy is one: only for the thread that the tool watched is more known than what the kernel has
 * written to `rem` (reissue.h).
 */
#include <linux/futex.h>
#include <sys/uio.h>
#include <time.h>

#include "stubs/raw.h"
#include "stubs/reissue.h"

#define SECOND 1000000000ULL

static struct timespec remaining;

/* An int of milliseconds; negative: for ever. */
static void shorten_milliseconds(greg_t *timeout, uint64_t elapsed)
{
    int left = (int)*timeout;
    uint64_t gone = elapsed / 1000000;
    if (left > 0)
        *timeout = gone < (uint64_t)left ? left - (int)gone : 0;
}

static void subtract(struct timespec *from, uint64_t elapsed)
{
    time_t seconds = (time_t)(elapsed / SECOND);
    long rest = (long)(elapsed % SECOND);
    from->tv_sec -= seconds + (from->tv_nsec < rest);
    from->tv_nsec += from->tv_nsec < rest ? (long)SECOND - rest : -rest;
    if (from->tv_sec < 0)
        *from = (struct timespec){0, 0};
}

static void shorten_interval(greg_t *pointer, uint64_t elapsed)
{
    struct iovec here = {&remaining, sizeof remaining},
                 there = {(void *)*pointer, sizeof remaining};
    if (!elapsed || !*pointer ||
        raw(SYS_process_vm_readv, raw(SYS_getpid), &here, 1, &there, 1, 0) !=
            (long)sizeof remaining)
        return;
    subtract(&remaining, elapsed);
    *pointer = (greg_t)&remaining;
}

/* The kernel has written what remains to the program's own `rem` where it gave one. */
static void shorten_sleep(greg_t *request, greg_t rem, uint64_t elapsed)
{
    if (rem)
        *request = rem;
    else
        shorten_interval(request, elapsed);
}

static int is_wall_clock(greg_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME;
}

void reissue_shorten(greg_t *g, long number, uint64_t elapsed)
{
    switch (number) {
    case SYS_poll:
        shorten_milliseconds(&g[REG_RDX], elapsed);
        break;
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
        shorten_milliseconds(&g[REG_R10], elapsed);
        break;
    case SYS_nanosleep:
        shorten_sleep(&g[REG_RDI], g[REG_RSI], elapsed);
        break;
    case SYS_clock_nanosleep:
        if (!(g[REG_RSI] & TIMER_ABSTIME) && (g[REG_R10] || is_wall_clock(g[REG_RDI])))
            shorten_sleep(&g[REG_RDX], g[REG_R10], elapsed);
        break;
    case SYS_futex:
        if ((g[REG_RSI] & FUTEX_CMD_MASK) == FUTEX_WAIT)
            shorten_interval(&g[REG_R10], elapsed);
        break;
    }
}
