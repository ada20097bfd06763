/* shared.c - see shared.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "stubs/emulate.h"
#include "stubs/lock.h"
#include "stubs/mem.h"
#include "stubs/raw.h"
#include "stubs/shared.h"
#include "stubs/thread.h"

#define MAPS  512
#define PIECE WIRE_DATA

/* Of one protection. */
struct shared {
    uintptr_t start;
    size_t length; /* 0: a free entry */
    long offset;
    uint64_t dev, inode;
    int fd; /* at home; -1: none */
    int protection;
    int sole;       /* may be written to, and is written back: only the program uses the file */
    int written;    /* it may have been, since it was mapped */
    int one_memory; /* shared_file */
    int failed;     /* the last time that it was to be written back */
};

static struct shared maps[MAPS];
static int lock;

static struct shared *free_entry(void)
{
    for (int i = 0; i < MAPS; i++)
        if (!maps[i].length)
            return &maps[i];
    return NULL;
}

static long add_entry(const struct shared *map)
{
    lock_take(&lock);
    struct shared *to = free_entry();
    if (to)
        *to = *map;
    lock_release(&lock);
    return to ? 0 : -ENOMEM;
}

/* --- descriptors at home that the program does not know of --- */

/* As high as its limit lets it. */
static long duplicate(struct remote_call *call, long fd)
{
    long result = -EMFILE;
    for (long from = SHARED_FDS; from > 2 && (result == -EMFILE || result == -EINVAL); from /= 2) {
        const long args[CALL_ARGS] = {fd, F_DUPFD_CLOEXEC, from};
        result = remote_forward(call, SYS_fcntl, args);
    }
    return result;
}

static void close_at_home(struct remote_call *call, int fd)
{
    const long args[CALL_ARGS] = {fd};
    if (fd >= 0)
        remote_forward(call, SYS_close, args);
}

static struct shared *find_held(long fd)
{
    for (int i = 0; i < MAPS; i++)
        if (maps[i].length && maps[i].fd == (int)fd && (int)fd >= 0)
            return &maps[i];
    return NULL;
}

/* The program puts something at that number. */
static void make_way(struct remote_call *call, struct shared *m)
{
    long copy = duplicate(call, m->fd);
    if (copy >= 0)
        m->fd = (int)copy;
}

int shared_call(struct remote_call *call, long number, const long *args, long *result)
{
    struct shared *held;
    *result = -EBADF;
    if (number == SYS_close)
        return find_held(args[0]) != NULL;
    if ((number == SYS_dup2 || number == SYS_dup3) && args[0] != args[1] &&
        (held = find_held(args[1])))
        make_way(call, held);
    return 0;
}

static long close_part(struct remote_call *call, unsigned first, unsigned last)
{
    const long args[CALL_ARGS] = {first, last, call->args[2]};
    return first > last ? 0 : remote_forward(call, SYS_close_range, args);
}

/* The lowest of them from `first` on. */
static int next_held(unsigned first)
{
    int next = -1;
    for (int i = 0; i < MAPS; i++)
        if (maps[i].length && maps[i].fd >= 0 && (unsigned)maps[i].fd >= first &&
            (next < 0 || maps[i].fd < next))
            next = maps[i].fd;
    return next;
}

long emulate_close_range(struct remote_call *call)
{
    unsigned first = (unsigned)call->args[0], last = (unsigned)call->args[1];
    int held = next_held(first);
    if (first > last || held < 0)
        return remote_forward(call, call->number, call->args);
    long error = 0;
    for (; held >= 0 && (unsigned)held <= last && !error; held = next_held(first)) {
        if ((unsigned)held > first)
            error = close_part(call, first, (unsigned)held - 1);
        first = (unsigned)held + 1;
    }
    return error ? error : close_part(call, first, last);
}

/* --- mappings --- */

static long add(struct remote_call *call, struct shared map, long fd)
{
    long copy = fd < 0 ? -1 : duplicate(call, fd);
    if (fd >= 0 && copy < 0)
        return copy;
    map.fd = (int)copy;
    long error = add_entry(&map);
    if (error)
        close_at_home(call, map.fd);
    return error;
}

static struct shared mapping_of(const struct shared_file *file, uintptr_t start, size_t length,
                                long offset, long protection)
{
    return (struct shared){.start = start,
                           .length = length,
                           .offset = offset,
                           .dev = file->dev,
                           .inode = file->inode,
                           .protection = (int)protection,
                           .sole = file->sole,
                           .written = file->written || protection & PROT_WRITE,
                           .one_memory = file->one_memory};
}

