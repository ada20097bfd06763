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
    int fd; /* at home; -1: none */
    int protection;
    int sole;    /* may be written to, and is written back: only the program uses the file */
    int written; /* it may have been, since it was mapped */
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

long shared_add(struct remote_call *call, uintptr_t start, size_t length, long fd, long offset,
                long protection, int sole)
{
    const struct shared map = {.start = start,
                               .length = length,
                               .offset = offset,
                               .protection = (int)protection,
                               .sole = sole,
                               .written = (protection & PROT_WRITE) != 0};
    return add(call, map, fd);
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

int shared_may_be_written(uintptr_t start, size_t length)
{
    int may = 1;
    for (int i = 0; i < MAPS; i++)
        may &= maps[i].sole || !overlaps(&maps[i], start, end_of(start, length));
    return may;
}

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

static size_t file_size(struct remote_call *call, int fd)
{
    struct remote_thread *t = remote_thread();
    const long args[CALL_ARGS] = {fd, t ? (long)&t->stat : 0};
    return t && remote_forward(call, SYS_fstat, args) == 0 ? (size_t)t->stat.st_size : 0;
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
    size_t size = file_size(call, m->fd), first = start > m->start ? start - m->start : 0;
    size_t last = end < m->start + m->length ? end - m->start : m->length;
    size_t in_file = size > (size_t)m->offset ? size - (size_t)m->offset : 0;
    long error = 0;
    if (last > in_file)
        last = in_file;
    for (size_t at = first; at < last && !error; at += PIECE)
        error = write_piece(call, m, at, last - at < PIECE ? last - at : PIECE);
    return error;
}

long shared_write_back(struct remote_call *call, uintptr_t start, size_t length)
{
    long first = 0;
    int quiet = call->quiet;
    call->quiet = 1; /* to write to memory raises no SIGXFSZ */
    for (int i = 0; i < MAPS; i++) {
        struct shared m = maps[i];
        long error = m.sole && m.written && overlaps(&m, start, end_of(start, length))
                         ? write_map(call, &m, start, end_of(start, length))
                         : 0;
        first = first ? first : error;
    }
    call->quiet = quiet;
    return first;
}

void shared_come_home(void)
{
    for (int i = 0; i < MAPS; i++) {
        struct shared *m = &maps[i];
        if (!m->length || m->fd < 0) {
            m->length = 0;
            continue;
        }
        raw(SYS_mmap, m->start, m->length, m->protection, MAP_SHARED | MAP_FIXED, m->fd, m->offset);
        raw(SYS_close, m->fd);
        m->length = 0;
    }
}
