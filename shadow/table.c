/* table.c - see table.h. */
#include <fcntl.h>

#include "restart/fds.h"
#include "shadow/table.h"

static struct fds_table table;

static const struct fds_header *header(void)
{
    return table.data;
}

/* A program that takes its descriptors home takes its terminal, too. */
static void take_terminals(void)
{
    struct fds_entry *e = (struct fds_entry *)fds_entries(header());
    for (uint32_t i = 0; i < header()->count; i++)
        if (e[i].kind == FDS_TERMINAL)
            e[i].flags |= FDS_TAKEN;
}

void table_begin(const struct hold *hold)
{
    table = (struct fds_table){.data = hold->table, .size = hold->table_size};
}

/* None of ours stands below the floor meanwhile. The listing itself needs two numbers for a moment.
 */
static int list(struct executor *x, struct fds_table *made)
{
    pthread_rwlock_wrlock(&x->numbers);
    setrlimit(RLIMIT_NOFILE, &x->open);
    long error = fds_collect_below(made, x->floor);
    setrlimit(RLIMIT_NOFILE, &x->closed);
    pthread_rwlock_unlock(&x->numbers);
    return (int)error;
}

int table_make(struct executor *x, uint64_t image, struct frame_offer *offer)
{
    char why[256];
    struct fds_table made;
    long error = list(x, &made);
    if (!error && image && (error = fds_sync(&made, why, sizeof why)))
        fds_free(&made);
    if (error)
        return (int)error;
    fds_free(&table);
    table = made;
    if (image)
        ((struct fds_header *)table.data)->image = image;
    else
        take_terminals();
    *offer = (struct frame_offer){.image = header()->image, .table = (uint32_t)table.size};
    for (uint32_t i = 0; i < header()->count; i++)
        offer->count += (uint32_t)fds_travels(fds_entries(header()) + i);
    return 0;
}

const void *table_data(void)
{
    return table.data;
}

int table_piece(uint32_t from, const char **piece)
{
    if (from >= table.size)
        return -EINVAL;
    *piece = (const char *)table.data + from;
    return (int)(table.size - from < FRAME_MAX_PAYLOAD ? table.size - from : FRAME_MAX_PAYLOAD);
}

int table_batch(const struct frame_batch *batch, int *fds)
{
    uint32_t index = 0, count = 0;
    if (batch->count > FRAME_BATCH)
        return -EBADMSG;
    for (uint32_t i = 0; i < header()->count && count < batch->count; i++) {
        const struct fds_entry *e = fds_entries(header()) + i;
        if (fds_travels(e) && index++ >= batch->first)
            fds[count++] = e->number;
    }
    return count == batch->count ? (int)count : -EBADMSG;
}

static bool set_lock(const struct fds_lock *l, bool take)
{
    struct flock lock = fds_flock(l, take);
    return fcntl(l->number, F_SETLK, &lock) == 0;
}

uint32_t table_lock(bool take)
{
    uint32_t lost = 0;
    for (uint32_t i = 0; i < header()->locks; i++) {
        const struct fds_lock *l = fds_locks(header()) + i;
        if (l->kind == FDS_POSIX && !set_lock(l, take))
            lost += take;
    }
    return lost;
}
