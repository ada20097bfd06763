/* behind.c - see behind.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "stubs/behind.h"
#include "stubs/channel.h"
#include "stubs/lock.h"
#include "stubs/mem.h"
#include "stubs/policy.h"
#include "stubs/raw.h"
#include "stubs/ring.h"
#include "stubs/thread.h"

#define FDS         1024 /* descriptors with higher numbers are never buffered */
#define AHEAD       (128u << 10)
#define AHEAD_FILES 8
#define PATIENCE    1000 /* times that another thread may run while the ring is full */

struct ahead {
    int taken; /* by this descriptor + 1; 0: free */
    int busy;
    uint32_t used, have;
    unsigned char data[AHEAD];
};

/* Of a descriptor: the program is the file's only user; besides, the only descriptor with that
 * offset. */
enum { SOLE = 1, BUFFERED = 2 };

static struct {
    int lock;
    uint32_t count; /* of buffered descriptors */
    uint8_t states[FDS];
    struct ring *ring;                           /* NULL: none yet */
    struct ring_failure failures[RING_FAILURES]; /* of rings that are no more */
    struct ahead ahead[AHEAD_FILES];
} behind; /* zero at first: what is not needs to be written into the target */

static int is(long fd, int state)
{
    return fd >= 0 && fd < FDS && behind.states[fd] & state;
}

static int is_buffered(long fd)
{
    return is(fd, BUFFERED);
}

int behind_is_sole(long fd)
{
    return is(fd, SOLE);
}

/* --- reading ahead --- */

static struct ahead *find_ahead(int fd)
{
    for (int i = 0; i < AHEAD_FILES; i++)
        if (behind.ahead[i].taken == fd + 1)
            return &behind.ahead[i];
    return NULL;
}

/* Puts the offset at home back to what the program has read. */
static void settle_read(struct remote_call *call, int fd)
{
    lock_take(&behind.lock);
    struct ahead *a = find_ahead(fd);
    long over = a && !a->busy ? (long)a->have - (long)a->used : 0;
    if (a && !a->busy)
        a->taken = 0;
    lock_release(&behind.lock);
    const long back[CALL_ARGS] = {fd, -over, 1 /* SEEK_CUR */};
    if (over)
        remote_forward(call, SYS_lseek, back);
}

/* A free place for the descriptor, or its own when that is empty; marked busy. NULL: none. */
static struct ahead *claim(int fd)
{
    lock_take(&behind.lock);
    struct ahead *a = find_ahead(fd);
    if (!a)
        a = find_ahead(-1);
    if (a && (a->busy || (a->taken == fd + 1 && a->used < a->have)))
        a = NULL;
    if (a) {
        a->taken = fd + 1;
        a->busy = 1;
        a->used = a->have = 0;
    }
    lock_release(&behind.lock);
    return a;
}

/* Serves what is there. -EAGAIN: nothing. */
static long read_served(int fd, void *to, size_t size)
{
    long result = -EAGAIN;
    lock_take(&behind.lock);
    struct ahead *a = find_ahead(fd);
    if (a && !a->busy && a->used < a->have) {
        size_t part = a->have - a->used < size ? a->have - a->used : size;
        result = remote_write(to, a->data + a->used, part) ? -EFAULT : (long)part;
        a->used += result > 0 ? (uint32_t)part : 0;
    }
    lock_release(&behind.lock);
    return result;
}

/* Fetches more: the result of the read at home, or -EBUSY where there is no place for it. */
static long fetch(struct remote_call *call, int fd)
{
    struct ahead *a = claim(fd);
    if (!a)
        return -EBUSY;
    const long more[CALL_ARGS] = {fd, (long)a->data, AHEAD};
    long got = remote_forward(call, SYS_read, more);
    a->have = got > 0 ? (uint32_t)got : 0;
    __atomic_store_n(&a->busy, 0, __ATOMIC_RELEASE);
    return got;
}

/* A regular file's read stops short only at its end. */
static int read_ahead(struct remote_call *call, const long *args, long *result)
{
    int fd = (int)args[0];
    size_t size = (size_t)args[2], done = 0;
    long got = 1;
    if (size == 0 || size > AHEAD / 2)
        return 0;
    while (done < size && got > 0) {
        long served = read_served(fd, (char *)args[1] + done, size - done);
        if (served == -EAGAIN)
            got = fetch(call, fd);
        else if (served < 0)
            got = served;
        else
            done += (size_t)served;
    }
    *result = done ? (long)done : got;
    return done || got != -EBUSY;
}

