/*
 * ckpt_fds_pipe.c - what stands in a pipe that begins and ends in the program, such as the one byte
 * of a lock that handlers may take: with the program's end it is lost, for nobody else has it.
 *
 * Mechanism: tee(2) copies to a pipe of ours what stays in the other. A pipe that others read or
 * write is as they have it by then; its bytes are not looked at.
 */
#include <fcntl.h>
#include <sys/ioctl.h>

#include "restart/fds.h"
#include "stubs/raw.h"

static char bytes[4096];

static int access_of(const struct fds_entry *e)
{
    return e->status & O_ACCMODE;
}

/* In packet mode, which its writing end has, bytes do not tell where each write began. */
static int is_private(const struct fds_header *h, const struct fds_entry *entries,
                      const struct fds_entry *e)
{
    int writers = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct fds_entry *o = &entries[i];
        if (o->kind != FDS_PIPE || o->inode != e->inode || o->dev != e->dev)
            continue;
        if (o->status & O_DIRECT)
            return 0;
        writers += access_of(o) == O_WRONLY;
    }
    return writers > 0;
}

static int has_contents(const struct fds_header *h, const struct fds_entry *entries,
                        const struct fds_entry *e)
{
    return e->kind == FDS_PIPE && e->size > 0 && e->shares == e->number &&
           access_of(e) == O_RDONLY && is_private(h, entries, e);
}

/* Hexadecimal digits of all that stands in our pipe; how many bytes they are. */
static long read_digits(int pipe, char *to, long most)
{
    long done = 0, n;
    while ((n = raw(SYS_read, pipe, bytes, sizeof bytes)) > 0 && done + n <= most)
        for (long i = 0; i < n; i++, done++) {
            to[2 * done] = "0123456789abcdef"[(unsigned char)bytes[i] >> 4];
            to[2 * done + 1] = "0123456789abcdef"[bytes[i] & 15];
        }
    to[2 * done] = 0;
    return done;
}

/* All `size` bytes, or nothing: then the image has none, and a restart that needs them says so. */
static int copy(int number, int64_t size, char *to)
{
    int ends[2];
    long done = 0;
    if (raw(SYS_pipe2, ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return 0;
    raw(SYS_fcntl, ends[1], F_SETPIPE_SZ, raw(SYS_fcntl, number, F_GETPIPE_SZ));
    if (raw(SYS_tee, number, ends[1], size, SPLICE_F_NONBLOCK) == size)
        done = read_digits(ends[0], to, size);
    raw(SYS_close, ends[0]);
    raw(SYS_close, ends[1]);
    return done == size;
}

void fds_read_pipes(struct fds_header *h, struct fds_entry *entries, char *strings, size_t size)
{
    for (uint32_t i = 0; i < h->count; i++) {
        struct fds_entry *e = &entries[i];
        size_t length = 2 * (size_t)e->size + 1;
        if (!has_contents(h, entries, e) || size - h->strings < length ||
            !copy(e->number, e->size, strings + h->strings))
            continue;
        e->extra = h->strings;
        h->strings += (uint32_t)length;
    }
}
