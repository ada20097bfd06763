/*
 * starter_owners.c - where libc has noted that a thread holds a lock: by the thread's id, which
 * may be another one after the restart.
 *
 * Robust mutexes can be found by their threads' lists (resume_threads.c), others only by what they
 * look like: the owner's id, and around it what a held mutex or a write lock has there (glibc's
 * bits/struct_mutex.h, bits/struct_rwlock.h, the same since 2.25; musl's pthread_impl.h). Ids may
 * be small numbers (in a container), which are found everywhere. So every word of the structure
 * must be as the library leaves it; one libc's look is not searched for in the other's program; and
 * mutexes whose owner nobody asks for - the normal and the adaptive ones, which look like any
 * numbers and zeros - are left alone. What is found is changed only if it still names the old
 * owner.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "restart/resume_arch.h"
#include "restart/starter.h"

/* kind: the type in two bits, and flags */
#define TYPE        3u
#define RECURSIVE   1u
#define CHECKED     2u
#define ROBUST      16u
#define INHERIT     32u
#define KINDS       0x3b3u /* with PSHARED 128 and the two of elision */
#define COUNT_MAX   (1u << 16)
#define MUSL_TYPES  0x8fu /* _m_type: type, robust 4, inheriting 8, shared 128 */
#define MUSL_OWNED  0xfu
#define MUSL_OWNER  0x3fffffffu /* of _m_lock: the rest are flags */
#define WRITE_PHASE 3u          /* of a rwlock's readers: phase and lock bit, */
#define READERS     3           /* and by so many bits higher, how many wait */
#define FUTEX_USED  2u          /* of its futexes, which are 1 in a write phase */
#define RW_KIND_MAX 2u

/* The ids of the image's threads, as a set. */
struct ids {
    uint32_t first, count;
    unsigned char *bits;
    uint32_t threads;
    bool glibc;
};

struct found {
    struct resume_owner *at;
    size_t count, room;
};

static bool is_id(const struct ids *ids, uint32_t id)
{
    uint32_t n = id - ids->first;
    return n < ids->count && ids->bits[n / 8] >> n % 8 & 1;
}

static int make_ids(const struct image *image, struct ids *ids)
{
    uint32_t last = 0;
    ids->first = UINT32_MAX;
    for (size_t i = 0; i < image->thread_count; i++) {
        uint32_t id = (uint32_t)image->threads[i].tid;
        ids->first = id < ids->first ? id : ids->first;
        last = id > last ? id : last;
    }
    ids->count = last - ids->first + 1;
    ids->threads = (uint32_t)image->thread_count;
    if (!(ids->bits = calloc(ids->count / 8 + 1, 1)))
        return -ENOMEM;
    for (size_t i = 0; i < image->thread_count; i++) {
        uint32_t n = (uint32_t)image->threads[i].tid - ids->first;
        ids->bits[n / 8] |= (unsigned char)(1u << n % 8);
    }
    return 0;
}

/* --- what they look like; `owner` is the word that may be the owner's id --- */

static bool are_zero(const uint32_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (words[i])
            return false;
    return true;
}

/* The words behind the owner: users (who wait for a condition among them), kind, elision, list. */
static bool is_mutex(const uint32_t *owner, uint32_t threads)
{
    uint32_t lock = owner[-2], count = owner[-1], users = owner[1], kind = owner[2];
    uint64_t links[2];
    memcpy(links, owner + 4, sizeof links);
    if (kind & ~KINDS || !users || users > threads + 1 || count >= COUNT_MAX || owner[3])
        return false;
    if (kind & ROBUST)
        return (lock & FUTEX_TID_MASK) == *owner && links[0] && links[1];
    if (links[0] || links[1])
        return false;
    if (kind & INHERIT)
        return (lock & FUTEX_TID_MASK) == *owner;
    return (lock == 1 || lock == 2) &&
           ((kind & TYPE) == RECURSIVE ? count > 0 : (kind & TYPE) == CHECKED && !count);
}
#define MUTEX_BEHIND 8 /* words from the owner on */

static bool is_write_lock(const uint32_t *owner, uint32_t threads)
{
    uint32_t readers = owner[-6], writers = owner[-5], phase = owner[-4], lock = owner[-3];
    return (readers & WRITE_PHASE) == WRITE_PHASE && readers >> READERS <= threads &&
           writers <= threads && (phase & ~FUTEX_USED) == 1 && (lock & ~FUTEX_USED) == 1 &&
           are_zero(owner - 2, 2) && owner[1] <= 1 && are_zero(owner + 2, 4) &&
           owner[6] <= RW_KIND_MAX;
}
#define WRITE_LOCK_BEHIND 7

static bool is_bytes(const struct image_run *run)
{
    return !(run->flags & IMAGE_RUN_GUARD);
}

