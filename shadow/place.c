/* place.c - the program's descriptors under the program's numbers, ours above them: see execute.h.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "stubs/fds.h"
#include "shadow/execute.h"

#define RESERVE 64 /* numbers for ours, at least */
#define HIGHEST                                                                                    \
    FDS_MAX /* floor: the kernel's table of descriptors grows with the highest number              \
             */

/* The numbers that are in use while the descriptors change places: owner[number] is the address of
 * the variable that has it. */
struct places {
    int **owner;
    int count;
};

static int highest_number(const struct hold *h)
{
    const struct fds_header *table = (const void *)h->table;
    return table->count ? fds_entries(table)[table->count - 1].number : -1;
}

/* Ours begin above the soft limit, where the program gets no number, or below a hard limit that
 * leaves no room there. */
static int settle_limits(struct executor *x, int highest)
{
    x->files = x->open = x->start.files;
    x->open.rlim_cur = x->open.rlim_max;
    rlim_t floor = x->start.files.rlim_cur;
    if (x->open.rlim_max < RESERVE)
        return -EMFILE;
    if (floor > HIGHEST)
        floor = HIGHEST;
    if (floor > x->open.rlim_max - RESERVE)
        floor = x->open.rlim_max - RESERVE;
    if (floor <= (rlim_t)highest)
        floor = (rlim_t)highest + 1;
    if (floor > x->open.rlim_max - RESERVE / 2)
        return -EMFILE;
    x->floor = (int)floor;
    x->closed = x->open;
    x->closed.rlim_cur = x->start.files.rlim_cur < floor ? x->start.files.rlim_cur : floor;
    return setrlimit(RLIMIT_NOFILE, &x->open) < 0 ? -errno : 0;
}

int place_limit(struct executor *x, const struct rlimit *new, struct rlimit *old)
{
    int error = 0;
    pthread_rwlock_wrlock(&x->numbers);
    *old = x->files;
    if (new &&new->rlim_cur > new->rlim_max)
        error = -EINVAL;
    else if (new &&new->rlim_max > x->files.rlim_max)
        error = -EPERM;
    else if (new) {
        x->files = *new;
        x->closed.rlim_cur = new->rlim_cur < (rlim_t)x->floor ? new->rlim_cur : (rlim_t)x->floor;
        setrlimit(RLIMIT_NOFILE, &x->closed);
    }
    pthread_rwlock_unlock(&x->numbers);
    return error;
}

int place_own(struct executor *x, int fd)
{
    if (fd >= x->floor)
        return fd;
    int placed = fcntl(fd, F_DUPFD_CLOEXEC, x->floor);
    int error = placed < 0 ? -errno : 0;
    close(fd);
    return error ? error : placed;
}

int place_foreign(struct executor *x, int fd, int number, int cloexec)
{
    if (number < 0 || number >= x->floor)
        return -EBADF;
    pthread_rwlock_wrlock(&x->numbers);
    setrlimit(RLIMIT_NOFILE, &x->open);
    int error = dup3(fd, number, cloexec) < 0 ? -errno : 0;
    setrlimit(RLIMIT_NOFILE, &x->closed);
    pthread_rwlock_unlock(&x->numbers);
    return error;
}

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Closes all but the placed ones and the door. */
static int close_others(const struct executor *x, const int *fds, uint32_t count)
{
    int *keep = malloc((count + 1) * sizeof *keep), first = 0;
    if (!keep)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        keep[i] = fds[i];
    keep[count] = x->door;
    qsort(keep, count + 1, sizeof *keep, compare);
    for (uint32_t i = 0; i <= count; first = keep[i++] + 1)
        if (keep[i] > first)
            close_range((unsigned)first, (unsigned)keep[i] - 1, 0);
    close_range((unsigned)first, ~0u, 0);
    free(keep);
    return 0;
}

static int open_null(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* One for each entry of the table: held, or a terminal that the starter brought, or nothing. */
static int *whole_table(const struct executor *x, const struct hold *h, uint32_t *count)
{
    const struct fds_header *table = (const void *)h->table;
    uint32_t held = 0, terminals = 0;
    int *fds = malloc((table->count + 1) * sizeof *fds);
    *count = table->count;
    for (uint32_t i = 0; fds && i < table->count; i++) {
        if (fds_travels(fds_entries(table) + i))
            fds[i] = h->fds[held++];
        else if (terminals < x->start.terminal_count)
            fds[i] = x->start.terminals[terminals++];
        else
            fds[i] = open_null();
    }
    return fds;
}

static int note_places(struct places *p, int *fds, uint32_t count, int highest)
{
    p->count = highest + 1;
    p->owner = calloc((size_t)p->count + 1, sizeof(int *));
    if (!p->owner)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        if (fds[i] >= 0 && fds[i] < p->count)
            p->owner[fds[i]] = &fds[i];
    return 0;
}

/* Frees `number`: who stands there goes to a number that nobody needs. */
static int make_room(struct places *p, int number)
{
    int *owner = p->owner[number];
    if (!owner)
        return 0;
    int elsewhere = fcntl(number, F_DUPFD_CLOEXEC, p->count);
    if (elsewhere < 0)
        return -errno;
    *owner = elsewhere;
    p->owner[number] = NULL;
    return 0;
}

static int place_one(struct places *p, int *fd, const struct fds_entry *e)
{
    int flags = e->flags & FDS_CLOEXEC ? O_CLOEXEC : 0;
    if (*fd == e->number)
        return fcntl(*fd, F_SETFD, flags ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
    int error = make_room(p, e->number);
    if (error)
        return error;
    if (dup3(*fd, e->number, flags) < 0)
        return -errno;
    if (*fd < p->count)
        p->owner[*fd] = NULL;
    close(*fd);
    *fd = e->number;
    return 0;
}

static int place_all(const struct fds_header *table, int *fds)
{
    struct places places;
    int highest = table->count ? fds_entries(table)[table->count - 1].number : -1;
    int error = note_places(&places, fds, table->count, highest);
    for (uint32_t i = 0; !error && i < table->count; i++)
        error = fds[i] < 0 ? fds[i] : place_one(&places, &fds[i], fds_entries(table) + i);
    free(places.owner);
    return error;
}

static int open_listing(struct executor *x)
{
    int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : place_own(x, fd);
}

int place_descriptors(struct executor *x, const struct hold *h)
{
    uint32_t count;
    int error = settle_limits(x, highest_number(h));
    int *fds = whole_table(x, h, &count);
    if (!fds)
        return -ENOMEM;
    if (!error)
        error = close_others(x, fds, count);
    if (!error) {
        x->door = place_own(x, x->door);
        error = x->door < 0 ? x->door : place_all((const void *)h->table, fds);
    }
    if (!error)
        x->listing = open_listing(x);
    if (!error && setrlimit(RLIMIT_NOFILE, &x->closed) < 0)
        error = -errno;
    free(fds);
    return error;
}
