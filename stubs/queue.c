/* queue.c - see queue.h. */
#include <errno.h>
#include <linux/futex.h>
#include <sys/mman.h>

#include "stubs/behind.h"
#include "stubs/channel.h"
#include "stubs/lock.h"
#include "stubs/mem.h"
#include "stubs/queue.h"
#include "stubs/raw.h"
#include "stubs/readable.h"

#define PATIENCE 1000 /* times that another thread may run while the ring is full */

static struct {
    int lock;
    struct ring *ring;                           /* NULL: none yet */
    struct ring_failure failures[RING_FAILURES]; /* of rings that are no more */
} queue; /* zero at first: what is not needs to be written into the target */

/* Where the ring is mapped, from the first one on. There is always something to be read: a quick
 * write may be about to look at it when a checkpoint ends it. */
static struct ring *place;

static int map_place(int flags, long fd)
{
    long at = raw(SYS_mmap, place, sizeof *place, PROT_READ | PROT_WRITE,
                  flags | (place ? MAP_FIXED : 0), fd, 0);
    if (raw_failed(at))
        return -1;
    place = (struct ring *)at;
    return 0;
}

static void clear_place(void)
{
    map_place(MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

void queue_free(void)
{
    if (place && !queue.ring)
        raw(SYS_munmap, place, sizeof *place), place = NULL;
}

static struct ring *make_ring(void)
{
    long fd = raw(SYS_memfd_create, "gdb-hijack", 3 /* MFD_CLOEXEC | MFD_ALLOW_SEALING */);
    uint32_t size = sizeof *place;
    if (raw_failed(fd))
        return NULL;
    int one = (int)fd, failed = raw(SYS_ftruncate, fd, sizeof *place) || map_place(MAP_SHARED, fd);
    if (!failed && channel_ask_with(FRAME_RING, &size, sizeof size, &one) < 0) {
        clear_place();
        failed = 1;
    }
    raw(SYS_close, fd);
    return failed ? NULL : place;
}

static void put(struct ring *r, uint64_t head, const void *from, size_t size)
{
    memcpy(r->records + (head & (RING_SIZE - 1)), from, size);
}

static int read_data(void *to, const void *from, size_t size)
{
    if (remote.threaded || !readable_learned(from, size))
        return remote_read(to, from, size);
    memcpy(to, from, size);
    return 0;
}

/* The head has been moved before the sleeper is looked for. One call makes the word 0 and wakes: a
 * handler that leaves in between would leave the sleeper asleep. */
void queue_wake(struct ring *r)
{
    const long op = FUTEX_OP(FUTEX_OP_SET, 0, FUTEX_OP_CMP_EQ, 0);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&r->asleep, __ATOMIC_SEQ_CST))
        raw(SYS_futex, &r->asleep, FUTEX_WAKE_OP, 1, 0, &r->asleep, op);
}

void queue_nudge(void)
{
    struct ring *r = queue.ring;
    if (r && r->head != __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE))
        queue_wake(r);
}

/* Appends a record, its data straight from the program. 0, -EAGAIN: no room; -EFAULT. */
static int append(struct ring *r, const struct ring_record *record, const void *from)
{
    uint64_t head = r->head, tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
    uint64_t bytes = ring_bytes(record->size), left = RING_SIZE - (head & (RING_SIZE - 1));
    uint64_t skip = bytes > left ? left : 0;
    if (head + skip + bytes - tail > RING_SIZE)
        return -EAGAIN;
    if (skip) {
        const struct ring_record end = {.size = RING_SKIP};
        put(r, head, &end, sizeof end <= left ? sizeof end : sizeof end.size);
        head += skip;
    }
    put(r, head, record, sizeof *record);
    if (read_data(r->records + (head & (RING_SIZE - 1)) + sizeof *record, from, record->size))
        return -EFAULT;
    __atomic_store_n(&r->head, head + bytes, __ATOMIC_SEQ_CST);
    queue_wake(r);
    return 0;
}

static struct ring_failure *find_failure(struct ring_failure *list, int fd)
{
    for (int i = 0; i < RING_FAILURES; i++)
        if (__atomic_load_n(&list[i].error, __ATOMIC_ACQUIRE) && list[i].fd == fd)
            return &list[i];
    return NULL;
}

struct ring *queue_ready(int fd)
{
    struct ring *r = queue.ring;
    return !r || __atomic_load_n(&r->failed, __ATOMIC_ACQUIRE) || find_failure(queue.failures, fd)
               ? NULL
               : r;
}

/* The shadow takes all that is in the ring before it does a call. */
static void drain(struct remote_call *call)
{
    behind_own(call, SYS_getpgrp, 0, 0, 0);
}

/* The writes behind the one that failed, which are in the ring, go the same way. */
int queue_failure(struct remote_call *call, int fd)
{
    struct ring *r = queue.ring;
    int in_ring =
        r && __atomic_load_n(&r->failed, __ATOMIC_ACQUIRE) && find_failure(r->failures, fd);
    if (in_ring)
        drain(call);
    lock_take(&queue.lock);
    struct ring_failure *f = find_failure(in_ring ? r->failures : queue.failures, fd);
    int error = f ? f->error : 0;
    if (f)
        __atomic_store_n(&f->error, 0, __ATOMIC_RELEASE);
    if (f && in_ring)
        __atomic_sub_fetch(&r->failed, 1, __ATOMIC_RELEASE);
    lock_release(&queue.lock);
    return error;
}

/* With the ring full its writes are waited for: whoever takes them is awake. */
int queue_put(struct remote_call *call, const struct ring_record *record, const void *from)
{
    int error;
    lock_take(&queue.lock);
    if (!queue.ring)
        queue.ring = make_ring();
    for (int i = 0; (error = queue.ring ? append(queue.ring, record, from) : -EAGAIN) == -EAGAIN &&
                    queue.ring && i < PATIENCE;
         i++)
        raw(SYS_sched_yield);
    lock_release(&queue.lock);
    if (error != -EAGAIN || !queue.ring)
        return error;
    drain(call);
    lock_take(&queue.lock);
    error = queue.ring ? append(queue.ring, record, from) : -EAGAIN;
    lock_release(&queue.lock);
    return error;
}

void queue_drain(struct remote_call *call)
{
    const struct ring *r = queue.ring;
    if (r && r->head != __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE))
        drain(call);
}

/* A descriptor's first error is the one that it is told. */
static void keep_failures(const struct ring_failure *from)
{
    for (int i = 0, to = 0; i < RING_FAILURES; i++) {
        if (!from[i].error || find_failure(queue.failures, from[i].fd))
            continue;
        while (to < RING_FAILURES && queue.failures[to].error)
            to++;
        if (to < RING_FAILURES)
            queue.failures[to] = from[i];
    }
}

void queue_end(struct remote_call *call)
{
    if (!queue.ring)
        return;
    drain(call);
    keep_failures(queue.ring->failures);
    queue.ring = NULL;
    clear_place();
}

void queue_forget_failures(void)
{
    memset(queue.failures, 0, sizeof queue.failures);
}
