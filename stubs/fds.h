/*
 * fds.h - the table of a program's descriptors: made by the checkpoint (restart/ckpt_fds.c), kept
 * in the image as one opaque note and in the shadow while it holds the descriptors, read by the
 * starter (restart/starter_fds.c).
 *
 * Layout: struct fds_header, then `count` struct fds_entry by rising number, `locks` struct
 * fds_lock, `strings` bytes of NUL-terminated text. Offsets into the strings are from their
 * beginning; 0 is the empty string.
 *
 * Whoever reads one asks fds_valid() first. The functions are inline and need no libc.
 */
#ifndef STUBS_FDS_H
#define STUBS_FDS_H

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>

#define FDS_MAGIC   0x53444648u /* "HFDS" */
#define FDS_VERSION 1
#define FDS_MAX     65536       /* descriptors in one program; more are refused (-E2BIG) */
#define FDS_NOTE    "GDBHIJACK" /* suggested note name; any type will do */

/* Of a terminal: the kernel's struct termios (TCGETS), then struct winsize (TIOCGWINSZ). */
#define FDS_TERMIOS_BYTES  36
#define FDS_WINDOW_BYTES   8
#define FDS_TERMINAL_BYTES (FDS_TERMIOS_BYTES + FDS_WINDOW_BYTES)

enum fds_kind {
    FDS_REGULAR = 1,
    FDS_DIRECTORY,
    FDS_CHARACTER, /* a device; rdev says which */
    FDS_TERMINAL,  /* the controlling terminal, or any terminal at 0, 1, 2: comes from the restart
                      command */
    FDS_BLOCK,
    FDS_PIPE, /* pipe(2) */
    FDS_FIFO, /* a named one */
    FDS_SOCKET,
    FDS_EVENTFD,
    FDS_TIMERFD,
    FDS_EPOLL,
    FDS_SIGNALFD,
    FDS_INOTIFY,
    FDS_MEMFD,
    FDS_PIDFD,
    FDS_IO_URING,
    FDS_BOUND, /* tied to this process or its memory: userfaultfd, perf_event, kvm, a file below
                  /proc/PID */
    FDS_OTHER, /* another anonymous inode */
};

/* fds_entry.flags */
#define FDS_CLOEXEC   1u
#define FDS_DELETED   2u  /* the path names no file or another one */
#define FDS_PATH_ONLY 4u  /* O_PATH */
#define FDS_MASTER    8u  /* a pseudo-terminal's master */
#define FDS_TAKEN     16u /* a terminal that goes to the shadow all the same: remote I/O begins */
#define FDS_HERE      32u /* comes home: what has the number at home only holds it (stubs/local.h) */
#define FDS_GONE      64u  /* the shadow has not kept it for the image of a program that went on */
#define FDS_WIDOWED   128u /* a unix socket whose other end is closed, with nothing left to read */

/* fds_header.flags */
#define FDS_SHARING_UNKNOWN 1u /* kcmp(2) is not to be had: fds_entry.shares says nothing */

struct fds_header {
    uint32_t magic, version;
    uint32_t entry_size, lock_size;
    uint32_t count, locks, strings;
    uint32_t flags;
    uint64_t image; /* random: names the checkpoint to the shadow */
};

struct fds_entry {
    int32_t number;
    int32_t
        shares; /* lowest number of the same open file description; its own when it is the first */
    uint16_t kind;
    uint16_t flags;
    int32_t status; /* fcntl(F_GETFL) */
    uint32_t mode;  /* st_mode */
    uint32_t path;  /* readlink(/proc/self/fd/N) */
    uint32_t extra; /* text of /proc/self/fdinfo/N, for the kinds that tell their state there; in
                       hexadecimal: of a pipe's reading end, what stands in it (ckpt_fds_pipe.c); of
                       a terminal, FDS_TERMINAL_BYTES */
    int32_t domain, type; /* of a socket */
    int32_t owner;        /* fcntl(F_GETOWN) */
    int64_t offset;       /* lseek(SEEK_CUR), -1 where there is none */
    uint64_t dev, inode, rdev;
    int64_t size; /* st_size; of a pipe, the bytes in it */
    int64_t mtime, mtime_nsec;
    int64_t ctime, ctime_nsec;
};

enum fds_lock_kind { FDS_POSIX = 1, FDS_FLOCK, FDS_OFD, FDS_LEASE };

/* A lock that the program holds, as /proc/self/fdinfo/N tells it. A flock and an OFD lock belong to
 * the open file description and travel with it; a POSIX one belongs to the process and must be
 * taken again. */
struct fds_lock {
    int32_t number; /* a descriptor of that file */
    uint16_t kind;
    uint16_t write; /* 1: exclusive */
    int64_t start;
    int64_t end; /* last byte; INT64_MAX: to the end of the file */
};

struct fds_table {
    void *data; /* the note; mapped anonymously: leave [data, data + mapped) out of the image */
    size_t size;
    size_t mapped;
};

/* Does a descriptor of this kind go to the shadow? A terminal does not when the program leaves: the
 * restart command has its own. */
static inline int fds_travels(const struct fds_entry *e)
{
    return !(e->flags & FDS_GONE) && (e->kind != FDS_TERMINAL || e->flags & FDS_TAKEN);
}

static inline const struct fds_entry *fds_entries(const struct fds_header *h)
{
    return (const struct fds_entry *)(h + 1);
}

static inline const struct fds_lock *fds_locks(const struct fds_header *h)
{
    return (const struct fds_lock *)(fds_entries(h) + h->count);
}

/* The lock as fcntl(2) takes it: to be taken, or to be let go of. */
static inline struct flock fds_flock(const struct fds_lock *l, int take)
{
    return (struct flock){.l_type = !take      ? F_UNLCK
                                    : l->write ? F_WRLCK
                                               : F_RDLCK,
                          .l_whence = 0, /* SEEK_SET */
                          .l_start = l->start,
                          .l_len = l->end == INT64_MAX ? 0 : l->end - l->start + 1};
}

static inline const char *fds_string(const struct fds_header *h, uint32_t offset)
{
    return (const char *)(fds_locks(h) + h->locks) + offset;
}

/* Is entry `i` the program's only descriptor with that offset? */
static inline int fds_is_alone(const struct fds_header *h, uint32_t i)
{
    const struct fds_entry *e = fds_entries(h);
    int shared = e[i].shares != e[i].number || h->flags & FDS_SHARING_UNKNOWN;
    for (uint32_t k = i + 1; k < h->count; k++)
        shared |= e[k].shares == e[i].number;
    return !shared;
}

/* Is this a well-formed table of `size` bytes? Everything that reads one asks first. */
static inline int fds_valid(const void *table, size_t size)
{
    const struct fds_header *h = table;
    if (size < sizeof *h || h->magic != FDS_MAGIC || h->version != FDS_VERSION ||
        h->count > FDS_MAX || h->entry_size != sizeof(struct fds_entry) ||
        h->lock_size != sizeof(struct fds_lock) || !h->strings)
        return 0;
    if (size != sizeof *h + (uint64_t)h->count * sizeof(struct fds_entry) +
                    (uint64_t)h->locks * sizeof(struct fds_lock) + h->strings ||
        fds_string(h, 0)[h->strings - 1])
        return 0;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct fds_entry *e = fds_entries(h) + i;
        if (e->number < 0 || e->shares < 0 || e->shares > e->number || e->path >= h->strings ||
            e->extra >= h->strings || (i && e->number <= e[-1].number))
            return 0;
    }
    return 1;
}

#endif