/* --- writing behind --- */

static struct ring *make_ring(void)
{
    long fd = raw(SYS_memfd_create, "gdb-hijack", 3 /* MFD_CLOEXEC | MFD_ALLOW_SEALING */), at = -1;
    uint32_t size = sizeof(struct ring);
    if (raw_failed(fd))
        return NULL;
    if (raw(SYS_ftruncate, fd, sizeof(struct ring)) == 0)
        at = raw(SYS_mmap, 0, sizeof(struct ring), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int one = (int)fd;
    if (!raw_failed(at) && channel_ask_with(FRAME_RING, &size, sizeof size, &one) < 0) {
        raw(SYS_munmap, at, sizeof(struct ring));
        at = -1;
    }
    raw(SYS_close, fd);
    return raw_failed(at) ? NULL : (struct ring *)at;
}

static void put(struct ring *r, uint64_t head, const void *from, size_t size)
{
    memcpy(r->records + (head & (RING_SIZE - 1)), from, size);
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
    if (remote_read(r->records + (head & (RING_SIZE - 1)) + sizeof *record, from, record->size))
        return -EFAULT;
    __atomic_store_n(&r->head, head + bytes, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&r->asleep, __ATOMIC_SEQ_CST)) {
        __atomic_store_n(&r->asleep, 0, __ATOMIC_SEQ_CST);
        raw(SYS_futex, &r->asleep, FUTEX_WAKE, 1);
    }
    return 0;
}

static struct ring_failure *find_failure(struct ring_failure *list, int fd)
{
    for (int i = 0; i < RING_FAILURES; i++)
        if (__atomic_load_n(&list[i].error, __ATOMIC_ACQUIRE) && list[i].fd == fd)
            return &list[i];
    return NULL;
}

/* The shadow takes all that is in the ring before it does a call. */
static void drain(struct remote_call *call)
{
    static const long none[CALL_ARGS];
    remote_forward(call, SYS_getpgrp, none);
}

/* An earlier write of the descriptor that failed: its error, once. The writes behind it, which are
 * in the ring, go the same way. */
static int failure(struct remote_call *call, int fd)
{
    struct ring *r = behind.ring;
    int in_ring =
        r && __atomic_load_n(&r->failed, __ATOMIC_ACQUIRE) && find_failure(r->failures, fd);
    if (in_ring)
        drain(call);
    lock_take(&behind.lock);
    struct ring_failure *f = find_failure(in_ring ? r->failures : behind.failures, fd);
    int error = f ? f->error : 0;
    if (f)
        __atomic_store_n(&f->error, 0, __ATOMIC_RELEASE);
    if (f && in_ring)
        __atomic_sub_fetch(&r->failed, 1, __ATOMIC_RELEASE);
    lock_release(&behind.lock);
    return error;
}

/* One record: 0, -EAGAIN where there is no ring to be had, or -EFAULT. With the ring full its
 * writes are waited for: whoever takes them is awake. */
static int put_record(struct remote_call *call, const struct ring_record *record, const void *from)
{
    int error;
    lock_take(&behind.lock);
    if (!behind.ring)
        behind.ring = make_ring();
    for (int i = 0;
         (error = behind.ring ? append(behind.ring, record, from) : -EAGAIN) == -EAGAIN &&
         behind.ring && i < PATIENCE;
         i++)
        raw(SYS_sched_yield);
    lock_release(&behind.lock);
    if (error != -EAGAIN || !behind.ring)
        return error;
    drain(call);
    lock_take(&behind.lock);
    error = behind.ring ? append(behind.ring, record, from) : -EAGAIN;
    lock_release(&behind.lock);
    return error;
}

/* As many records as the bytes need. */
static int write_behind(struct remote_call *call, long number, const long *args, long *result)
{
    int at_offset = number == SYS_pwrite64, error = 0;
    long done = 0;
    if (args[2] <= 0 || (at_offset && args[3] < 0))
        return 0;
    settle_read(call, (int)args[0]);
    while (done < args[2] && !error) {
        long size = args[2] - done < RING_DATA ? args[2] - done : RING_DATA;
        const struct ring_record record = {(uint32_t)size, (int32_t)args[0],
                                           at_offset ? args[3] + done : -1};
        error = put_record(call, &record, (const char *)args[1] + done);
        done += error ? 0 : size;
    }
    *result = done ? done : error;
    return done || error != -EAGAIN;
}

