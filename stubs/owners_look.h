/*
 * owners_look.h - what a held lock of a C library looks like (glibc's bits/struct_mutex.h and
 * bits/struct_rwlock.h, the same since 2.25; musl's pthread_impl.h).
 *
 * All take the first word of what may be a lock, as many words as it has, and in `threads` the most
 * that can wait for it. Every word must be as the library leaves it. Mutexes whose owner nobody
 * asks for - the normal and the adaptive ones, which look like any numbers and zeros - are not
 * looked for. Still a look is no proof: see owners.h.
 */
#ifndef STUBS_OWNERS_LOOK_H
#define STUBS_OWNERS_LOOK_H

#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stubs/mem.h"

#define OWNERS_COUNT_MAX (1u << 16) /* of recursive locks, and of waiters */

/* --- glibc's mutex: lock, count, owner, users, kind, elision, two links --- */

#define OWNERS_MUTEX       10 /* words */
#define OWNERS_MUTEX_OWNER 2  /* index of the word that names the owner */
#define OWNERS_MUTEX_KIND  4
#define OWNERS_CONTENDED   2 /* the lock word, when somebody waits; but for the two last kinds */
#define OWNERS_TYPE        3u
#define OWNERS_RECURSIVE   1u
#define OWNERS_CHECKED     2u
#define OWNERS_ROBUST      16u
#define OWNERS_INHERIT     32u
#define OWNERS_KINDS       0x3b3u /* with PSHARED 128 and the two of elision */

/* `users` is who holds it and who waits for a condition. */
static inline bool owners_mutex(const uint32_t *w, uint32_t threads)
{
    uint32_t lock = w[0], count = w[1], owner = w[2], users = w[3], kind = w[4], elision = w[5];
    uint64_t links[2];
    memcpy(links, w + 6, sizeof links);
    if (kind & ~OWNERS_KINDS || !users || users > threads + 1 || count >= OWNERS_COUNT_MAX ||
        elision)
        return false;
    if (kind & OWNERS_ROBUST)
        return (lock & FUTEX_TID_MASK) == owner && links[0] && links[1];
    if (links[0] || links[1])
        return false;
    if (kind & OWNERS_INHERIT)
        return (lock & FUTEX_TID_MASK) == owner;
    return (lock == 1 || lock == 2) && ((kind & OWNERS_TYPE) == OWNERS_RECURSIVE
                                            ? count > 0
                                            : (kind & OWNERS_TYPE) == OWNERS_CHECKED && !count);
}

/* --- glibc's rwlock, held for writing: readers, writers, two futexes, ..., writer, ... --- */

#define OWNERS_RWLOCK       13
#define OWNERS_RWLOCK_OWNER 6
#define OWNERS_WRITE_PHASE  3u /* of the readers: phase and lock bit, */
#define OWNERS_READERS      3  /* and by so many bits higher, how many wait */
#define OWNERS_FUTEX_USED   2u /* of its futexes, which are 1 in a write phase */
#define OWNERS_RWLOCK_KINDS 2u

static inline bool owners_rwlock(const uint32_t *w, uint32_t threads)
{
    return (w[0] & OWNERS_WRITE_PHASE) == OWNERS_WRITE_PHASE && w[0] >> OWNERS_READERS <= threads &&
           w[1] <= threads && (w[2] & ~OWNERS_FUTEX_USED) == 1 &&
           (w[3] & ~OWNERS_FUTEX_USED) == 1 && !w[4] && !w[5] && w[7] <= 1 && !w[8] && !w[9] &&
           !w[10] && !w[11] && w[12] <= OWNERS_RWLOCK_KINDS;
}

/* --- musl's mutex: type, lock (which names the owner), waiters, ..., count, two links --- */

#define OWNERS_MUSL       10
#define OWNERS_MUSL_OWNER 1
#define OWNERS_MUSL_TYPES 0x8fu /* type, robust 4, inheriting 8, shared 128 */
#define OWNERS_MUSL_ASKED 0xfu  /* types whose owner is asked for */

static inline bool owners_musl(const uint32_t *w)
{
    uint64_t links[2];
    memcpy(links, w + 6, sizeof links);
    return !(w[0] & ~OWNERS_MUSL_TYPES) && w[0] & OWNERS_MUSL_ASKED && w[2] < OWNERS_COUNT_MAX &&
           !w[3] && !w[4] && w[5] < OWNERS_COUNT_MAX && links[0] && !(links[0] & 7) && links[1] &&
           !(links[1] & 7);
}

#endif
