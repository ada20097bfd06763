/*
 * handler.h - the checkpoint signal's way into and out of the agent.
 *
 * The flow is: the kernel pushes a signal frame on the program's stack and calls handler_entry
 * (arch/ARCH/handler_entry.S), which turns away a second signal, moves to a static stack of our own
 * at once and calls handler_main(); that calls handler_checkpoint(), which restart/ckpt.c
 * implements. The way out is rt_sigreturn from the kernel's frame: it puts every register, the
 * extended state, the signal mask and the alternate stack back; or the same by hand, where a call
 * is to be continued whose restart block rt_sigreturn would drop (reissue.h).
 *
 * Invariants: all signals are blocked from the entry to the return; the program's stack is not
 * used; nothing but the saved pc, result register and timeout of a call that the signal interrupted
 * is changed in the frame.
 */
#ifndef STUBS_HANDLER_H
#define STUBS_HANDLER_H

#include <stdint.h>
#include <ucontext.h>

#define HANDLER_STACK_SIZE (256 * 1024)

/* In arch/ARCH/handler_entry.S. */
void handler_entry(int signal, void *info, ucontext_t *frame);
void handler_restorer(void);
extern unsigned char handler_stack[HANDLER_STACK_SIZE];
extern int handler_busy; /* 1 while the handler runs; cleared by a restart */

extern uint64_t
    handler_switches;        /* the program's voluntary context switches when the signal came */
uint64_t handler_time(void); /* CLOCK_MONOTONIC in nanoseconds */

/* Called on our own stack. 0: return by rt_sigreturn. 1: return by hand, keeping the restart block.
 */
int handler_main(int signal, void *info, ucontext_t *frame);

/* Takes a checkpoint and reports it; does not return when the program was told to end.
 * restart/ckpt.c. */
void handler_checkpoint(ucontext_t *frame);

#endif