/* --- descriptors --- */

static void set_state(long fd, uint8_t state)
{
    if (fd < 0 || fd >= FDS)
        return;
    lock_take(&behind.lock);
    behind.count += (state != 0) - (uint32_t)(behind.states[fd] != 0);
    behind.states[fd] = state;
    lock_release(&behind.lock);
}

/* Does the call make another way to the same open file? */
static int is_copy(long number, const long *args)
{
    switch (number) {
    case SYS_dup:
    case SYS_dup2:
    case SYS_dup3:
        return 1;
    case SYS_fcntl:
        return args[1] == F_DUPFD || args[1] == F_DUPFD_CLOEXEC;
    }
    return 0;
}

void behind_adopt(long fd, const char *path)
{
    if (fd < FDS && policy_of(remote.policy, path) == POLICY_BUFFER)
        set_state(fd, SOLE | BUFFERED);
}

void behind_copied(long number, const long *args, long fd)
{
    if (is_copy(number, args) && fd != args[0])
        set_state(fd, is(args[0], SOLE) ? SOLE : 0);
}

void behind_opened(struct remote_call *call, long fd, const char *path)
{
    struct remote_thread *t = remote_thread();
    if (!*remote.policy || fd >= FDS || policy_of(remote.policy, path) != POLICY_BUFFER)
        return;
    const long stat[CALL_ARGS] = {fd, (long)&t->stat};
    if (remote_forward(call, SYS_fstat, stat) != 0 || !S_ISREG(t->stat.st_mode))
        return;
    set_state(fd, SOLE | BUFFERED);
}

static int is_ring_empty(void)
{
    const struct ring *r = behind.ring;
    return !r || r->head == __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
}

/* Settles what the call could tell about descriptor `fd`; the error of an earlier write. */
static int settle(struct remote_call *call, long number, const long *args, long fd)
{
    settle_read(call, (int)fd);
    if (!is_ring_empty())
        drain(call); /* so that their errors are known before, say, a close */
    int error = failure(call, (int)fd);
    if (is_copy(number, args))
        set_state(args[0], behind.states[args[0]] & SOLE);
    if (number == SYS_close || ((number == SYS_dup2 || number == SYS_dup3) && fd == args[1]))
        set_state(fd, 0);
    return error;
}

/* Calls that reach descriptors by other ways than an argument: all are settled. */
static void settle_all(struct remote_call *call)
{
    for (int i = 0; i < AHEAD_FILES; i++)
        if (behind.ahead[i].taken)
            settle_read(call, behind.ahead[i].taken - 1);
}

static int is_wide(long number)
{
    return number == SYS_close_range || number == SYS_sendmsg || number == SYS_pidfd_getfd;
}

/* A close closes, whatever it returns. */
static void close_anyway(struct remote_call *call, long number, const long *args)
{
    if (number == SYS_close)
        remote_forward(call, number, args);
}

static int settle_arguments(struct remote_call *call, const struct call *row, long number,
                            const long *args, long *result)
{
    int error = 0;
    for (int i = 0; i < CALL_ARGS; i++)
        if ((row->args[i].kind == ARG_FD || row->args[i].kind == ARG_DIRFD) &&
            is(args[i], SOLE | BUFFERED))
            error = settle(call, number, args, args[i]);
    if (is_wide(number)) {
        settle_all(call);
        for (long fd = 0; fd < FDS; fd++)
            set_state(fd, 0);
    }
    *result = error;
    if (error)
        close_anyway(call, number, args);
    return error != 0;
}

int behind_call(struct remote_call *call, const struct call *row, long number, const long *args,
                long *result)
{
    if (!behind.count)
        return 0;
    if (!is_buffered(args[0]) ||
        (number != SYS_read && number != SYS_write && number != SYS_pwrite64))
        return settle_arguments(call, row, number, args, result);
    if ((*result = failure(call, (int)args[0])))
        return 1;
    if (number == SYS_read ? read_ahead(call, args, result)
                           : write_behind(call, number, args, result))
        return 1;
    return settle_arguments(call, row, number, args, result);
}

void behind_settle(struct remote_call *call)
{
    settle_all(call);
    if (!behind.ring)
        return;
    drain(call);
    if (behind.ring->failed)
        memcpy(behind.failures, behind.ring->failures, sizeof behind.failures);
    raw(SYS_munmap, behind.ring, sizeof *behind.ring);
    behind.ring = NULL;
}
