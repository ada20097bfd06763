/*
 * starter_owners.c - where libc may have noted that a thread holds a lock: by the thread's id,
 * which may be another one after the restart.
 *
 * Robust mutexes can be found by their threads' lists (resume_ids.c), others only by what they
 * look like (stubs/owners_look.h): the owner's id, and around it what a held lock has there. Since
 * ids may be small numbers, which are found everywhere, what is found here may be none; that it is
 * one, the program shows (stubs/owners.h). One libc's look is not searched for in the other's
 * program.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "restart/resume_arch.h"
#include "restart/starter.h"
#include "stubs/owners_look.h"

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

/* --- the image's memory --- */

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
    uint64_t next = word_at(image, address) | (uint64_t)word_at(image, address + 4) << 32;
    return next && !(next & 7);
}

/* musl's mutex is in a list of its thread's. (Or was: it is given to a thread that waits before
 * that one puts it into its list.) */
static bool is_linked(const struct image *image, const uint32_t *object)
{
    uint64_t links[2];
    memcpy(links, object + 6, sizeof links);
    return is_link(image, links[0]) && is_link(image, links[1]);
}

static int add(struct found *found, uint64_t object, uint32_t word, uint32_t id)
{
    if (found->count == found->room) {
        size_t room = 2 * found->room + 64;
        struct resume_owner *more = realloc(found->at, room * sizeof *more);
        if (!more)
            return -ENOMEM;
        found->at = more, found->room = room;
    }
    found->at[found->count++] = (struct resume_owner){object + 4 * word, (int32_t)id, 4 * word};
    return 0;
}

/* Does an object of `size` words, whose word `owner` is words[i], lie within them all? */
static bool fits(size_t i, size_t count, size_t owner, size_t size)
{
    return i >= owner && i - owner + size <= count;
}

/* words[i] is a thread's id. */
static int look_at(const struct ids *ids, struct found *found, const uint32_t *words, size_t i,
                   size_t count, uint64_t address)
{
    const uint32_t *mutex = words + i - OWNERS_MUTEX_OWNER, *lock = words + i - OWNERS_RWLOCK_OWNER;
    int result = 0;
    if (fits(i, count, OWNERS_MUTEX_OWNER, OWNERS_MUTEX) && owners_mutex(mutex, ids->threads)) {
        uint64_t object = address + 4 * (i - OWNERS_MUTEX_OWNER);
        result = add(found, object, OWNERS_MUTEX_OWNER, words[i]);
        if (!result && (mutex[0] & FUTEX_TID_MASK) == words[i])
            result = add(found, object, 0, words[i]);
    }
    if (!result && fits(i, count, OWNERS_RWLOCK_OWNER, OWNERS_RWLOCK) &&
        owners_rwlock(lock, ids->threads))
        result = add(found, address + 4 * (i - OWNERS_RWLOCK_OWNER), OWNERS_RWLOCK_OWNER, words[i]);
    return result;
}

/* words[i] names a thread. */
static int look_at_musl(const struct image *image, struct found *found, const uint32_t *words,
                        size_t i, size_t count, uint64_t address)
{
    const uint32_t *mutex = words + i - OWNERS_MUSL_OWNER;
    if (!fits(i, count, OWNERS_MUSL_OWNER, OWNERS_MUSL) || !owners_musl(mutex) ||
        !is_linked(image, mutex))
        return 0;
    return add(found, address + 4 * (i - OWNERS_MUSL_OWNER), OWNERS_MUSL_OWNER,
               words[i] & FUTEX_TID_MASK);
}

/* `count` words of memory that is `address` in the image. All locks are aligned to 8; an owner is
 * in an even word, with musl in an odd one. Every word of the program's comes by here. */
static int look(const struct image *image, const struct ids *ids, struct found *found,
                const uint32_t *words, size_t count, uint64_t address)
{
    int result = 0;
    for (size_t i = 0; ids->glibc && i < count && !result; i += 2)
        if (is_id(ids, words[i]))
            result = look_at(ids, found, words, i, count, address);
    for (size_t i = 1; !ids->glibc && i < count && !result; i += 2)
        if (is_id(ids, words[i] & FUTEX_TID_MASK))
            result = look_at_musl(image, found, words, i, count, address);
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
