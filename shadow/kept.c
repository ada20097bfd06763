/* kept.c - see kept.h. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "stubs/fds.h"
#include "shadow/kept.h"
#include "shadow/message.h"

/* --- the executor --- */

static bool has_lease(const struct fds_header *h, int number)
{
    for (uint32_t i = 0; i < h->locks; i++)
        if (fds_locks(h)[i].kind == FDS_LEASE && fds_locks(h)[i].number == number)
            return true;
    return false;
}

static bool is_kept(const struct fds_header *h, const struct fds_entry *e)
{
    return (e->kind == FDS_REGULAR || e->kind == FDS_DIRECTORY) && !has_lease(h, e->number) &&
           !(h->flags & FDS_SHARING_UNKNOWN);
}

/* How many are kept. */
static uint32_t mark_gone(struct fds_header *h)
{
    struct fds_entry *e = (struct fds_entry *)fds_entries(h);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < h->count; i++)
        if (is_kept(h, &e[i]))
            kept++;
        else
            e[i].flags |= FDS_GONE;
    return kept;
}

static int say(const struct executor *x, unsigned type, const void *payload, size_t size,
               const int *fds, uint32_t count)
{
    struct frame_header h;
    frame_header(&h, type, 0, 0, size);
    return message_send(x->door, &h, payload, fds, count, 0);
}

static int send_table(const struct executor *x, const char *table, size_t size)
{
    int error = 0;
    for (size_t at = 0, piece; at < size && !error; at += piece) {
        piece = size - at < FRAME_MAX_PAYLOAD ? size - at : FRAME_MAX_PAYLOAD;
        error = say(x, FRAME_TABLE, table + at, piece, NULL, 0);
    }
    return error;
}

/* The numbers of the next entries that travel, from entry *at on. */
static uint32_t next_numbers(const struct fds_header *h, uint32_t *at, int numbers[FRAME_BATCH])
{
    uint32_t count = 0;
    for (; *at < h->count && count < FRAME_BATCH; ++*at)
        if (fds_travels(fds_entries(h) + *at))
            numbers[count++] = fds_entries(h)[*at].number;
    return count;
}

static int open_handle(struct executor *x, int number)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", number);
    int fd = open(path, O_PATH | O_CLOEXEC);
    return fd < 0 ? -errno : place_own(x, fd);
}

/* In place of the numbers. A new descriptor stands among the program's for a moment. */
static int open_handles(struct executor *x, int *fds, uint32_t count)
{
    int error = 0;
    uint32_t done = 0;
    pthread_rwlock_wrlock(&x->numbers);
    setrlimit(RLIMIT_NOFILE, &x->open);
    for (; done < count && error >= 0; done++)
        fds[done] = error = open_handle(x, fds[done]);
    setrlimit(RLIMIT_NOFILE, &x->closed);
    pthread_rwlock_unlock(&x->numbers);
    if (error >= 0)
        return 0;
    while (--done)
        close(fds[done - 1]);
    return error;
}

static int send_handles(struct executor *x, const struct fds_header *h)
{
    int fds[FRAME_BATCH], error = 0;
    struct frame_batch batch = {0};
    for (uint32_t at = 0; !error && (batch.count = next_numbers(h, &at, fds));) {
        error = open_handles(x, fds, batch.count);
        if (error)
            break;
        error = say(x, FRAME_DESCRIPTORS, &batch, sizeof batch, fds, batch.count);
        for (uint32_t i = 0; i < batch.count; i++)
            close(fds[i]);
        batch.first += batch.count;
    }
    return error;
}

void kept_send(struct executor *x, const void *table, size_t size)
{
    struct fds_header *copy = malloc(size);
    if (!copy)
        return;
    memcpy(copy, table, size);
    struct frame_offer offer = {
        .image = copy->image, .count = mark_gone(copy), .table = (uint32_t)size, .kept = 1};
    int error = say(x, FRAME_OFFER, &offer, sizeof offer, NULL, 0);
    if (!error)
        error = send_table(x, (const char *)copy, size);
    if (!error)
        error = send_handles(x, copy);
    if (error) { /* all or nothing */
        offer.image = 0;
        say(x, FRAME_OFFER, &offer, sizeof offer, NULL, 0);
    }
    free(copy);
}

/* --- the door --- */

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

static struct flock range_of(const struct fds_lock *l)
{
    return (struct flock){.l_type = l->write ? F_WRLCK : F_RDLCK,
                          .l_whence = SEEK_SET,
                          .l_start = l->start,
                          .l_len = l->end == INT64_MAX ? 0 : l->end - l->start + 1};
}

/* The locks that belong to the open file description; the process's are taken by it. */
static int take_locks(const struct fds_header *h, const struct fds_entry *e, int fd)
{
    int failed = 0;
    for (uint32_t i = 0; i < h->locks; i++) {
        const struct fds_lock *l = fds_locks(h) + i;
        struct flock range = range_of(l);
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

/* The copy of the first of the same description, which is done already; -1: it has none. */
static int copy_leader(const struct hold *h, const struct fds_header *table, int leader)
{
    for (uint32_t i = 0, index = 0; i < table->count; i++) {
        const struct fds_entry *e = fds_entries(table) + i;
        if (e->number == leader)
            return fds_travels(e) ? fcntl(h->fds[index], F_DUPFD_CLOEXEC, 3) : -1;
        index += (uint32_t)fds_travels(e);
    }
    return -1;
}

void kept_revive(struct hold *h)
{
    struct fds_header *table = (void *)h->table;
    struct fds_entry *e = (struct fds_entry *)fds_entries(table);
    uint32_t from = 0, to = 0;
    for (uint32_t i = 0; h->handles && i < table->count; i++) {
        if (!fds_travels(&e[i]))
            continue;
        int handle = h->fds[from++];
        int fd = e[i].shares == e[i].number ? reopen(table, &e[i], handle)
                                            : copy_leader(h, table, e[i].shares);
        close(handle);
        if (fd >= 0)
            h->fds[to++] = fd;
        else
            e[i].flags |= FDS_GONE;
    }
    if (h->handles)
        h->count = h->received = to;
    h->handles = false;
}
