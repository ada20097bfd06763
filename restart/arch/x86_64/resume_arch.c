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

/* Before the call, that is to issue it, or right behind, when it has just returned: the arguments
 * are there in both cases. */
static const unsigned char instruction[] = {0x0f, 0x05}; /* syscall */

/* What the program counter stands before and behind; 0: it cannot be read. */
static int read_code(const ucontext_t *frame, unsigned char code[2 * sizeof instruction])
{
    return resume_peek((uint64_t)frame->uc_mcontext.gregs[REG_RIP] - sizeof instruction, code,
                       2 * sizeof instruction);
}

int resume_arch_waits(const ucontext_t *frame, struct resume_wait *wait)
{
    const greg_t *g = frame->uc_mcontext.gregs;
    int command = (int)g[REG_RSI] & FUTEX_CMD_MASK;
    unsigned char code[2 * sizeof instruction];
    if (!read_code(frame, code))
        return 0;
    int before = g[REG_RAX] == SYS_futex &&
                 memcmp(code + sizeof instruction, instruction, sizeof instruction) == 0;
    if (!before && memcmp(code, instruction, sizeof instruction) != 0)
        return 0;
    *wait = (struct resume_wait){
        .word = (uint64_t)g[REG_RDI],
        .value = (uint32_t)g[REG_RDX],
        .lock = command == FUTEX_LOCK_PI || command == FUTEX_LOCK_PI2,
        .limited = g[REG_R10] != 0,
        .over = !before && g[REG_RAX] == 0,
    };
    return wait->lock || command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET;
}

int resume_arch_is_in_call(const ucontext_t *frame)
{
    const int command = (int)frame->uc_mcontext.gregs[REG_RSI] & FUTEX_CMD_MASK;
    unsigned char code[2 * sizeof instruction];
    return command != FUTEX_UNLOCK_PI && read_code(frame, code) &&
           (memcmp(code, instruction, sizeof instruction) == 0 ||
            memcmp(code + sizeof instruction, instruction, sizeof instruction) == 0);
}

uint64_t resume_arch_stack(const ucontext_t *frame)
{
    return (uint64_t)frame->uc_mcontext.gregs[REG_RSP];
}

static const unsigned char general[] = {
    REG_RBX, REG_RBP, REG_R12, REG_R13, REG_R14, REG_R15, /* those that calls preserve come first */
    REG_RAX, REG_RCX, REG_RDX, REG_RSI, REG_RDI, REG_R8,  REG_R9, REG_R10, REG_R11,
};
#define PRESERVED 6

unsigned resume_arch_count_registers(const ucontext_t *frame, int32_t id)
{
    unsigned count = 0;
    for (unsigned i = 0; i < sizeof general; i++)
        count += (int32_t)frame->uc_mcontext.gregs[general[i]] == id;
    return count;
}

void resume_arch_change_registers(ucontext_t *frame, int32_t then, int32_t now)
{
    greg_t *g = frame->uc_mcontext.gregs;
    for (unsigned i = 0; i < PRESERVED; i++)
        if (g[general[i]] == then)
            g[general[i]] = now;
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
