/*
 * starter_memory.c - the program's memory, built beside the starter's own.
 *
 * Nothing that is mapped once the image's addresses are reserved can lie where the image wants to
 * be; so temporary addresses are simply those that the kernel chooses, and the restart library has
 * only to move whole mappings.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "restart/checksum.h"
#include "restart/starter.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif
#define WORKERS_MAX 8
#define PIECE       (256 * 1024)
#define RESERVE_GAP (16ULL << 20) /* what lies this close together is reserved as one */

/* --- reserving --- */

/* Where something of the starter lies already there is nothing to reserve: halve until it is found.
 */
static int reserve(uint64_t start, uint64_t size)
{
    void *got = mmap((void *)start, size, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != MAP_FAILED || (errno == EEXIST && size == IMAGE_PAGE))
        return 0;
    if (errno != EEXIST)
        return -errno;
    uint64_t half = size / 2 & ~(IMAGE_PAGE - 1);
    int result = reserve(start, half);
    return result ? result : reserve(start + half, size - half);
}

/* Were each mapping reserved by itself, a program with half as many as a process may have
 * (vm.max_map_count) could not be restarted. */
int memory_reserve(struct image *image)
{
    const struct image_map *m = image->maps, *last = m + image->map_count;
    while (m < last) {
        uint64_t start = m->start, end = m->end;
        while (++m < last && m->start - end <= RESERVE_GAP)
            end = m->end;
        int result = reserve(start, end - start);
        if (result)
            return image_fail(
                image, result, "cannot reserve the addresses 0x%llx-0x%llx of the image: %s",
                (unsigned long long)start, (unsigned long long)end, strerror(-result));
    }
    return 0;
}

/* --- mapping --- */

static int map_one(struct image *image, size_t index)
{
    struct image_map *m = &image->maps[index];
    void *at = MAP_FAILED;
    int result = files_map(image, m, &at);
    if (result)
        return result;
    image->place[index] = (uintptr_t)at;
    if (at != MAP_FAILED)
        return 0;
    return image_fail(image, -errno, "cannot map %llu bytes%s%s: %s",
                      (unsigned long long)(m->end - m->start), m->name ? " of " : "",
                      image_string(image, m->name), strerror(errno));
}

int memory_map(struct image *image)
{
    image->place = calloc(image->map_count, sizeof *image->place);
    image->aside = calloc(image->map_count, sizeof *image->aside);
    if (!image->place || !image->aside)
        return image_fail(image, -ENOMEM, "no memory for the table of mappings");
    for (size_t i = 0; i < image->map_count; i++) {
        int result = map_one(image, i); /* the old vdso too, to be compared with ours */
        if (result)
            return result;
    }
    return 0;
}

void *memory_at(const struct image *image, uint64_t address)
{
    for (size_t i = 0; i < image->map_count; i++)
        if (image->place[i] && address >= image->maps[i].start && address < image->maps[i].end)
            return (void *)(image->place[i] + (address - image->maps[i].start));
    return NULL;
}

/* --- reading --- */

/* The work of all threads: run after run, by the next number. */
struct reading {
    struct image *image;
    uint64_t *to;  /* of each run: where it goes; 0: nowhere */
    bool of_files; /* several runs may go to one place: pages that mappings of one file share */
    atomic_size_t next;
    atomic_int error; /* -EBADMSG, or what pread said */
};

