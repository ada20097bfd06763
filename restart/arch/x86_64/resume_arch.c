/* resume_arch.c - x86-64: see restart/resume_arch.h. */
#include <asm/prctl.h>
#include <ucontext.h>

#include "restart/resume_arch.h"
#include "stubs/raw.h"

#ifndef ARCH_REQ_XCOMP_PERM
#define ARCH_REQ_XCOMP_PERM 0x1023
#endif
#define TILE_DATA     18
#define SOFTWARE_MASK 472 /* of the extended state: the features in it (struct _fpx_sw_bytes) */

void resume_arch_thread(const struct image_thread *t)
{
    raw(SYS_arch_prctl, ARCH_SET_FS, t->fs_base);
    raw(SYS_arch_prctl, ARCH_SET_GS, t->gs_base);
}

/* Until a process has used a tile its state has no room for tiles, and rt_sigreturn would silently
 * load x87 and SSE only. */
static void use_tiles(void)
{
    static const struct {
        unsigned char palette, start_row, reserved[14];
        unsigned short bytes[16];
        unsigned char rows[16];
    } one = {.palette = 1, .bytes = {64}, .rows = {1}};
    __asm__ volatile("ldtilecfg %0\n\ttilezero %%tmm0\n\ttilerelease" : : "m"(one));
}

void resume_arch_state(const struct image_thread *t)
{
    const ucontext_t *frame = (const void *)t->frame;
    const char *state = (const char *)frame->uc_mcontext.fpregs;
    uint64_t features = state ? *(const uint64_t *)(state + SOFTWARE_MASK) : 0;
    if (features >> TILE_DATA & 1 && raw(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0)
        use_tiles();
}
