/* ckpt_arch.c - x86-64: see restart/ckpt_arch.h. */
#include <asm/prctl.h>
#include <elf.h>
#include <sys/procfs.h>

#include "restart/arch/x86_64/features.h"
#include "restart/ckpt_arch.h"
#include "stubs/mem.h"
#include "stubs/raw.h"

/* The extended state in a signal frame: the fxsave area, in whose unused end the kernel says what
 * follows (arch/x86/include/uapi/asm/sigcontext.h, struct _fpx_sw_bytes). */
#define FXSAVE_SIZE 512
#define SOFTWARE    464
#define MAGIC       0x46505853u
#define HEADER      FXSAVE_SIZE
#define GDB_SIZE    2688    /* gdb 13 warns of any larger note ... */
#define GDB_MASK    0xe7ULL /* ... and knows these: x87, SSE, AVX, AVX-512 */

const unsigned short ckpt_arch_machine = EM_X86_64;

struct software {
    uint32_t magic, extended_size;
    uint64_t features;
    uint32_t size;
};

static const unsigned char *state(const ucontext_t *frame)
{
    return (const unsigned char *)frame->uc_mcontext.fpregs;
}

/* What the frame holds beyond the fxsave area; zeros when nothing. */
static struct software shape(const ucontext_t *frame)
{
    struct software s = {0};
    if (state(frame))
        memcpy(&s, state(frame) + SOFTWARE, sizeof s);
    if (s.magic != MAGIC)
        memset(&s, 0, sizeof s);
    return s;
}

uint64_t ckpt_arch_counter(const ucontext_t *frame)
{
    return (uint64_t)frame->uc_mcontext.gregs[REG_RIP];
}

void ckpt_arch_thread(struct image_thread *t)
{
    raw(SYS_arch_prctl, ARCH_GET_FS, &t->fs_base);
    raw(SYS_arch_prctl, ARCH_GET_GS, &t->gs_base);
}

void ckpt_arch_header(struct image_header *h, const ucontext_t *frame)
{
    struct software s = shape(frame);
    mem_copy_string(h->machine, "x86_64", sizeof h->machine);
    features_read(h->features);
    h->xstate_mask = s.features;
    h->xstate_size = s.size;
}

/* The kernel's order: struct user_regs_struct. */
size_t ckpt_arch_general(void *to, const struct image_thread *t, const struct image_process *p)
{
    static const unsigned char order[] = {REG_R15, REG_R14, REG_R13, REG_R12, REG_RBP,
                                          REG_RBX, REG_R11, REG_R10, REG_R9,  REG_R8,
                                          REG_RAX, REG_RCX, REG_RDX, REG_RSI, REG_RDI};
    struct elf_prstatus *status = to;
    unsigned long *r = (unsigned long *)status->pr_reg;
    const greg_t *g = ((const ucontext_t *)t->frame)->uc_mcontext.gregs;
    memset(status, 0, sizeof *status);
    for (unsigned i = 0; i < sizeof order; i++)
        r[i] = (unsigned long)g[order[i]];
    r[15] = ~0UL; /* not in a system call */
    r[16] = (unsigned long)g[REG_RIP];
    r[17] = (unsigned long)g[REG_CSGSFS] & 0xffff;
    r[18] = (unsigned long)g[REG_EFL];
    r[19] = (unsigned long)g[REG_RSP];
    r[20] = (unsigned long)g[REG_CSGSFS] >> 48;
    r[21] = t->fs_base;
    r[22] = t->gs_base;
    status->pr_pid = t->tid;
    status->pr_ppid = p->parent;
    status->pr_pgrp = p->group;
    status->pr_sid = p->session;
    status->pr_fpvalid = 1;
    return sizeof *status;
}

size_t ckpt_arch_floating(void *to, const ucontext_t *frame)
{
    if (!state(frame))
        return 0;
    memcpy(to, state(frame), FXSAVE_SIZE);
    memset((unsigned char *)to + SOFTWARE, 0, FXSAVE_SIZE - SOFTWARE);
    return FXSAVE_SIZE;
}

/* Debuggers read the enabled features at the software bytes and the present ones in the header
 * behind. */
size_t ckpt_arch_extended(void *to, const ucontext_t *frame)
{
    struct software s = shape(frame);
    size_t size = s.size < GDB_SIZE ? s.size : GDB_SIZE;
    uint64_t enabled = s.features & GDB_MASK, present;
    if (size < HEADER + 64)
        return 0;
    memcpy(to, state(frame), size);
    memset((unsigned char *)to + SOFTWARE, 0, FXSAVE_SIZE - SOFTWARE);
    memcpy((unsigned char *)to + SOFTWARE, &enabled, sizeof enabled);
    memcpy(&present, (unsigned char *)to + HEADER, sizeof present);
    present &= GDB_MASK;
    memcpy((unsigned char *)to + HEADER, &present, sizeof present);
    return size;
}
