/*
 * hold.c - keeps descriptors between the end of a program and its restart.
 *
 * RULE: a POSIX record lock belongs to the process and is lost when it closes any descriptor of the
 * file. So nothing of a hold is closed before all of it is.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stubs/fds.h"
#include "shadow/shadow.h"

int hold_offer(struct hold *h, const struct frame_offer *offer)
{
    hold_drop(h);
    if (!offer->image || offer->count > FDS_MAX || offer->table < sizeof(struct fds_header) ||
        offer->table > 64u << 20)
        return -EBADMSG;
    h->fds = calloc(offer->count + 1, sizeof *h->fds);
    h->table = malloc(offer->table);
    if (!h->fds || !h->table) {
        hold_drop(h);
        return -ENOMEM;
    }
    h->image = offer->image;
    h->count = offer->count;
    h->table_size = offer->table;
    return 0;
}

int hold_table(struct hold *h, const char *piece, uint32_t size)
{
    if (!h->image || size > h->table_size - h->table_received)
        return -EBADMSG;
    memcpy(h->table + h->table_received, piece, size);
    h->table_received += size;
    if (h->table_received < h->table_size)
        return 0;
    return fds_valid(h->table, h->table_size) ? 0 : -EBADMSG;
}

int hold_receive(struct hold *h, const struct frame_batch *batch, const int *fds)
{
    if (!h->image || batch->first != h->received || batch->count > h->count - h->received)
        return -EBADMSG;
    memcpy(h->fds + h->received, fds, batch->count * sizeof *fds);
    h->received += batch->count;
    return 0;
}

/* Everything is here, and there is one descriptor for each entry that travels. */
bool hold_complete(const struct hold *h)
{
    if (!h->image || h->received != h->count || h->table_received != h->table_size)
        return false;
    const struct fds_header *table = (const void *)h->table;
    uint32_t travelling = 0;
    for (uint32_t i = 0; i < table->count; i++)
        travelling += (uint32_t)fds_travels(fds_entries(table) + i);
    return table->image == h->image && travelling == h->count;
}

int hold_find(const struct hold *h, int number)
{
    const struct fds_header *table = (const void *)h->table;
    uint32_t index = 0;
    for (uint32_t i = 0; i < table->count; i++) {
        const struct fds_entry *e = fds_entries(table) + i;
        if (e->number == number)
            return fds_travels(e) ? h->fds[index] : -1;
        index += (uint32_t)fds_travels(e);
    }
    return -1;
}

static int set_lock(const struct hold *h, const struct fds_lock *l, bool take)
{
    struct flock lock = fds_flock(l, take);
    int fd = hold_find(h, l->number);
    return fd < 0 ? -1 : fcntl(fd, F_SETLK, &lock);
}

static void each_posix_lock(struct hold *h, bool take)
{
    const struct fds_header *table = (const void *)h->table;
    if (!h->image)
        return;
    for (uint32_t i = 0; i < table->locks; i++) {
        const struct fds_lock *l = fds_locks(table) + i;
        if (l->kind == FDS_POSIX && set_lock(h, l, take) < 0 && take)
            h->lost_locks++;
    }
}

void hold_lock(struct hold *h)
{
    h->lost_locks = 0;
    if (!h->kept) /* else they have been free for others since the program ended */
        each_posix_lock(h, true);
}

void hold_unlock(struct hold *h)
{
    each_posix_lock(h, false);
}

void hold_drop(struct hold *h)
{
    for (uint32_t i = 0; i < h->received; i++)
        close(h->fds[i]);
    free(h->fds);
    free(h->table);
    *h = (struct hold){0};
}
