/* resume_arch.h - what of resume.h is the architecture's: arch/ARCH/resume_arch.c. */
#ifndef RESTART_RESUME_ARCH_H
#define RESTART_RESUME_ARCH_H

#include "restart/image.h"

/* Sets the thread pointer and its like. */
void resume_arch_thread(const struct image_process *p);
/* Makes the kernel ready to load the frame's extended state. */
void resume_arch_state(const struct image_process *p);

#endif
