/*
 * resume_threads.h - the program's threads, made again.
 *
 * The flow is: resume_threads() makes every thread but the main one; each puts its own state back
 * on the stack of its slot (stubs/handler.h) and waits; resume_threads_go() lets all return through
 * their signal frames, the last one unmapping the slots, as after a checkpoint.
 *
 * Ids: each thread gets its old id where the kernel lets us choose (clone3(set_tid): root, or
 * CAP_CHECKPOINT_RESTORE) and it is free; else a new one (resume_ids.h), but never one that another
 * had (the main thread, whose id is the restart command's, set aside).
 */
#ifndef RESTART_RESUME_THREADS_H
#define RESTART_RESUME_THREADS_H

#include "restart/image.h"

/* The address of the main thread's signal frame. */
uint64_t resume_threads(const struct resume_handover *handover);
void resume_threads_go(void);

/* In arch/ARCH/resume_entry.S: clone3(2) or clone(2), by its number, with these first two
 * arguments. The new thread calls resume_thread(place) on its stack, becomes one of the image's
 * when it is said which, and leaves by handler_leave. */
long resume_clone(uintptr_t first, uintptr_t second, struct image_thread *place, int number);

#endif
