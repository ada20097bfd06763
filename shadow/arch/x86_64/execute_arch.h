/* execute_arch.h - x86-64: where an interrupted thread stands, for the cancellation of a call. */
#ifndef SHADOW_EXECUTE_ARCH_H
#define SHADOW_EXECUTE_ARCH_H

#include <stdint.h>
#include <ucontext.h>

static inline uintptr_t execute_pc(const ucontext_t *u)
{
    return (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
}

static inline void execute_set_pc(ucontext_t *u, uintptr_t pc)
{
    u->uc_mcontext.gregs[REG_RIP] = (greg_t)pc;
}

#endif
