/*
 * quick.h - a buffered write of a program with one thread, without any system call.
 *
 * Whatever else we do is done with all signals blocked, and blocking them takes two calls: more
 * than a small write may cost. So here it is done as a restartable sequence (rseq(2), Linux 4.18):
 * copy the bytes to the ring's head, move the head. When a signal comes in between, the kernel
 * takes us out of the sequence before the handler is entered, as if nothing had been done yet; then
 * the write goes the ordinary way. It uses the area that glibc has registered (since 2.35); without
 * one, every write goes that way.
 */
#ifndef STUBS_QUICK_H
#define STUBS_QUICK_H

#include <stdint.h>

#include "stubs/ring.h"

/* Bytes written; 0: to be done as any other call. Signals are not blocked. */
long quick_write(long number, const long *args);

/* What quick_write() has found out may be so no more: counted by whoever changes anything of it. */
extern uint32_t quick_epoch;

/* The sequence, in arch/ARCH/quick_append.S, with its addresses. 0: nothing was done. */
struct quick_append {
    uint64_t *slot; /* of the thread's struct rseq: rseq_cs */
    const uint32_t *epoch;
    uint64_t epoch_was;
    uint64_t *head;
    uint64_t head_was, head_then;
    void *to;
    struct ring_record record;
    const void *from;
    uint64_t size;
};
int quick_append(const struct quick_append *append);
extern const unsigned char quick_begin[], quick_commit[], quick_abort[];

#endif
