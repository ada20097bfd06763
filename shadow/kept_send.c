/* kept_send.c - the executor's side of kept.h. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stubs/fds.h"
#include "shadow/kept.h"
#include "shadow/message.h"

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
