/*
 * lock.h - a lock between threads, for code that runs with all signals blocked: futex(2). It is an
 * int that is 0 when free; never held across a checkpoint.
 */
#ifndef STUBS_LOCK_H
#define STUBS_LOCK_H

#include <linux/futex.h>

#include "stubs/raw.h"

static inline void lock_take(int *lock)
{
    int state = 0;
    if (__atomic_compare_exchange_n(lock, &state, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return;
    while (__atomic_exchange_n(lock, 2, __ATOMIC_ACQUIRE)) /* 2: somebody waits */
        raw(SYS_futex, lock, FUTEX_WAIT, 2, 0);
}

static inline void lock_release(int *lock)
{
    if (__atomic_exchange_n(lock, 0, __ATOMIC_RELEASE) == 2)
        raw(SYS_futex, lock, FUTEX_WAKE, 1);
}

#endif
