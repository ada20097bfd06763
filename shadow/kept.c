/* kept.c - the door's side of kept.h. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "stubs/fds.h"
#include "shadow/kept.h"
#include "shadow/message.h"

/* --- from image to image --- */

static int receive_handles(struct hold *h, struct frame *f)
{
    const struct frame_batch *batch = (const void *)f->payload;
    if (f->header.length != sizeof *batch || batch->count != f->fd_count)
        return -EBADMSG;
    int error = hold_receive(h, batch, f->fds);
    if (!error)
        f->fd_count = 0; /* the hold owns them now */
    return error;
}

bool kept_receive(struct shadow *s, struct frame *f)
{
    struct hold *h = &s->listed;
    int error;
    if (f->header.type == FRAME_OFFER)
        error = f->header.length == sizeof(struct frame_offer)
                    ? hold_offer(h, (const void *)f->payload)
                    : -EBADMSG;
    else if (f->header.type == FRAME_TABLE)
        error = hold_table(h, f->payload, f->header.length);
    else if (f->header.type == FRAME_DESCRIPTORS)
        error = receive_handles(h, f);
    else
        return false;
    if (error)
        hold_drop(h);
    return true;
}

void kept_settle(struct shadow *s, bool stays)
{
    if (stays && hold_complete(&s->listed)) {
        hold_drop(&s->kept);
        s->kept = s->listed;
        s->listed = (struct hold){0};
    }
    hold_drop(&s->listed);
}

void kept_drop(struct shadow *s)
{
    hold_drop(&s->listed);
    hold_drop(&s->kept);
}

static bool has_nameless(const struct hold *h)
{
    const struct fds_header *table = (const void *)h->table;
    for (uint32_t i = 0; i < table->count; i++)
        if (fds_travels(fds_entries(table) + i) && fds_entries(table)[i].flags & FDS_DELETED)
            return true;
    return false;
}

bool kept_outlive(struct shadow *s)
{
    if (!s->kept.image || !(s->away || has_nameless(&s->kept)))
        return false;
    hold_drop(&s->held);
    s->held = s->kept;
    s->held.kept = s->held.handles = true;
    s->kept = (struct hold){0};
    return true;
}

/* --- descriptors again --- */

/* The locks that belong to the open file description; the process's are taken by it. */
static int take_locks(const struct fds_header *h, const struct fds_entry *e, int fd)
{
    int failed = 0;
    for (uint32_t i = 0; i < h->locks; i++) {
        const struct fds_lock *l = fds_locks(h) + i;
        struct flock range = fds_flock(l, true);
        if (l->number != e->number)
            continue;
        if (l->kind == FDS_FLOCK)
            failed |= flock(fd, (l->write ? LOCK_EX : LOCK_SH) | LOCK_NB);
        else if (l->kind == FDS_OFD)
            failed |= fcntl(fd, F_OFD_SETLK, &range);
    }
    return failed;
}

/* A new open file description of the file, as the program's was. */
static int reopen(const struct fds_header *h, const struct fds_entry *e, int handle)
{
    const int flags = O_ACCMODE | O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | O_SYNC | O_PATH;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", handle);
    int fd = open(path, (e->status & flags) | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -1;
    bool placed = e->offset <= 0 || lseek(fd, e->offset, SEEK_SET) == e->offset;
    if (placed && take_locks(h, e, fd) == 0)
        return fd;
    close(fd);
    return -1;
}

/* A copy of the first of the same description, which is done already. */
static int copy_leader(const struct hold *h, int leader)
{
    int fd = hold_find(h, leader);
    return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static void revive(struct hold *h)
{
    struct fds_header *table = (void *)h->table;
    struct fds_entry *e = (struct fds_entry *)fds_entries(table);
    uint32_t from = 0, to = 0;
    for (uint32_t i = 0; i < table->count; i++) {
        if (!fds_travels(&e[i]))
            continue;
        int handle = h->fds[from++];
        int fd =
            e[i].shares == e[i].number ? reopen(table, &e[i], handle) : copy_leader(h, e[i].shares);
        close(handle);
        if (fd >= 0)
            h->fds[to++] = fd;
        else
            e[i].flags |= FDS_GONE;
    }
    h->count = h->received = to;
}

void kept_revive(struct hold *h)
{
    if (h->handles)
        revive(h);
    h->handles = false;
}
