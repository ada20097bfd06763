/* starter_fds_lock.c - record locks, open file description locks, flocks and leases (fcntl(2),
 * flock(2)). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "restart/starter_fds_plan.h"

/* The index of the entry whose open file description the lock's descriptor is, or -1. */
static long leader_of(const struct starter_fds *f, const struct fds_lock *l)
{
    long index = starter_fds_index(f, l->number);
    if (index >= 0 && f->plans[index].source == FROM_LEADER)
        index = starter_fds_index(f, entry_at(f, (uint32_t)index)->shares);
    return index;
}

/* The descriptor as it is before it stands under its number; -1 where it is not opened yet. */
static int made(const struct starter_fds *f, const struct fds_lock *l)
{
    long index = leader_of(f, l);
    return index < 0 ? -1 : f->plans[index].made;
}

void starter_fds_check_locks(struct starter_fds *f)
{
    for (uint32_t i = 0; i < f->h->locks; i++) {
        const struct fds_lock *l = fds_locks(f->h) + i;
        struct flock lock = fds_flock(l, 1);
        int fd = made(f, l);
        long index = starter_fds_index(f, l->number);
        if (fd < 0 || (l->kind != FDS_POSIX && l->kind != FDS_OFD))
            continue;
        if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
            starter_fds_refuse(
                f, entry_at(f, (uint32_t)index),
                "process %d has locked a part that the program had locked; let it end first",
                (int)lock.l_pid);
    }
}

static int take_lock(const struct fds_lock *l)
{
    struct flock lock = fds_flock(l, 1);
    switch (l->kind) {
    case FDS_POSIX:
        return fcntl(l->number, F_SETLK, &lock);
    case FDS_OFD:
        return fcntl(l->number, F_OFD_SETLK, &lock);
    case FDS_FLOCK:
        return flock(l->number, (l->write ? LOCK_EX : LOCK_SH) | LOCK_NB);
    default:
        return fcntl(l->number, F_SETLEASE, l->write ? F_WRLCK : F_RDLCK);
    }
}

/* What belongs to the open file description came with it from the shadow. */
static bool came_along(const struct starter_fds *f, const struct fds_lock *l)
{
    long index = leader_of(f, l);
    return l->kind != FDS_POSIX && index >= 0 && f->plans[index].source == FROM_SHADOW;
}

int starter_fds_take_locks(struct starter_fds *f)
{
    int error = f->with_shadow ? control_ask(&f->shadow, FRAME_UNLOCK, NULL, 0, NULL) : 0;
    for (uint32_t i = 0; !error && i < f->h->locks; i++) {
        const struct fds_lock *l = fds_locks(f->h) + i;
        long index = starter_fds_index(f, l->number);
        if (index < 0 || came_along(f, l) || take_lock(l) == 0)
            continue;
        error = starter_fds_refuse(f, entry_at(f, (uint32_t)index), "cannot lock it again: %s",
                                   strerror(errno));
    }
    return error;
}
