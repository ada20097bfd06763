/*
 * ring.c - takes the program's writes out of the ring (stubs/ring.h): a thread of its own as they
 * come, and every channel before it executes a call.
 *
 * The memory is the program's to write to: head, sizes and descriptors are read once into variables
 * of ours and checked; what is nonsense ends the ring. Writes next to each other in the same file
 * go to the kernel as one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shadow/execute.h"
#include "stubs/ring.h"

#define TOGETHER 256 /* records in one write */

static struct ring *ring; /* NULL: none */
static uint64_t taken;    /* our own count: the program could change `tail` */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* --- failures --- */

static bool has_failed(int fd)
{
    for (int i = 0; i < RING_FAILURES; i++)
        if (__atomic_load_n(&ring->failures[i].error, __ATOMIC_ACQUIRE) &&
            ring->failures[i].fd == fd)
            return true;
    return false;
}

/* With all entries taken the error is lost to this descriptor, as a second one would be anyway. */
static void note_failure(int fd, int error)
{
    for (int i = 0; i < RING_FAILURES; i++) {
        if (__atomic_load_n(&ring->failures[i].error, __ATOMIC_ACQUIRE))
            continue;
        ring->failures[i].fd = fd;
        __atomic_store_n(&ring->failures[i].error, error, __ATOMIC_RELEASE);
        __atomic_add_fetch(&ring->failed, 1, __ATOMIC_RELEASE);
        return;
    }
}

/* --- records --- */

/* Writes that follow one another: one descriptor, one stretch of the file. */
struct stretch {
    int fd;
    int64_t offset, end; /* -1: at the file's own offset */
    struct iovec parts[TOGETHER];
    int count;
};

static ssize_t write_once(const struct stretch *s, const struct iovec *parts, int count,
                          int64_t offset)
{
    return s->offset < 0 ? writev(s->fd, parts, count) : pwritev(s->fd, parts, count, offset);
}

static void write_all(struct stretch *s)
{
    struct iovec *parts = s->parts;
    int64_t offset = s->offset;
    while (s->count && !has_failed(s->fd)) {
        ssize_t done = write_once(s, parts, s->count, offset);
        if (done <= 0 && errno != EINTR)
            note_failure(s->fd, done < 0 ? -errno : -ENOSPC);
        offset += done > 0 ? done : 0;
        for (; s->count && done >= (ssize_t)parts->iov_len; parts++, s->count--)
            done -= (ssize_t)parts->iov_len;
        if (s->count && done > 0) {
            parts->iov_base = (char *)parts->iov_base + done;
            parts->iov_len -= (size_t)done;
        }
    }
    s->count = 0;
}

static bool continues(const struct stretch *s, const struct ring_record *r)
{
    return s->count && s->count < TOGETHER && s->fd == r->fd &&
           (r->offset < 0 ? s->offset < 0 : s->offset >= 0 && r->offset == s->end);
}

static void add(struct stretch *s, const struct ring_record *r, void *data)
{
    if (!continues(s, r)) {
        write_all(s);
        s->fd = r->fd;
        s->offset = r->offset < 0 ? -1 : r->offset;
    }
    s->parts[s->count++] = (struct iovec){data, r->size};
    s->end = r->offset + r->size;
}

/* The bytes that the record at `at` takes of the ring; 0: nonsense. */
static uint64_t take_record(struct stretch *s, uint64_t at, uint64_t most)
{
    uint64_t place = at & (RING_SIZE - 1), left = RING_SIZE - place;
    struct ring_record record;
    memcpy(&record, ring->records + place, sizeof record.size);
    if (record.size == RING_SKIP)
        return left <= most ? left : 0;
    uint64_t bytes = ring_bytes(record.size);
    if (record.size > RING_DATA || bytes > left || bytes > most)
        return 0;
    memcpy(&record, ring->records + place, sizeof record);
    if ((uint64_t)ring_bytes(record.size) != bytes || record.fd >= executor.floor || record.fd < 0)
        return 0;
    add(s, &record, ring->records + place + sizeof record);
    return bytes;
}

static void end_ring(void)
{
    __atomic_store_n(&ring, NULL, __ATOMIC_RELEASE);
    executor.shared->refused++;
    executor.shared->last_error = -EBADMSG;
}

static void drain(void)
{
    static struct stretch stretch;
    uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_SEQ_CST), used = 1;
    if (head - taken > RING_SIZE)
        used = 0;
    for (uint64_t at = taken; used && at != head; at += used)
        used = take_record(&stretch, at, head - at);
    write_all(&stretch);
    if (!used) {
        end_ring();
        return;
    }
    taken = head;
    __atomic_store_n(&ring->tail, head, __ATOMIC_RELEASE);
}

void ring_drain(void)
{
    if (!__atomic_load_n(&ring, __ATOMIC_ACQUIRE))
        return;
    pthread_mutex_lock(&lock);
    while (ring && __atomic_load_n(&ring->head, __ATOMIC_SEQ_CST) != taken)
        drain();
    pthread_mutex_unlock(&lock);
}

/* --- the thread --- */

static bool is_current(const struct ring *r)
{
    pthread_mutex_lock(&lock);
    bool current = ring == r;
    pthread_mutex_unlock(&lock);
    return current;
}

static bool is_empty(const struct ring *r)
{
    return __atomic_load_n(&r->head, __ATOMIC_SEQ_CST) == r->tail;
}

/* Who writes does so again. */
static void linger(const struct ring *r)
{
    uint64_t end = executor_now() + EXECUTOR_SPIN_NS;
    do
        sched_yield();
    while (is_empty(r) && executor_now() < end);
}

/* Until something is in the ring, or it is not the ring any more. */
static void await(struct ring *r)
{
    linger(r);
    __atomic_store_n(&r->asleep, 1, __ATOMIC_SEQ_CST);
    if (is_current(r) && is_empty(r))
        syscall(SYS_futex, &r->asleep, FUTEX_WAIT, 1, NULL);
}

static void *work(void *of)
{
    struct ring *r = of;
    while (is_current(r)) {
        await(r);
        ring_drain();
    }
    munmap(r, sizeof *r);
    return NULL;
}

static void wake(struct ring *r)
{
    __atomic_store_n(&r->asleep, 0, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &r->asleep, FUTEX_WAKE, 1);
}

static void replace(struct ring *by)
{
    struct ring *old = ring;
    ring_drain();
    pthread_mutex_lock(&lock);
    taken = 0;
    __atomic_store_n(&ring, by, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
    if (old)
        wake(old);
}

int ring_map(int fd, uint32_t size)
{
    struct stat st;
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, own;
    if (size != sizeof(struct ring) || fstat(fd, &st) < 0 || st.st_size < (off_t)size ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
        return -EBADMSG;
    struct ring *r = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (r == MAP_FAILED)
        return -errno;
    replace(r);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all); /* what is for the program's signalfds stays pending */
    pthread_sigmask(SIG_SETMASK, &all, &own);
    int error = pthread_create(&thread, &attributes, work, r);
    pthread_sigmask(SIG_SETMASK, &own, NULL);
    pthread_attr_destroy(&attributes);
    return -error;
}
