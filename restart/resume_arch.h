/* resume_arch.h - what of resume.h is the architecture's: arch/ARCH/resume_arch.c. */
#ifndef RESTART_RESUME_ARCH_H
#define RESTART_RESUME_ARCH_H

#include "restart/image.h"

/* Where musl's struct pthread has the thread's id. */
#define RESUME_ARCH_MUSL_TID 48

/* Sets the thread pointer and its like. */
void resume_arch_thread(const struct image_thread *t);
/* Makes the kernel ready to load the frame's extended state. */
void resume_arch_state(const struct image_thread *t);

#endif
