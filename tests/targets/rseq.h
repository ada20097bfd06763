/*
 * rseq.h - is this thread's restartable-sequence area still the kernel's?
 *
 * The C library keeps the number of the CPU there, written by the kernel; what it was at the
 * checkpoint may well be right by chance. So the thread goes from CPU to CPU, and registers the
 * area once more, which the kernel refuses where it is.
 */
#ifndef TARGETS_RSEQ_H
#define TARGETS_RSEQ_H

#include <sched.h>
#include <sys/syscall.h>

#include "tests/targets/target.h"

#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>

/* rseq(2) for libc's area: 0 registers it, 1 (RSEQ_FLAG_UNREGISTER) undoes that. Nothing, when libc
 * has not registered it. */
static inline long call_rseq(int flags)
{
    char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
    return __rseq_size ? syscall(SYS_rseq, area, 32, flags, RSEQ_SIG) : 0;
}

static void check_cpus(void)
{
    cpu_set_t one;
    unsigned cpu = 0;

    for (int n = 0; n < CPU_SETSIZE; n++) {
        CPU_ZERO(&one);
        CPU_SET(n, &one);
        if (sched_setaffinity(0, sizeof one, &one))
            continue; /* there is no such CPU, or not for us */
        syscall(SYS_getcpu, &cpu, NULL, NULL);
        CHECK(sched_getcpu() == (int)cpu, "sched_getcpu() says %d, not %u (rseq)", sched_getcpu(),
              cpu);
    }
}

static void check_rseq(void)
{
    if (!__rseq_size)
        return;
    long result = call_rseq(0);
    CHECK(result < 0 && errno == EBUSY, "rseq: %s", result ? strerror(errno) : "not registered");
    check_cpus();
}
#else /* a C library that does not register one */
static inline long call_rseq(int flags)
{
    return flags * 0;
}

static void check_rseq(void)
{
}
#endif

#endif
