/* ahead.c - see ahead.h. */
#include <errno.h>

#include "stubs/ahead.h"
#include "stubs/behind.h"
#include "stubs/lock.h"
#include "stubs/mem.h"
#include "stubs/raw.h"

#define AHEAD  (128u << 10)
#define PLACES 8

struct place {
    int lock;  /* of all below; before that of all */
    int taken; /* by this descriptor + 1; 0: free. Changes under both locks, but from free */
    uint32_t used, have;
    unsigned char data[AHEAD];
};

static struct {
    int lock;
    uint32_t taken;
    uint16_t held[HIJACK_BUFFERED];
    struct place places[PLACES];
} all; /* zero at first: what is not needs to be written into the target */

static struct place *find(int taken)
{
    for (int i = 0; i < PLACES; i++)
        if (__atomic_load_n(&all.places[i].taken, __ATOMIC_RELAXED) == taken)
            return &all.places[i];
    return NULL;
}

int ahead_any(void)
{
    return __atomic_load_n(&all.taken, __ATOMIC_SEQ_CST) != 0;
}

static void set_taken(struct place *p, int taken)
{
    __atomic_store_n(&p->taken, taken, __ATOMIC_RELAXED);
    __atomic_add_fetch(&all.taken, taken ? 1 : (uint32_t)-1, __ATOMIC_SEQ_CST);
}

static struct place *find_or_take(int fd, int take)
{
    lock_take(&all.lock);
    struct place *p = find(fd + 1);
    if (!p && take && !all.held[fd] && behind_is_buffered(fd) && (p = find(0)))
        set_taken(p, fd + 1);
    lock_release(&all.lock);
    return p;
}

/* The descriptor's place, locked; with `take` a free one when it has none. NULL: none. */
static struct place *enter(int fd, int take)
{
    struct place *p;
    while ((p = find_or_take(fd, take))) {
        lock_take(&p->lock);
        if (__atomic_load_n(&p->taken, __ATOMIC_RELAXED) == fd + 1)
            return p;
        lock_release(&p->lock); /* it was given up while we waited */
    }
    return NULL;
}

static long fetch(struct remote_call *call, struct place *p, int fd)
{
    long got = behind_own(call, SYS_read, fd, (long)p->data, AHEAD);
    p->used = 0;
    p->have = got > 0 ? (uint32_t)got : 0;
    return got;
}

/* -EFAULT, or how many bytes. */
static long serve(struct place *p, char *to, size_t size)
{
    size_t part = p->have - p->used < size ? p->have - p->used : size;
    if (remote_write(to, p->data + p->used, part))
        return -EFAULT;
    p->used += (uint32_t)part;
    return (long)part;
}

/* A regular file's read stops short only at its end. */
long ahead_read(struct remote_call *call, int fd, char *to, size_t size)
{
    long got = 1;
    size_t done = 0;
    struct place *p = size && size <= AHEAD / 2 ? enter(fd, 1) : NULL;
    if (!p)
        return -EBUSY;
    while (done < size && got > 0) {
        if (p->used == p->have && (got = fetch(call, p, fd)) <= 0)
            break;
        got = serve(p, to + done, size - done);
        done += got > 0 ? (size_t)got : 0;
    }
    lock_release(&p->lock);
    return done ? (long)done : got;
}

void ahead_settle(struct remote_call *call, int fd)
{
    struct place *p = enter(fd, 0);
    if (!p)
        return;
    if (p->used < p->have)
        behind_own(call, SYS_lseek, fd, (long)p->used - (long)p->have, 1 /* SEEK_CUR */);
    p->used = p->have = 0;
    lock_take(&all.lock);
    set_taken(p, 0);
    lock_release(&all.lock);
    lock_release(&p->lock);
}

void ahead_settle_some(struct remote_call *call, int (*chosen)(int fd, long what), long what)
{
    for (int i = 0; i < PLACES; i++) {
        int fd = __atomic_load_n(&all.places[i].taken, __ATOMIC_RELAXED) - 1;
        if (fd >= 0 && chosen(fd, what))
            ahead_settle(call, fd);
    }
}

static int any_one(int fd, long what)
{
    (void)fd, (void)what;
    return 1;
}

void ahead_settle_all(struct remote_call *call)
{
    ahead_settle_some(call, any_one, 0);
}

void ahead_hold(struct remote_call *call, int fd)
{
    lock_take(&all.lock);
    all.held[fd]++;
    lock_release(&all.lock);
    ahead_settle(call, fd);
}

void ahead_release(int fd)
{
    lock_take(&all.lock);
    all.held[fd] -= all.held[fd] > 0;
    lock_release(&all.lock);
}

void ahead_reset(void)
{
    memset(all.held, 0, sizeof all.held);
    for (int i = 0; i < PLACES; i++)
        all.places[i].taken = 0;
    all.taken = 0;
}
