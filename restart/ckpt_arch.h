/* ckpt_arch.h - what of a checkpoint is the architecture's: registers and CPU features.
 * arch/ARCH/ckpt_arch.c. */
#ifndef RESTART_CKPT_ARCH_H
#define RESTART_CKPT_ARCH_H

#include <stddef.h>
#include <ucontext.h>

#include "restart/image.h"

/* The ELF header's e_machine. */
extern const unsigned short ckpt_arch_machine;

/* The program counter of a signal frame. */
uint64_t ckpt_arch_counter(const ucontext_t *frame);
/* Fills in the thread pointer and its like. */
void ckpt_arch_thread(struct image_thread *t);
/* Fills in machine, features and the extended state's shape. */
void ckpt_arch_header(struct image_header *h, const ucontext_t *frame);

/* The register sets of a thread in a core file: writes the note's contents to `to` and returns
 * their size. */
size_t ckpt_arch_general(void *to, const struct image_thread *t, const struct image_process *p);
size_t ckpt_arch_floating(void *to, const ucontext_t *frame);
size_t ckpt_arch_extended(void *to, const ucontext_t *frame);

#endif
