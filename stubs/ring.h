/*
 * ring.h - writes on their way that the program did not wait for: memory shared by the program and
 * the shadow's executor.
 *
 * The program appends records at `head`; the executor takes them at `tail`, in order, as soon as it
 * can: it does not wait to be asked, so nothing stays behind when the program turns to something
 * else, or is killed. An executor that has nothing to do says so (`asleep`) and waits for a change
 * of that word, futex(2).
 *
 * Before the executor does any call it takes what is in the ring: so no call can tell that a write
 * came late. A write that fails is remembered by descriptor; the program sees it at its next call
 * that names the descriptor, and further writes to it are dropped until then.
 *
 * The executor trusts nothing in it: every number is read once and checked before it is used.
 * Inline, without libc; both ends include it.
 */
#ifndef STUBS_RING_H
#define STUBS_RING_H

#include <stdint.h>

#define RING_SIZE     (1u << 20)  /* bytes of records, a power of two */
#define RING_DATA     (64u << 10) /* most bytes of data in one record */
#define RING_FAILURES 16

struct ring_record {
    uint32_t size; /* of the data, which follows, padded to 8; RING_SKIP: go on at the beginning */
    int32_t fd;
    int64_t offset; /* pwrite64's; -1: write */
};
#define RING_SKIP 0xffffffffu

struct ring_failure {
    int32_t fd;
    int32_t error; /* -errno; 0: a free entry */
};

struct ring {
    uint64_t head; /* bytes appended, ever; written by the program */
    uint64_t apart[7];
    uint64_t tail;   /* bytes taken, ever; written by the executor */
    uint32_t asleep; /* 1: the executor waits; the program makes it 0 and wakes it */
    uint32_t failed; /* not 0: look at the failures. Entries are made by the executor, freed by the
                        program */
    struct ring_failure failures[RING_FAILURES];
    unsigned char records[RING_SIZE] __attribute__((aligned(4096)));
};

/* Bytes that a record takes. */
static inline uint64_t ring_bytes(uint32_t size)
{
    return sizeof(struct ring_record) + (((uint64_t)size + 7) & ~7ULL);
}

#endif
