/* librestart_arch.h - arch/ARCH/librestart_arch.S. */
#ifndef RESTART_LIBRESTART_ARCH_H
#define RESTART_LIBRESTART_ARCH_H

#include "restart/librestart.h"

/* Moves to the stack that ends at `stack` and calls librestart_replace(plan). */
_Noreturn void librestart_arch_switch(struct restart_plan *plan, uint64_t stack);
_Noreturn void librestart_replace(struct restart_plan *plan);

#endif