/* With a buffer, that is what the checksum is made of: another thread may write to `to`. */
static int read_run(const struct image *image, const struct image_run *run, char *to, char *buffer)
{
    struct checksum sum;
    checksum_start(&sum);
    for (uint64_t done = 0; done < run->length;) {
        size_t want = run->length - done < PIECE ? run->length - done : PIECE;
        char *at = buffer ? buffer : to + done;
        madvise(to + done, want, MADV_POPULATE_WRITE); /* in one go, not by a fault for each page */
        ssize_t n = pread(image->fd, at, want, (off_t)(run->offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if ((size_t)n != want)
            return -EBADMSG;
        checksum_add(&sum, at, want);
        if (buffer)
            memcpy(to + done, buffer, want);
        done += want;
    }
    return checksum_end(&sum) == run->sum ? 0 : -EBADMSG;
}

static void *read_runs(void *context)
{
    struct reading *r = context;
    char *buffer = r->of_files ? malloc(PIECE) : NULL;
    size_t i;
    if (r->of_files && !buffer)
        r->error = -ENOMEM;
    while (!r->error && (i = r->next++) < r->image->run_count) {
        int result =
            r->to[i] ? read_run(r->image, &r->image->runs[i], (char *)r->to[i], buffer) : 0;
        if (result)
            r->error = result;
    }
    free(buffer);
    return NULL;
}

static void run_workers(struct reading *r)
{
    pthread_t threads[WORKERS_MAX];
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    int count = 0, want = cpus < WORKERS_MAX ? (int)cpus : WORKERS_MAX;
    while (count + 1 < want && (size_t)count + 1 < r->image->run_count &&
           pthread_create(&threads[count], NULL, read_runs, r) == 0)
        count++;
    read_runs(r);
    while (count)
        pthread_join(threads[--count], NULL);
}

/* Where a run goes when the file's bytes are read (`of_files`), or all others; 0: not now. */
static uint64_t target_of(const struct image *image, size_t map, const struct image_run *run,
                          bool of_files)
{
    const struct image_map *m = &image->maps[map];
    if (!image->place[map] || run->flags & IMAGE_RUN_GUARD)
        return 0;
    void *bytes = run->flags & IMAGE_RUN_FILE ? files_bytes(image, m, run->address) : NULL;
    if (of_files || bytes)
        return of_files ? (uintptr_t)bytes : 0;
    uint64_t start = image->aside[map] ? image->aside[map] : image->place[map];
    return start + (run->address - m->start);
}

static int read_all(struct image *image, bool of_files)
{
    struct reading r = {
        .image = image, .to = calloc(image->run_count + 1, sizeof *r.to), .of_files = of_files};
    if (!r.to)
        return image_fail(image, -ENOMEM, "no memory for the table of pages");
    for (size_t i = 0; i < image->map_count; i++) {
        const struct image_map *m = &image->maps[i];
        for (uint32_t n = m->run; n < m->run + m->runs; n++)
            r.to[n] = target_of(image, i, &image->runs[n], of_files);
    }
    run_workers(&r);
    free(r.to);
    if (r.error == -EBADMSG)
        return image_fail(image, -EBADMSG,
                          "the image '%s' is damaged: memory does not match its checksum",
                          image->path);
    return r.error ? image_fail(image, r.error, "cannot read the image '%s': %s", image->path,
                                strerror(-r.error))
                   : 0;
}

/* --- attributes --- */

static void advise(const struct image_map *m, void *at)
{
    static const struct {
        uint32_t flag;
        int advice;
    } advices[] = {
        {IMAGE_SEQUENTIAL, MADV_SEQUENTIAL}, {IMAGE_RANDOM, MADV_RANDOM},
        {IMAGE_DONTFORK, MADV_DONTFORK},     {IMAGE_DONTDUMP, MADV_DONTDUMP},
        {IMAGE_WIPEONFORK, MADV_WIPEONFORK}, {IMAGE_HUGE, MADV_HUGEPAGE},
        {IMAGE_NOHUGE, MADV_NOHUGEPAGE},     {IMAGE_MERGEABLE, MADV_MERGEABLE},
    };
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++)
        if (m->flags & advices[i].flag)
            madvise(at, m->end - m->start, advices[i].advice);
}

static int install_guards(struct image *image, const struct image_map *m, uint64_t place)
{
    for (uint32_t n = m->run; n < m->run + m->runs; n++) {
        const struct image_run *run = &image->runs[n];
        if (run->flags & IMAGE_RUN_GUARD &&
            madvise((void *)(place + (run->address - m->start)), run->length, MADV_GUARD_INSTALL))
            return image_fail(image, -errno, "cannot install guard pages: %s", strerror(errno));
    }
    return 0;
}

/* mlock() locks memory that cannot be touched (PROT_NONE, behind the end of a file), and complains
 * all the same; mlockall() does not. Locked memory refuses to be invalidated. */
static int lock(const struct image_map *m, void *at)
{
    if (!(m->flags & (IMAGE_LOCKED | IMAGE_LOCKFAULT)) ||
        mlock2(at, m->end - m->start, m->flags & IMAGE_LOCKFAULT ? MLOCK_ONFAULT : 0) == 0)
        return 0;
    int error = errno;
    return msync(at, IMAGE_PAGE, MS_INVALIDATE) && errno == EBUSY ? 0 : -error;
}

static int finish_one(struct image *image, size_t index)
{
    const struct image_map *m = &image->maps[index];
    void *at = (void *)image->place[index];
    size_t size = m->end - m->start;
    int result = install_guards(image, m, image->place[index]);
    if (result)
        return result;
    if (mprotect(at, size, (int)m->prot))
        return image_fail(image, -errno, "cannot protect memory%s%s: %s", m->name ? " of " : "",
                          image_string(image, m->name), strerror(errno));
    advise(m, at);
    if ((result = lock(m, at)))
        return image_fail(image, result, "cannot lock %zu bytes of memory (mlock): %s", size,
                          strerror(-result));
    return 0;
}

int memory_read(struct image *image)
{
    int result = read_all(image, false);
    files_empty(image);
    if (!result)
        result = read_all(image, true);
    for (size_t i = 0; i < image->map_count && !result; i++)
        result = image->place[i] ? finish_one(image, i) : 0;
    files_close(image);
    return result;
}
