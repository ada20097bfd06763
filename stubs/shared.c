/* shared.c - see shared.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "stubs/lock.h"
#include "stubs/mem.h"
#include "stubs/raw.h"
#include "stubs/shared.h"
#include "stubs/thread.h"

#define MAPS  128
#define PIECE WIRE_DATA

struct shared {
    uintptr_t start;
    size_t length; /* 0: a free entry */
    long offset;
    int fd; /* at home */
    int protection;
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

static long duplicate(struct remote_call *call, long fd)
{
    const long args[CALL_ARGS] = {fd, F_DUPFD_CLOEXEC, SHARED_FDS};
    return remote_forward(call, SYS_fcntl, args);
}

static void close_at_home(struct remote_call *call, int fd)
{
    const long args[CALL_ARGS] = {fd};
    remote_forward(call, SYS_close, args);
}

long shared_add(struct remote_call *call, uintptr_t start, size_t length, long fd, long offset,
                long protection)
{
    long copy = duplicate(call, fd);
    if (copy < 0)
        return copy;
    const struct shared map = {start, length, offset, (int)copy, (int)protection};
    long error = add_entry(&map);
    if (error)
        close_at_home(call, (int)copy);
    return error;
}

/* --- writing back --- */

static size_t file_size(struct remote_call *call, int fd)
{
    struct remote_thread *t = remote_thread();
    const long args[CALL_ARGS] = {fd, t ? (long)&t->stat : 0};
    return t && remote_forward(call, SYS_fstat, args) == 0 ? (size_t)t->stat.st_size : 0;
}

/* What the program cannot read itself it cannot have written. */
static long write_piece(struct remote_call *call, const struct shared *m, size_t from, size_t size)
{
    const long args[CALL_ARGS] = {m->fd, (long)(m->start + from), (long)size,
                                  m->offset + (long)from};
    long result = remote_forward(call, SYS_pwrite64, args);
    return result == -EFAULT ? 0 : result < 0 ? result : 0;
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

static int overlaps(const struct shared *m, uintptr_t start, uintptr_t end)
{
    return m->length && m->start < end && start < m->start + m->length;
}

static uintptr_t end_of(uintptr_t start, size_t length)
{
    return length > UINTPTR_MAX - start ? UINTPTR_MAX : start + length;
}

long shared_write_back(struct remote_call *call, uintptr_t start, size_t length)
{
    long first = 0;
    for (int i = 0; i < MAPS; i++) {
        struct shared m = maps[i];
        long error = overlaps(&m, start, end_of(start, length))
                         ? write_map(call, &m, start, end_of(start, length))
                         : 0;
        first = first ? first : error;
    }
    return first;
}

/* --- unmapping --- */

/* What is left of a mapping behind a hole in it. */
static void keep_tail(struct remote_call *call, const struct shared *m, uintptr_t from)
{
    uintptr_t end = m->start + m->length;
    if (from < end)
        shared_add(call, from, end - from, m->fd, m->offset + (long)(from - m->start),
                   m->protection);
}

void shared_remove(struct remote_call *call, uintptr_t start, size_t length)
{
    uintptr_t end = end_of(start, length);
    for (int i = 0; i < MAPS; i++) {
        struct shared m = maps[i];
        if (!overlaps(&m, start, end))
            continue;
        keep_tail(call, &m, end);
        maps[i].length = start > m.start ? start - m.start : 0;
        if (!maps[i].length)
            close_at_home(call, m.fd);
    }
}

void shared_moved(uintptr_t from, uintptr_t to, size_t length)
{
    for (int i = 0; i < MAPS; i++)
        if (maps[i].length && maps[i].start == from) {
            maps[i].start = to;
            maps[i].length = length;
        }
}

void shared_come_home(void)
{
    for (int i = 0; i < MAPS; i++) {
        struct shared *m = &maps[i];
        if (m->length)
            raw(SYS_mmap, m->start, m->length, m->protection, MAP_SHARED | MAP_FIXED, m->fd,
                m->offset);
        if (m->length)
            raw(SYS_close, m->fd);
        m->length = 0;
    }
}