long shared_add(struct remote_call *call, uintptr_t start, size_t length,
                const struct shared_file *file, long offset, long protection)
{
    return add(call, mapping_of(file, start, length, offset, protection), file->fd);
}

static uintptr_t end_of(uintptr_t start, size_t length)
{
    return length > UINTPTR_MAX - start ? UINTPTR_MAX : start + length;
}

static int overlaps(const struct shared *m, uintptr_t start, uintptr_t end)
{
    return m->length && m->start < end && start < m->start + m->length;
}

/* No mapping lies on both sides of `at` after this. */
static long split_at(struct remote_call *call, uintptr_t at)
{
    long error = 0;
    for (int i = 0; i < MAPS && !error; i++) {
        struct shared tail = maps[i];
        size_t head = at - tail.start;
        if (!overlaps(&tail, at, end_of(at, 1)) || !head)
            continue;
        tail.start = at;
        tail.length -= head;
        tail.offset += (long)head;
        error = add(call, tail, tail.fd);
        if (!error)
            maps[i].length = head;
    }
    return error;
}

long shared_split(struct remote_call *call, uintptr_t start, size_t length)
{
    long error = split_at(call, start);
    return error ? error : split_at(call, end_of(start, length));
}

void shared_remove(struct remote_call *call, uintptr_t start, size_t length)
{
    for (int i = 0; i < MAPS; i++) {
        if (!overlaps(&maps[i], start, end_of(start, length)))
            continue;
        maps[i].length = 0;
        close_at_home(call, maps[i].fd);
    }
}

int shared_has(uintptr_t start, size_t length)
{
    int has = 0;
    for (int i = 0; i < MAPS; i++)
        has |= overlaps(&maps[i], start, start + 1) &&
               end_of(start, length) <= maps[i].start + maps[i].length;
    return has;
}

/* --- the same pages of a file, twice --- */

static int is_same_file(const struct shared *a, const struct shared *b)
{
    return a->dev == b->dev && a->inode == b->inode;
}

/* What of it lies in [start, end). */
static struct shared part_of(const struct shared *m, uintptr_t start, uintptr_t end)
{
    struct shared part = *m;
    const uintptr_t last = m->start + m->length, to = end < last ? end : last;
    part.start = start > m->start ? start : m->start;
    part.offset += (long)(part.start - m->start);
    part.length = to > part.start ? to - part.start : 0;
    return part;
}

/* Are there pages of a file that both show, and one of them alone when they are written to? */
static int differ(const struct shared *a, const struct shared *b)
{
    return a->length && b->length && is_same_file(a, b) && !(a->one_memory && b->one_memory) &&
           (a->protection | b->protection) & PROT_WRITE &&
           a->offset < b->offset + (long)b->length && b->offset < a->offset + (long)a->length;
}

/* With what does not lie in [start, end). */
static int differs_from_others(const struct shared *new, uintptr_t start, uintptr_t end)
{
    int found = 0;
    for (const struct shared *m = maps; m < maps + MAPS; m++) {
        const struct shared before = part_of(m, 0, start);
        const struct shared behind = part_of(m, end, UINTPTR_MAX);
        found |= differ(new, &before) || differ(new, &behind);
    }
    return found;
}

int shared_may_be_written(uintptr_t start, size_t length)
{
    int may = 1;
    for (const struct shared *m = maps; m < maps + MAPS; m++) {
        if (!overlaps(m, start, end_of(start, length)))
            continue;
        struct shared part = part_of(m, start, end_of(start, length));
        part.protection |= PROT_WRITE;
        may &= m->sole && !differs_from_others(&part, part.start, part.start + part.length);
    }
    return may;
}

/* --- what becomes of mappings --- */

void shared_protect(uintptr_t start, size_t length, long protection)
{
    for (int i = 0; i < MAPS; i++)
        if (overlaps(&maps[i], start, end_of(start, length))) {
            maps[i].protection = (int)protection & (PROT_READ | PROT_WRITE | PROT_EXEC);
            maps[i].written |= (protection & PROT_WRITE) != 0;
        }
}

void shared_moved(uintptr_t from, uintptr_t to, size_t length)
{
    for (int i = 0; i < MAPS; i++)
        if (overlaps(&maps[i], from, end_of(from, length)))
            maps[i].start += to - from;
}

int shared_grown(uintptr_t start, size_t old, size_t new, long *offset, long *protection)
{
    for (int i = 0; i < MAPS; i++) {
        struct shared *m = &maps[i];
        if (!m->length || m->fd < 0 || m->start + m->length != start + old)
            continue;
        *offset = m->offset + (long)m->length;
        *protection = m->protection;
        m->length += new - old;
        return m->fd;
    }
    return -1;
}

/* --- writing back --- */

