/*
 * resume.h - the part of a restart that is done by code in the image itself.
 *
 * The flow is: the restart library has put the memory back and jumps to resume_entry()
 * (arch/ARCH/resume_entry.S) with all signals blocked; that moves to the handler's stack, calls
 * resume_main(), which unmaps what is left of the restart library and gives the kernel back what
 * resume_process says, and then returns through the signal frame of the checkpoint: the program
 * goes on where the checkpoint interrupted it.
 *
 * Invariant: from here on nothing can fail that the starter has not tried or checked before; what
 * the kernel refuses all the same is left as the restart command has it.
 */
#ifndef RESTART_RESUME_H
#define RESTART_RESUME_H

#include "restart/image.h"
#include "stubs/handler.h"

extern struct image_process resume_process;
/* Pending signals in their order, and for which thread (its id then; 0: the process). */
extern siginfo_t resume_pending[IMAGE_PENDING_MAX];
extern int32_t resume_pending_thread[IMAGE_PENDING_MAX];

void resume_entry(const struct resume_handover *handover);
/* The ucontext's address. */
uint64_t resume_main(const struct resume_handover *handover);
/* The same for any other thread, on the stack of that one's slot; which it becomes is told later.
 */
uint64_t resume_thread(const struct image_thread *place);

/* The state of a thread in the handler. */
static inline struct image_thread *resume_state(struct handler_thread *t)
{
    return (struct image_thread *)t->state;
}

/* Queues the pending signals of thread `then` (0: of the process) again, in their order, but for
 * signal number `without`: a checkpoint that was asked for twice is not taken again by the
 * restarted program. To be called by that thread, for the process by the main one. */
void resume_queue_pending(int32_t then, int without);

#endif
