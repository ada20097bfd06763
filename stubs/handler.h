/*
 * handler.h - the checkpoint signal's way into and out of the agent, for every thread.
 *
 * The flow is: the kernel pushes a signal frame on the thread's stack and calls handler_entry
 * (arch/ARCH/handler_entry.S). The first thread that comes is the leader: it moves to a static
 * stack of our own at once and calls handler_lead(), which calls handler_checkpoint()
 * (restart/ckpt.c). That may open the gate (restart/ckpt_rendezvous.h): it maps slots, lets others
 * join (HANDLER_GATHERING) and sends every thread the signal with a mark; each takes the next slot,
 * moves to the stack in it and calls handler_join(), which waits there until the leader lets all
 * go. The way out is rt_sigreturn from the kernel's frame: it puts every register, the extended
 * state, the signal mask and the alternate stack back; or the same by hand, where a call is to be
 * continued whose restart block rt_sigreturn would drop (reissue.h). The last thread that leaves
 * unmaps the slots and makes the phase HANDLER_IDLE.
 *
 * A checkpoint signal that comes to a thread while others are in here is not lost: in
 * HANDLER_GATHERING the thread joins and is owed a checkpoint (it raises the signal again when it
 * leaves); at any other time it waits and tries again. One with the mark that comes too late is
 * dropped.
 *
 * Invariants: all signals are blocked from the entry to the return; the program's stack is not
 * used (but in a forked child, which is not hijacked); nothing but the saved pc, result register
 * and timeout of a call that the signal interrupted is changed in the frame; nobody waits here
 * without a bound but for the leader, whose own waits are bounded.
 */
#ifndef STUBS_HANDLER_H
#define STUBS_HANDLER_H

#include <signal.h>
#include <stdint.h>
#include <ucontext.h>

#include "stubs/handler_layout.h"
#include "stubs/reissue.h"

/* A thread in the handler. */
struct handler_thread {
    ucontext_t *frame;
    struct reissue_call call;
    enum reissue kind;
    int32_t tid;
    int owed;          /* it joined by a signal that asked for a checkpoint */
    siginfo_t info;    /* ... this one */
    uint64_t began;    /* when it came in */
    uint64_t switches; /* its voluntary context switches until then */
    unsigned char state[HANDLER_THREAD_SIZE - 368]
        __attribute__((aligned(16))); /* the caller's: restart/ckpt_threads.c */
};

/* In arch/ARCH/handler_entry.S. */
void handler_entry(int signal, void *info, ucontext_t *frame);
void handler_restorer(void);
extern unsigned char handler_stack[HANDLER_STACK_SIZE];

extern struct handler_thread handler_leader;
extern int handler_phase;
/* The gate: slots to take, by handler_next, which handler_limit bounds; slot i ends with its struct
 * handler_thread. The region is what the last thread unmaps (size 0: nothing). */
extern unsigned handler_next, handler_limit;
extern unsigned char *handler_slots;
extern uintptr_t handler_region, handler_region_size;
extern int handler_inside; /* threads that have yet to leave, the leader included; from CLOSED on */

/* What joined threads do: wait, collect (handler_collect()), leave. Raised by the leader, who then
 * wakes them. */
enum { HANDLER_WAIT, HANDLER_COLLECT, HANDLER_LEAVE };
extern int handler_round;
extern int handler_arrived, handler_done; /* how many have joined, and have collected */
extern int handler_expected;              /* at so many the leader is woken */

/* The siginfo of a signal with the mark: it asks to join (SI_QUEUE), or the leader to try again
 * (SI_TIMER). */
union sigval handler_mark(void);
int handler_has_mark(const siginfo_t *info);

struct handler_thread *handler_slot(unsigned i);
uint64_t handler_time(void);                                   /* CLOCK_MONOTONIC in nanoseconds */
void handler_wait(int *word, int value, uint64_t nanoseconds); /* futex; 0: for ever */
void handler_wake(int *word, int count);

/* While I/O is remote: takes SIGSYS out of the mask that the frame brings back. A thread that
 * blocks it would die of its next call. */
void handler_keep_net_signal(ucontext_t *frame);

/* Called on our own stacks. 0: return by rt_sigreturn. 1: return by hand, keeping the restart
 * block. */
int handler_lead(const siginfo_t *info, ucontext_t *frame);
int handler_join(struct handler_thread *thread, const siginfo_t *info, ucontext_t *frame);
int handler_foreign(ucontext_t *frame); /* in a forked child, on its own stack */
/* The way out of the handler, for code in restart/resume*: see handler_entry.S. */
void handler_leave(void);

/* Takes a checkpoint and reports it; does not return when the program was told to end. When it
 * returns, the gate is closed: handler_inside threads will leave. restart/ckpt.c. */
void handler_checkpoint(const siginfo_t *info);
/* Collects what the kernel keeps of the calling thread. restart/ckpt_threads.c. */
void handler_collect(struct handler_thread *thread);

#endif
