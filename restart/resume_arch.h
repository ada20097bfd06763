/* resume_arch.h - what of resume.h is the architecture's: arch/ARCH/resume_arch.c. */
#ifndef RESTART_RESUME_ARCH_H
#define RESTART_RESUME_ARCH_H

#include <ucontext.h>

#include "restart/image.h"

/* Where musl's struct pthread has the thread's id. */
#define RESUME_ARCH_MUSL_TID 48

/* Sets the thread pointer and its like. */
void resume_arch_thread(const struct image_thread *t);
/* Does the thread go on from there with futex(2), or is it right behind? */
struct resume_futex {
    uint64_t word;  /* its address */
    uint32_t value; /* that it is expected to have */
    int waits;      /* for the word to change, or for the lock that it is; or tries to get that */
    int inherits;   /* a priority inheriting lock: the kernel writes and reads who owns it */
    int limited;    /* in time */
    int certain;    /* right behind a call, its number may be gone: then it may have been another */
};
int resume_arch_futex(const ucontext_t *frame, struct resume_futex *futex);
/* Does it issue a system call, or has it just done so? */
int resume_arch_is_in_call(const ucontext_t *frame);
/* Its stack pointer. */
uint64_t resume_arch_stack(const ucontext_t *frame);
/* How many registers hold `then`? Puts `now` into each of them that calls preserve. */
unsigned resume_arch_change_registers(ucontext_t *frame, int32_t then, int32_t now);
/* Makes the kernel ready to load the frame's extended state. */
void resume_arch_state(const struct image_thread *t);

#endif
