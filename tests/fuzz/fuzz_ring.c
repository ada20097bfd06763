/*
 * fuzz_ring.c - whatever stands in the ring of writes that a program did not wait for, the executor
 * writes nothing but bytes of the ring, to descriptors that are the program's, and comes to an end.
 *
 * Input: rounds, each a head (4 bytes, taken as an advance), a place and bytes that are put there.
 * The kernel's writes are replaced by ones that look at what they are given and return what they
 * like.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/uio.h>

static ssize_t look(int fd, const struct iovec *parts, int count);
#define writev(fd, parts, count)          look(fd, parts, count)
#define pwritev(fd, parts, count, offset) ((void)(offset), look(fd, parts, count))
#include "shadow/ring.c"

#define FLOOR 1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct executor executor;
static struct execute_shared shared;
static unsigned calls;
static volatile unsigned char sink;

void channel_unblock(void);

/* All of it, a part, nothing, an error: by turns. */
static ssize_t look(int fd, const struct iovec *parts, int count)
{
    size_t sum = 0;
    if (fd < 0 || fd >= FLOOR || count < 1 || count > TOGETHER)
        abort();
    for (int i = 0; i < count; i++) {
        const unsigned char *at = parts[i].iov_base;
        if (at < ring->records || at + parts[i].iov_len > ring->records + RING_SIZE)
            abort();
        sink = parts[i].iov_len ? at[parts[i].iov_len - 1] : 0;
        sum += parts[i].iov_len;
    }
    calls++;
    errno = calls % 7 == 0 ? EINTR : ENOSPC;
    return calls % 7 == 0 || calls % 31 == 0 ? -1 : (ssize_t)(calls % 3 == 0 ? sum / 2 : sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ring *memory;
    if (!memory)
        memory =
            mmap(NULL, sizeof *memory, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    executor.floor = FLOOR;
    executor.shared = &shared;
    ring = memory;
    memset(memory->failures, 0, sizeof memory->failures);
    memory->failed = 0;
    if (size % 2) /* near the end of the records as well as at their beginning */
        taken = memory->head = memory->tail = RING_SIZE - (size & 0xff8);
    else
        taken = memory->head = memory->tail = 0;
    for (size_t at = 0; ring && at + 8 <= size;) {
        uint32_t advance, place = (uint32_t)memory->head & (RING_SIZE - 1);
        memcpy(&advance, data + at, sizeof advance);
        size_t bytes = data[at + 4] < size - at - 8 ? data[at + 4] : size - at - 8;
        at += 8;
        if (bytes > RING_SIZE - place)
            bytes = RING_SIZE - place;
        memcpy(memory->records + place, data + at, bytes);
        at += bytes;
        memory->head += advance % 4 ? advance & 0x1fff8 : advance;
        ring_drain();
    }
    return 0;
}
