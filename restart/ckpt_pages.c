/*
 * ckpt_pages.c - which pages of each mapping the image must hold.
 *
 *   anonymous        pages that are present or swapped, but for the zero page
 *   private file     pages copied on write; a writable mapping whole (up to WHOLE_MAX), so that
 * debuggers, which take what is missing from a partly stored segment for zeros, see its variables
 *   our own library  all pages
 *   carried          all pages up to the end of the file, the file's own told from those copied on
 * write: after MADV_DONTNEED the program must find the former again
 *   shared           those of kept and carried ones (ckpt_shared.c), all of them the file's own
 *   vdso             whole, for debuggers; vvar and other shared mappings: none
 *
 * ioctl(PAGEMAP_SCAN) (Linux 6.7) skips holes of any size in no time; before, /proc/self/pagemap is
 * read. mincore() would count the zero page.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "restart/ckpt.h"
#include "stubs/mem.h"
#include "stubs/raw.h"

#define WHOLE_MAX (64ULL << 20)
#define REGIONS   512

/* include/uapi/linux/fs.h of Linux 6.7; the guard category came with 6.15. */
#define SCAN_FILE    (1 << 2)
#define SCAN_PRESENT (1 << 3)
#define SCAN_SWAPPED (1 << 4)
#define SCAN_PFNZERO (1 << 5)
#define SCAN_GUARD   (1 << 8)
#define PAGEMAP_SCAN 0xc0606610

struct scan_region {
    uint64_t start, end, categories;
};

struct scan {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t inverted, mask, anyof, wanted;
};

/* Bits of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst). */
#define PAGEMAP_PRESENT (1ULL << 63)
#define PAGEMAP_SWAPPED (1ULL << 62)
#define PAGEMAP_FILE    (1ULL << 61)
#define PAGEMAP_GUARD   (1ULL << 58)

static int pagemap = -1;
static int scan_works, guard_works;

/* Appends [start, end) in pieces of IMAGE_RUN_MAX, to the last run where it continues that. */
static long add_run(struct image_map *map, uint64_t start, uint64_t end, uint64_t flags)
{
    while (start < end) {
        struct image_run *last = map->runs ? &ckpt.runs[ckpt.run_count - 1] : NULL;
        uint64_t room = flags & IMAGE_RUN_GUARD ? end - start : IMAGE_RUN_MAX;
        if (last && last->address + last->length == start && last->length < IMAGE_RUN_MAX &&
            last->flags == flags) {
            room -= flags & IMAGE_RUN_GUARD ? 0 : last->length;
        } else {
            if (ckpt.run_count == ckpt.run_limit)
                return ckpt_fail(-ENOMEM, "the memory is too fragmented", "");
            last = &ckpt.runs[ckpt.run_count++];
            *last = (struct image_run){.address = start, .flags = flags};
            map->runs++;
        }
        uint64_t length = end - start < room ? end - start : room;
        last->length += length;
        start += length;
    }
    return 0;
}

static long add_regions(struct image_map *map, const struct scan_region *region, long count)
{
    long result = 0;
    for (long i = 0; i < count && !result; i++)
        result = add_run(map, region[i].start, region[i].end,
                         region[i].categories & SCAN_GUARD ? IMAGE_RUN_GUARD : 0);
    return result;
}

static void scan_setup(struct scan *s, const struct image_map *map, struct scan_region *regions)
{
    uint64_t unwanted = map->kind == IMAGE_FILE ? SCAN_FILE : SCAN_PFNZERO;
    *s = (struct scan){.size = sizeof *s,
                       .start = map->start,
                       .end = map->end,
                       .vec = (uintptr_t)regions,
                       .vec_len = REGIONS,
                       .inverted = unwanted,
                       .mask = unwanted,
                       .anyof = SCAN_PRESENT | SCAN_SWAPPED | (guard_works ? SCAN_GUARD : 0),
                       .wanted = guard_works ? SCAN_GUARD : 0};
    /* The kernel merges neighbours by the categories asked for, and wants at least one. */
    if (!guard_works)
        s->wanted = SCAN_FILE;
}

static long scan_pages(struct image_map *map)
{
    static struct scan_region regions[REGIONS];
    struct scan s;
    scan_setup(&s, map, regions);
    while (s.start < map->end) {
        long count = raw(SYS_ioctl, pagemap, PAGEMAP_SCAN, &s);
        if (count < 0)
            return ckpt_fail(count, "cannot scan", "/proc/self/pagemap");
        long result = add_regions(map, regions, count);
        if (result)
            return result;
        s.start = s.walk_end;
    }
    return 0;
}

static uint64_t run_flags(uint64_t entry)
{
    return entry & PAGEMAP_GUARD ? IMAGE_RUN_GUARD : 0;
}

static int is_stored(const struct image_map *map, uint64_t entry, int whole)
{
    if (whole)
        return 1;
    if (map->kind == IMAGE_FILE && entry & PAGEMAP_FILE)
        return 0;
    return (entry & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED | PAGEMAP_GUARD)) != 0;
}

