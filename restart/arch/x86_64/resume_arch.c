/* resume_arch.c - x86-64: see restart/resume_arch.h. */
#include <asm/prctl.h>
#include <linux/futex.h>
#include <ucontext.h>

#include "restart/resume_arch.h"
#include "restart/resume_ids.h"
#include "stubs/mem.h"
#include "stubs/raw.h"

#ifndef ARCH_REQ_XCOMP_PERM
#define ARCH_REQ_XCOMP_PERM 0x1023
#endif
#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13 /* Linux 5.14 */
#endif
#define TILE_DATA     18
#define SOFTWARE_MASK 472 /* of the extended state: the features in it (struct _fpx_sw_bytes) */

void resume_arch_thread(const struct image_thread *t)
{
    raw(SYS_arch_prctl, ARCH_SET_FS, t->fs_base);
    raw(SYS_arch_prctl, ARCH_SET_GS, t->gs_base);
}

enum place { ELSEWHERE, BEFORE_CALL, BEHIND_CALL };

/* Before a call, that is to issue it, or right behind, when it has just returned: its arguments are
 * there in both cases. */
static enum place place_of(const ucontext_t *frame)
{
    static const unsigned char instruction[] = {0x0f, 0x05}; /* syscall */
    unsigned char code[2 * sizeof instruction];              /* around the program counter */
    if (!resume_peek((uint64_t)frame->uc_mcontext.gregs[REG_RIP] - sizeof instruction, code,
                     sizeof code))
        return ELSEWHERE;
    if (memcmp(code + sizeof instruction, instruction, sizeof instruction) == 0)
        return BEFORE_CALL;
    return memcmp(code, instruction, sizeof instruction) == 0 ? BEHIND_CALL : ELSEWHERE;
}

int resume_arch_futex(const ucontext_t *frame, struct resume_futex *futex)
{
    const greg_t *g = frame->uc_mcontext.gregs;
    const int command = (int)g[REG_RSI] & FUTEX_CMD_MASK;
    const enum place place = place_of(frame);
    if (place == ELSEWHERE || (place == BEFORE_CALL && g[REG_RAX] != SYS_futex))
        return 0;
    *futex = (struct resume_futex){
        .word = (uint64_t)g[REG_RDI],
        .value = (uint32_t)g[REG_RDX],
        .inherits = command == FUTEX_LOCK_PI || command == FUTEX_LOCK_PI2 ||
                    command == FUTEX_TRYLOCK_PI || command == FUTEX_UNLOCK_PI,
        .limited = g[REG_R10] != 0,
        .certain = g[REG_RAX] == SYS_futex, /* also in the net's frame, where it is the number */
    };
    futex->waits = futex->inherits ? command != FUTEX_UNLOCK_PI
                                   : command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET;
    return futex->waits || futex->inherits;
}

int resume_arch_is_in_call(const ucontext_t *frame)
{
    return place_of(frame) != ELSEWHERE;
}

uint64_t resume_arch_stack(const ucontext_t *frame)
{
    return (uint64_t)frame->uc_mcontext.gregs[REG_RSP];
}

unsigned resume_arch_change_registers(ucontext_t *frame, int32_t then, int32_t now)
{
    enum { PRESERVED = 6 }; /* by calls: these come first */
    static const unsigned char general[] = {REG_RBX, REG_RBP, REG_R12, REG_R13, REG_R14,
                                            REG_R15, REG_RAX, REG_RCX, REG_RDX, REG_RSI,
                                            REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11};
    greg_t *g = frame->uc_mcontext.gregs;
    unsigned count = 0;
    for (unsigned i = 0; i < sizeof general; i++) {
        count += (int32_t)g[general[i]] == then;
        if (i < PRESERVED && g[general[i]] == then)
            g[general[i]] = now;
    }
    return count;
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
