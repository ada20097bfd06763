/* resume_arch.h - what of resume.h is the architecture's: arch/ARCH/resume_arch.c. */
#ifndef RESTART_RESUME_ARCH_H
#define RESTART_RESUME_ARCH_H

#include <ucontext.h>

#include "restart/image.h"

/* Where musl's struct pthread has the thread's id. */
#define RESUME_ARCH_MUSL_TID 48

/* Sets the thread pointer and its like. */
void resume_arch_thread(const struct image_thread *t);
/* Does the thread go on from there with futex(2), to wait, or has it just waited? The address, else
 * 0. */
uint64_t resume_arch_waits_at(const ucontext_t *frame);
/* Its stack pointer. */
uint64_t resume_arch_stack(const ucontext_t *frame);
/* Puts `now` into each register that holds `then`, of those that calls preserve; how many? */
unsigned resume_arch_change_registers(ucontext_t *frame, int32_t then, int32_t now);
/* Makes the kernel ready to load the frame's extended state. */
void resume_arch_state(const struct image_thread *t);

#endif