/* The word at an address of the image; 0 when it was not stored. */
static uint32_t word_at(const struct image *image, uint64_t address)
{
    for (size_t i = 0; i < image->map_count; i++) {
        const struct image_map *m = &image->maps[i];
        const struct image_run *run = image->runs + m->run, *last = run + m->runs;
        for (; image->place[i] && run < last; run++)
            if (is_bytes(run) && address >= run->address &&
                address + 4 <= run->address + run->length)
                return *(const uint32_t *)(image->place[i] + (address - m->start));
    }
    return 0;
}

/* Does a pointer stand there? */
static bool is_link(const struct image *image, uint64_t address)
{
    uint64_t next =
        address & 7 ? 0 : word_at(image, address) | (uint64_t)word_at(image, address + 4) << 32;
    return next && !(next & 7);
}

/* musl's: the lock word itself names the owner; and the mutex is in a list of its thread's. (Or
 * was: it is given to a thread that waits before that one puts it into its list.) */
static bool is_musl_mutex(const struct image *image, const uint32_t *lock)
{
    uint32_t type = lock[-1], waiters = lock[1], count = lock[4];
    uint64_t links[2];
    memcpy(links, lock + 5, sizeof links);
    return !(type & ~MUSL_TYPES) && type & MUSL_OWNED && waiters < COUNT_MAX && !lock[2] &&
           !lock[3] && count < COUNT_MAX && is_link(image, links[0]) && is_link(image, links[1]);
}

static int add(struct found *found, uint64_t address, uint32_t id)
{
    if (found->count == found->room) {
        size_t room = 2 * found->room + 64;
        struct resume_owner *more = realloc(found->at, room * sizeof *more);
        if (!more)
            return -ENOMEM;
        found->at = more, found->room = room;
    }
    found->at[found->count++] = (struct resume_owner){address, (int32_t)id, 0};
    return 0;
}

static int look_at_owner(const struct ids *ids, struct found *found, const uint32_t *words,
                         size_t i, size_t count, uint64_t address)
{
    bool mutex = i >= 2 && i + MUTEX_BEHIND <= count && is_mutex(&words[i], ids->threads);
    bool write = i >= 6 && i + WRITE_LOCK_BEHIND <= count && is_write_lock(&words[i], ids->threads);
    int result = 0;
    if (mutex || write)
        result = add(found, address + 4 * i, words[i]);
    if (!result && mutex && (words[i - 2] & FUTEX_TID_MASK) == words[i])
        result = add(found, address + 4 * (i - 2), words[i]);
    return result;
}

/* `count` words of memory that is `address` in the image. All structures are aligned to 8. */
static int look(const struct image *image, const struct ids *ids, struct found *found,
                const uint32_t *words, size_t count, uint64_t address)
{
    int result = 0;
    for (size_t i = 0; i + 1 < count && !result; i += 2) {
        uint32_t lock = words[i + 1] & MUSL_OWNER;
        if (ids->glibc && is_id(ids, words[i]))
            result = look_at_owner(ids, found, words, i, count, address);
        if (!ids->glibc && is_id(ids, lock) && i + 10 <= count &&
            is_musl_mutex(image, &words[i + 1]))
            result = add(found, address + 4 * (i + 1), lock);
    }
    return result;
}

/* --- where to look: memory that was stored, as far as it is in one piece --- */

static int look_at_map(const struct image *image, size_t index, const struct ids *ids,
                       struct found *found)
{
    const struct image_map *m = &image->maps[index];
    const struct image_run *run = image->runs + m->run, *last = run + m->runs;
    int result = 0;
    while (run < last && !result) {
        uint64_t start = run->address, end = start;
        for (; run < last && run->address == end && is_bytes(run); run++)
            end += run->length;
        if (end == start)
            run++;
        else
            result = look(image, ids, found, (void *)(image->place[index] + (start - m->start)),
                          (end - start) / 4, start);
    }
    return result;
}

/* A thread of musl's has its id there. (What the kernel clears at its end is glibc's id of it, and
 * musl's lock, which may name it as well.) */
static bool is_of_musl(const struct image *image)
{
    for (size_t i = 0; i < image->thread_count; i++) {
        const struct image_thread *t = &image->threads[i];
        if (word_at(image, t->fs_base) == (uint32_t)t->fs_base &&
            word_at(image, t->fs_base + RESUME_ARCH_MUSL_TID) == (uint32_t)t->tid)
            return true;
    }
    return false;
}

static int look_everywhere(const struct image *image, const struct ids *ids, struct found *found)
{
    int result = 0;
    for (size_t i = 0; i < image->map_count && !result; i++)
        if (image->place[i] && image->maps[i].prot & PROT_WRITE &&
            !(image->maps[i].flags & IMAGE_SHARED))
            result = look_at_map(image, i, ids, found);
    return result;
}

int owners_find(struct image *image, struct resume_owner **owners, size_t *count)
{
    struct ids ids = {0};
    struct found found = {0};
    int result = make_ids(image, &ids);
    ids.glibc = !is_of_musl(image);
    if (!result)
        result = look_everywhere(image, &ids, &found);
    free(ids.bits);
    *owners = found.at, *count = found.count;
    return result ? image_fail(image, result, "no memory for the table of held locks") : 0;
}