/* Its bytes, or -errno. */
static long file_size(struct remote_call *call, int fd)
{
    struct remote_thread *t = remote_thread();
    const long args[CALL_ARGS] = {fd, t ? (long)&t->stat : 0};
    long error = t ? remote_forward(call, SYS_fstat, args) : -ENOMEM;
    return error ? error : t->stat.st_size;
}

/* Of a mapping, what lies in a file of that size. */
static size_t bytes_in_file(const struct shared *m, long size)
{
    size_t in_file = size > m->offset ? (size_t)(size - m->offset) : 0;
    return in_file < m->length ? in_file : m->length;
}

/* A file system that is full, or a limit, takes a part first and fails then. What the program
 * cannot read itself it cannot have written. */
static long write_piece(struct remote_call *call, const struct shared *m, size_t from, size_t size)
{
    long result = 1;
    for (size_t done = 0; done < size && result > 0;) {
        const long args[CALL_ARGS] = {m->fd, (long)(m->start + from + done), (long)(size - done),
                                      m->offset + (long)(from + done)};
        result = remote_forward(call, SYS_pwrite64, args);
        if (result == -EINTR)
            result = 1;
        else if (result > 0)
            done += (size_t)result;
    }
    if (result == 0)
        return -EIO;
    return result == -EFAULT || result > 0 ? 0 : result;
}

/* The part of the mapping that lies in [start, end). */
static long write_map(struct remote_call *call, const struct shared *m, uintptr_t start,
                      uintptr_t end)
{
    long size = file_size(call, m->fd), error = size < 0 ? size : 0;
    size_t first = start > m->start ? start - m->start : 0, last = bytes_in_file(m, size);
    if (end < m->start + last)
        last = end - m->start;
    for (size_t at = first; at < last && !error; at += PIECE)
        error = write_piece(call, m, at, last - at < PIECE ? last - at : PIECE);
    return error;
}

/* What of [start, end) is a mapping `of` that file; NULL: of any. */
static long write_back(struct remote_call *call, uintptr_t start, uintptr_t end,
                       const struct shared *of)
{
    long first = 0;
    int quiet = call->quiet;
    call->quiet = 1; /* to write to memory raises no SIGXFSZ */
    for (int i = 0; i < MAPS; i++) {
        struct shared m = maps[i];
        if (!m.sole || !m.written || !overlaps(&m, start, end) || (of && !is_same_file(&m, of)))
            continue;
        long error = write_map(call, &m, start, end);
        if (error || (start <= m.start && end >= m.start + m.length))
            maps[i].failed = error != 0;
        first = first ? first : error;
    }
    call->quiet = quiet;
    return first;
}

long shared_write_back(struct remote_call *call, uintptr_t start, size_t length)
{
    return write_back(call, start, end_of(start, length), NULL);
}

long shared_prepare(struct remote_call *call, const struct shared_file *file, uintptr_t instead,
                    size_t length, long offset, long protection)
{
    const struct shared new = mapping_of(file, instead, length, offset, protection);
    if (differs_from_others(&new, instead, instead ? end_of(instead, length) : 0))
        return -ENODEV;
    write_back(call, 0, UINTPTR_MAX, &new);
    return 0;
}

long shared_prepare_growth(struct remote_call *call, uintptr_t start, size_t old, size_t new)
{
    for (const struct shared *m = maps; m < maps + MAPS; m++) {
        if (!m->length || m->start + m->length != start + old)
            continue;
        struct shared grown = *m;
        grown.length += new - old;
        if (differs_from_others(&grown, start, start + old))
            return -ENOMEM;
        write_back(call, 0, UINTPTR_MAX, &grown);
    }
    return 0;
}

/* --- at home again --- */

/* What could not be written back from there: here, perhaps. */
static int write_here(const struct shared *m)
{
    struct stat st;
    size_t size = raw(SYS_fstat, m->fd, &st) ? 0 : bytes_in_file(m, st.st_size), done = 0;
    for (long n = 1; done < size && n > 0; done += n > 0 ? (size_t)n : 0)
        n = raw(SYS_pwrite64, m->fd, m->start + done, size - done, m->offset + (long)done);
    return size && done == size;
}

void shared_come_home(void)
{
    for (int i = 0; i < MAPS; i++) {
        struct shared *m = &maps[i];
        if (!m->length || m->fd < 0) {
            m->length = 0;
            continue;
        }
        if (!m->failed || write_here(m))
            raw(SYS_mmap, m->start, m->length, m->protection, MAP_SHARED | MAP_FIXED, m->fd,
                m->offset);
        raw(SYS_close, m->fd);
        m->length = 0;
    }
}