/* All pages up to `end`, or those worth storing, as kernels before PAGEMAP_SCAN tell. */
static long read_pages(struct image_map *map, uint64_t end, int whole)
{
    static uint64_t entries[1024];
    long result = 0;
    for (uint64_t at = map->start; at < end && !result;) {
        uint64_t want = (end - at) / IMAGE_PAGE;
        want = want < 1024 ? want : 1024;
        long n = raw(SYS_pread64, pagemap, entries, want * 8, at / IMAGE_PAGE * 8);
        if (n < 8)
            return ckpt_fail(n < 0 ? n : -EIO, "cannot read", "/proc/self/pagemap");
        for (long i = 0; i < n / 8 && !result; i++, at += IMAGE_PAGE)
            if (is_stored(map, entries[i], whole))
                result = add_run(map, at, at + IMAGE_PAGE, run_flags(entries[i]));
    }
    return result;
}

static int try_scan(int guard)
{
    struct scan s;
    struct scan_region region;
    guard_works = guard;
    scan_setup(&s, &ckpt.maps[0], &region);
    s.vec_len = 1;
    return raw(SYS_ioctl, pagemap, PAGEMAP_SCAN, &s) >= 0;
}

/* The end of the file's bytes within the mapping; behind it, reading fails. */
static uint64_t file_end(const struct image_map *map)
{
    const struct image_file *f = &ckpt.files[map->file];
    uint64_t size = f->size > map->offset ? f->size - map->offset : 0;
    size = (size + IMAGE_PAGE - 1) / IMAGE_PAGE * IMAGE_PAGE;
    return size < map->end - map->start ? map->start + size : map->end;
}

static int is_guard(uint64_t address)
{
    uint64_t entry = 0;
    raw(SYS_pread64, pagemap, &entry, sizeof entry, address / IMAGE_PAGE * sizeof entry);
    return (entry & PAGEMAP_GUARD) != 0;
}

/* Pages that can be read: the file's, but for those copied on write. */
static long carry_readable(struct image_map *map, uint64_t at, uint64_t end)
{
    static uint64_t entries[CKPT_BOUNCE / IMAGE_PAGE];
    long size = (long)((end - at) / IMAGE_PAGE * sizeof *entries), result = 0;
    if (raw(SYS_pread64, pagemap, entries, size, at / IMAGE_PAGE * sizeof *entries) != size)
        return ckpt_fail(-EIO, "cannot read", "/proc/self/pagemap");
    for (const uint64_t *e = entries; at < end && !result; e++, at += IMAGE_PAGE) {
        int copied = !(map->flags & IMAGE_SHARED) && !(*e & PAGEMAP_FILE) &&
                     *e & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED);
        result = add_run(map, at, at + IMAGE_PAGE, copied ? 0 : IMAGE_RUN_FILE);
    }
    return result;
}

/* Pages of a file that has gone, or will not be there: up to its end, where they can no longer be
 * read. Guard pages cannot either, but more may follow. */
static long carry(struct image_map *map, int memory)
{
    long result = 0;
    for (uint64_t at = map->start, end; at < map->end && !result; at = end) {
        uint64_t want = map->end - at < CKPT_BOUNCE ? map->end - at : CKPT_BOUNCE;
        long n = raw(SYS_pread64, memory, ckpt.bounce, want, at);
        end = at + (n < 0 ? 0 : (uint64_t)n / IMAGE_PAGE * IMAGE_PAGE);
        if (end > at)
            result = carry_readable(map, at, end);
        else if (is_guard(at))
            result = add_run(map, at, end = at + IMAGE_PAGE, IMAGE_RUN_GUARD);
        else
            break;
    }
    return result;
}

static long pages_of(struct image_map *map, int memory)
{
    map->run = (uint32_t)ckpt.run_count;
    if (map->kind == IMAGE_VDSO && strcmp(ckpt.strings + map->name, "[vdso]") == 0)
        return add_run(map, map->start, map->end, 0);
    if (map->kind == IMAGE_CARRIED || map->flags & IMAGE_KEPT)
        return carry(map, memory);
    if (map->kind == IMAGE_VDSO || map->flags & IMAGE_SHARED)
        return 0;
    if (map->flags & IMAGE_OWN ||
        (map->kind == IMAGE_FILE && map->prot & PROT_WRITE && map->end - map->start <= WHOLE_MAX))
        return read_pages(map, file_end(map), 1);
    return scan_works ? scan_pages(map) : read_pages(map, map->end, 0);
}

static long open_own(const char *path)
{
    long fd = raw(SYS_openat, -100, path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? ckpt_fail(fd, "cannot open", path) : fd;
}

long ckpt_pages(void)
{
    long result = open_own("/proc/self/pagemap"), memory;
    if (result < 0)
        return result;
    pagemap = (int)result;
    result = memory = open_own("/proc/self/mem");
    scan_works = try_scan(1) || try_scan(0);
    for (size_t i = 0; i < ckpt.map_count && result >= 0; i++)
        result = pages_of(&ckpt.maps[i], (int)memory);
    if (memory >= 0)
        raw(SYS_close, memory);
    raw(SYS_close, pagemap);
    return result < 0 ? result : 0;
}

uint64_t ckpt_pages_carried(void)
{
    uint64_t bytes = 0;
    for (const struct image_map *m = ckpt.maps; m < ckpt.maps + ckpt.map_count; m++)
        for (uint32_t i = m->run; m->kind == IMAGE_CARRIED && i < m->run + m->runs; i++)
            bytes += ckpt.runs[i].flags & IMAGE_RUN_GUARD ? 0 : ckpt.runs[i].length;
    return bytes;
}
