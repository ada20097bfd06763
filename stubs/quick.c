/* quick.c - see quick.h. */
#include <linux/rseq.h>

#include "stubs/agent.h"
#include "stubs/ahead.h"
#include "stubs/behind.h"
#include "stubs/queue.h"
#include "stubs/quick.h"
#include "stubs/raw.h"
#include "stubs/readable.h"
#include "stubs/thread.h"

uint32_t quick_epoch;

/* Where quick_append() is, for the kernel. */
struct rseq_cs quick_sequence;

/* NULL: none is registered for this thread. */
static uint64_t *sequence_slot(void)
{
    struct rseq *area = (struct rseq *)(thread_pointer() + (uint64_t)hijack_params.rseq_offset);
    if (!hijack_params.rseq_size || (int32_t)area->cpu_id < 0)
        return NULL;
    quick_sequence.start_ip = (uintptr_t)quick_begin;
    quick_sequence.post_commit_offset = (uintptr_t)quick_commit - (uintptr_t)quick_begin;
    quick_sequence.abort_ip = (uintptr_t)quick_abort;
    return (uint64_t *)&area->rseq_cs;
}

/* Can it be a record of the ring, in one piece? */
static int find_room(struct ring *r, struct quick_append *a)
{
    uint64_t bytes = ring_bytes(a->record.size), place = a->head_was & (RING_SIZE - 1);
    a->to = r->records + place;
    a->head_then = a->head_was + bytes;
    return bytes <= RING_SIZE - place &&
           a->head_then - __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) <= RING_SIZE;
}

/* The epoch is looked at first: a call made by a handler from here on changes it. */
long quick_write(long number, const long *args)
{
    struct quick_append a = {.epoch = &quick_epoch,
                             .epoch_was = __atomic_load_n(&quick_epoch, __ATOMIC_SEQ_CST),
                             .from = (const void *)args[1],
                             .size = (uint64_t)args[2]};
    struct ring *r;
    if ((number != SYS_write && (number != SYS_pwrite64 || args[3] < 0)) || args[2] <= 0 ||
        args[2] > RING_DATA || remote.mode == REMOTE_OFF || remote.threaded ||
        !behind_is_buffered(args[0]) || ahead_any() || !readable_known(a.from, a.size) ||
        !(r = queue_ready((int)args[0])) || !(a.slot = sequence_slot()))
        return 0;
    a.head = &r->head;
    a.head_was = __atomic_load_n(&r->head, __ATOMIC_SEQ_CST);
    a.record = (struct ring_record){(uint32_t)a.size, (int32_t)args[0],
                                    number == SYS_pwrite64 ? args[3] : -1};
    if (!find_room(r, &a) || !quick_append(&a))
        return 0;
    queue_wake(r);
    return args[2];
}
