/* owners.c - see owners.h. */
#include <errno.h>

#include "stubs/agent.h"
#include "stubs/entry.h"
#include "stubs/owners.h"
#include "stubs/owners_look.h"
#include "stubs/raw.h"
#include "stubs/remote.h"

#define PATIENCE 1000
#define NOBODY   0x3ffffffe /* no thread's id: the kernel's are smaller */

struct owners owners;

/* --- one word --- */

ENTRY_LOCK_CODE int owners_change(uint64_t address, int32_t then, int32_t now)
{
    uint32_t *word = (uint32_t *)address, is = __atomic_load_n(word, __ATOMIC_RELAXED);
    while ((int32_t)(is & FUTEX_TID_MASK) == then)
        if (__atomic_compare_exchange_n(word, &is, (is & ~(uint32_t)FUTEX_TID_MASK) | (uint32_t)now,
                                        0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            return 1;
    return 0;
}

ENTRY_LOCK_CODE static void change(struct owners_entry *e, int32_t then)
{
    int32_t now;
    do { /* a restart between reading and writing has numbered it anew */
        now = __atomic_load_n(&e->now, __ATOMIC_ACQUIRE);
        owners_change(e->object + e->offset, then, now);
        then = now;
    } while (__atomic_load_n(&e->now, __ATOMIC_ACQUIRE) != now);
}

ENTRY_LOCK_CODE static void end(struct owners_entry *e)
{
    __atomic_store_n(&e->then, 0, __ATOMIC_RELEASE);
    __atomic_sub_fetch(&owners.count, 1, __ATOMIC_RELAXED);
}

/* Who comes meanwhile waits, for a while: then the other has been interrupted, by us perhaps. */
ENTRY_LOCK_CODE static void await(const struct owners_entry *e)
{
    for (int i = 0; i < PATIENCE && __atomic_load_n(&e->then, __ATOMIC_ACQUIRE) < 0; i++)
        raw(SYS_sched_yield);
}

ENTRY_LOCK_CODE static void settle(struct owners_entry *e)
{
    int32_t then = __atomic_load_n(&e->then, __ATOMIC_ACQUIRE);
    if (then > 0 && __atomic_compare_exchange_n(&e->then, &then, -then, 0, __ATOMIC_ACQ_REL,
                                                __ATOMIC_ACQUIRE)) {
        change(e, then);
        end(e);
    } else if (then < 0) {
        await(e);
    }
}

/* --- who waits --- */

void owners_await(uint64_t object, uint32_t kind, int32_t then, int32_t now)
{
    struct owners_waiter *w = owners.waiters;
    while (w < owners.waiters + OWNERS_WAITERS && w->then)
        w++;
    if (w == owners.waiters + OWNERS_WAITERS)
        return;
    *w = (struct owners_waiter){object, kind, then, now, 0};
    owners.waiting++, owners.count++;
}

bool owners_awaited(uint64_t object, int32_t now)
{
    for (const struct owners_waiter *w = owners.waiters; w < owners.waiters + OWNERS_WAITERS; w++)
        if (w->then && w->object == object && w->now == now)
            return true;
    return false;
}

ENTRY_LOCK_CODE static void forget(struct owners_waiter *w)
{
    __atomic_store_n(&w->then, 0, __ATOMIC_RELEASE);
    __atomic_sub_fetch(&owners.waiting, 1, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&owners.count, 1, __ATOMIC_RELAXED);
}

/* By a thread that has the number now it may be owned rightly; and the memory may be another
 * object's by now. */
ENTRY_LOCK_CODE static void correct(const struct owners_waiter *w)
{
    const int32_t then = w->then;
    uint32_t kind;
    if (raw(SYS_tgkill, hijack_params.pid, then, 0) != -ESRCH ||
        remote_read(&kind, (const uint32_t *)w->object + OWNERS_MUTEX_KIND, sizeof kind) ||
        kind != w->kind)
        return;
    if (kind & (OWNERS_ROBUST | OWNERS_INHERIT))
        owners_change(w->object, then, w->now);
    owners_change(w->object + OWNERS_MUTEX_OWNER * sizeof kind, then, w->now);
}

/* Who comes by is out of what it waited in. */
ENTRY_LOCK_CODE static void pass_waiters(uint64_t object)
{
    const int32_t self = (int32_t)raw(SYS_gettid);
    for (struct owners_waiter *w = owners.waiters; w < owners.waiters + OWNERS_WAITERS; w++) {
        const bool own = w->now == self;
        if (!__atomic_load_n(&w->then, __ATOMIC_ACQUIRE) || (!own && w->object != object))
            continue;
        correct(w);
        if (own)
            forget(w);
    }
}

/* --- the table: by the lock's address, in the next free entry --- */

ENTRY_LOCK_CODE static uint32_t first_of(uint64_t object)
{
    return (uint32_t)((object >> 3) * 0x9e3779b97f4a7c15ULL >> 32) % OWNERS_ROOM;
}

ENTRY_LOCK_CODE static uint32_t next_of(uint32_t i)
{
    return (i + 1) % OWNERS_ROOM;
}

int owners_note(uint64_t object, uint32_t offset, int32_t then, int32_t now)
{
    struct owners_entry *free = 0;
    if (owners.count >= OWNERS_ROOM / 2)
        return -ENOSPC;
    for (uint32_t n = 0, i = first_of(object); n < OWNERS_ROOM; n++, i = next_of(i)) {
        struct owners_entry *e = &owners.at[i];
        if (e->then && e->object == object && e->offset == offset)
            return 0; /* from an earlier restart: the word is not changed yet */
        if (!e->then && !free)
            free = e;
        if (!e->object)
            break;
    }
    *free = (struct owners_entry){object, offset, then, now, 0};
    owners.count++;
    return 0;
}

void owners_renumber(int32_t (*now_of)(int32_t then))
{
    for (struct owners_entry *e = owners.at; owners.count && e < owners.at + OWNERS_ROOM; e++)
        if (e->then) {
            int32_t now = now_of(e->now);
            e->now = now ? now : NOBODY;
        }
    for (struct owners_waiter *w = owners.waiters; w < owners.waiters + OWNERS_WAITERS; w++)
        if (w->then && !(w->now = now_of(w->now)))
            forget(w);
}

void owners_drop(void)
{
    struct owners_entry *last = owners.at + OWNERS_ROOM;
    for (struct owners_entry *e = owners.at; owners.count && e < last; e++)
        if (e->then && e->now == e->then) {
            e->then = 0;
            owners.count--;
        }
    for (struct owners_waiter *w = owners.waiters; w < owners.waiters + OWNERS_WAITERS; w++)
        if (w->then && w->now == w->then)
            forget(w);
    for (struct owners_entry *e = owners.at; owners.count == owners.waiting && e < last; e++)
        if (e->object)
            *e = (struct owners_entry){0};
}

ENTRY_LOCK_CODE static void settle_object(uint64_t object)
{
    for (uint32_t n = 0, i = first_of(object); n < OWNERS_ROOM; n++, i = next_of(i)) {
        if (!owners.at[i].object)
            return;
        if (owners.at[i].object == object)
            settle(&owners.at[i]);
    }
}

ENTRY_LOCK_CODE void owners_pass(uint64_t object)
{
    settle_object(object);
    if (__atomic_load_n(&owners.waiting, __ATOMIC_RELAXED))
        pass_waiters(object);
}

void owners_settle(uint64_t address)
{
    settle_object(address);
    for (struct owners_entry *e = owners.at; owners.count && e < owners.at + OWNERS_ROOM; e++)
        if (e->then && e->object + e->offset == address)
            settle(e);
}

/* --- the end --- */

static int read_words(const struct owners_entry *e, uint32_t *to, size_t count)
{
    return remote_read(to, (const void *)e->object, count * sizeof *to) == 0;
}

static int looks_like_lock(const struct owners_entry *e)
{
    uint32_t words[OWNERS_RWLOCK];
    switch (e->offset / 4) {
    case OWNERS_RWLOCK_OWNER:
        return read_words(e, words, OWNERS_RWLOCK) && owners_rwlock(words, OWNERS_COUNT_MAX);
    case OWNERS_MUSL_OWNER:
        return read_words(e, words, OWNERS_MUSL) && owners_musl(words);
    default:
        return read_words(e, words, OWNERS_MUTEX) && owners_mutex(words, OWNERS_COUNT_MAX);
    }
}

void owners_settle_rest(void)
{
    for (struct owners_entry *e = owners.at; e < owners.at + OWNERS_ROOM; e++)
        if (e->then && looks_like_lock(e))
            settle_object(e->object); /* of its words none without the others */
    for (const struct owners_waiter *w = owners.waiters; w < owners.waiters + OWNERS_WAITERS; w++)
        if (w->then)
            correct(w);
}
