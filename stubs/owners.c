/* owners.c - see owners.h. */
#include <errno.h>

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

/* The thread that has the id `then` now may have got the lock by it: where that one comes, the word
 * is as it should be. */
ENTRY_LOCK_CODE static void settle_awaited(struct owners_entry *e)
{
    const int32_t self = (int32_t)raw(SYS_gettid);
    int32_t then = __atomic_load_n(&e->then, __ATOMIC_ACQUIRE);
    if (self == e->now)
        settle(e);
    else if (then > 0 && self != then)
        owners_change(e->object + e->offset, then, e->now);
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

/* Written down by an earlier restart: the word is not changed yet, or the thread still waits. */
static bool is_noted(const struct owners_entry *e, const struct owners_entry *new)
{
    return e->then && e->object == new->object && e->offset == new->offset &&
           e->awaited == new->awaited && (!e->awaited || e->now == new->now);
}

static int note(const struct owners_entry *new)
{
    struct owners_entry *free = 0;
    if (owners.count >= OWNERS_ROOM / 2)
        return -ENOSPC;
    for (uint32_t n = 0, i = first_of(new->object); n < OWNERS_ROOM; n++, i = next_of(i)) {
        struct owners_entry *e = &owners.at[i];
        if (is_noted(e, new))
            return 0;
        if (!e->then && !free)
            free = e;
        if (!e->object)
            break;
    }
    *free = *new;
    owners.count++;
    return 0;
}

int owners_note(uint64_t object, uint32_t offset, int32_t then, int32_t now)
{
    return note(&(struct owners_entry){object, offset, then, now, 0});
}

int owners_await(uint64_t object, uint32_t offset, int32_t then, int32_t now)
{
    return note(&(struct owners_entry){object, offset, then, now, 1});
}

bool owners_awaited(uint64_t object, int32_t now)
{
    for (const struct owners_entry *e = owners.at; owners.count && e < owners.at + OWNERS_ROOM; e++)
        if (e->then && e->awaited && e->object == object && e->now == now)
            return true;
    return false;
}

void owners_renumber(int32_t (*now_of)(int32_t then))
{
    for (struct owners_entry *e = owners.at; owners.count && e < owners.at + OWNERS_ROOM; e++)
        if (e->then) {
            int32_t now = now_of(e->now);
            e->now = now ? now : NOBODY;
        }
}

void owners_drop(void)
{
    struct owners_entry *last = owners.at + OWNERS_ROOM;
    for (struct owners_entry *e = owners.at; owners.count && e < last; e++)
        if (e->then && e->now == e->then) {
            e->then = 0;
            owners.count--;
        }
    for (struct owners_entry *e = owners.at; !owners.count && e < last; e++)
        if (e->object)
            *e = (struct owners_entry){0};
}

ENTRY_LOCK_CODE void owners_pass(uint64_t object)
{
    for (uint32_t n = 0, i = first_of(object); n < OWNERS_ROOM; n++, i = next_of(i)) {
        struct owners_entry *e = &owners.at[i];
        if (!e->object)
            return;
        if (e->object == object && e->awaited)
            settle_awaited(e);
        else if (e->object == object)
            settle(e);
    }
}

void owners_settle(uint64_t address)
{
    for (struct owners_entry *e = owners.at; owners.count && e < owners.at + OWNERS_ROOM; e++)
        if (e->then && !e->awaited && (e->object == address || e->object + e->offset == address))
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
        if (e->then && e->awaited)
            owners_change(e->object + e->offset, e->then, e->now);
        else if (e->then && looks_like_lock(e))
            owners_settle(e->object); /* of its words none without the others */
}
