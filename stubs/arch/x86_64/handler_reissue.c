/*
 * handler_reissue.c - x86-64: see stubs/reissue.h.
 *
 * Compilers put the number into eax right before `syscall`, with at most a few loads of arguments between. So: find the
 * nearest `mov $number,%eax` from which the few kinds of instruction that occur there lead exactly to the `syscall`
 * (Intel SDM volume 2, chapter 2: encoding).
 */
#include <errno.h>
#include <sys/uio.h>
#include <time.h>

#include "stubs/mem.h"
#include "stubs/raw.h"
#include "stubs/reissue.h"

#define WINDOW          48
#define NUMBER_MAX      1023
#define SYSCALL_SIZE    2
#define RESTART_SYSCALL 219

/* Length of a ModRM byte with its SIB and displacement. */
static size_t modrm_length(const unsigned char *at)
{
    unsigned mod = at[0] >> 6, rm = at[0] & 7;
    size_t n = 1;
    if (mod == 3)
        return 1;
    if (rm == 4)
        n += 1 + (mod == 0 && (at[1] & 7) == 5 ? 4 : 0);
    else if (mod == 0 && rm == 5)
        n += 4;
    return n + (mod == 1 ? 1 : mod == 2 ? 4 : 0);
}

/* Length of one of the instructions that load arguments; 0 for any other. */
static size_t length(const unsigned char *at)
{
    size_t rex = (at[0] & 0xf0) == 0x40;
    const unsigned char *op = at + rex;
    switch (op[0]) {
    case 0x31: /* xor */
    case 0x33:
    case 0x63: /* movslq */
    case 0x89: /* mov */
    case 0x8b:
    case 0x8d: /* lea */
        return rex + 1 + modrm_length(op + 1);
    case 0x80: /* group 1 with imm8 */
    case 0x83:
        return rex + 2 + modrm_length(op + 1);
    case 0xc7:
        return rex + 5 + modrm_length(op + 1);
    }
    return op[0] >= 0xb8 && op[0] <= 0xbf && !(at[0] & rex << 3) ? rex + 5 : 0;
}

/* Does the instruction write eax? Only forms of length() come here; `xor`, `mov` and `lea` do by their fields. */
static int writes_eax(const unsigned char *at)
{
    size_t rex = (at[0] & 0xf0) == 0x40;
    unsigned r = rex && at[0] & 4, b = rex && at[0] & 1;
    const unsigned char *op = at + rex;
    unsigned reg = op[1] >> 3 & 7, rm = op[1] & 7, direct = op[1] >> 6 == 3;
    switch (op[0]) {
    case 0x31:
    case 0x89:
    case 0x80:
    case 0x83:
    case 0xc7:
        return direct && !b && rm == 0;
    case 0x33:
    case 0x63:
    case 0x8b:
    case 0x8d:
        return !r && reg == 0;
    }
    return op[0] == 0xb8 && !b;
}

/* Do instructions that leave eax alone lead from `at` exactly to `end`? */
static int leads_to(const unsigned char *at, const unsigned char *end)
{
    while (at < end) {
        size_t n = length(at);
        if (!n || writes_eax(at))
            return 0;
        at += n;
    }
    return at == end;
}

static long immediate(const unsigned char *at)
{
    uint32_t n;
    memcpy(&n, at, sizeof n);
    return n <= NUMBER_MAX ? (long) n : -1;
}

/* The number that an instruction at `at` puts into eax, with the instruction's length; or -1. */
static long loaded(const unsigned char *at, size_t *size)
{
    *size = 5;
    if (at[0] == 0xb8) /* mov $n,%eax */
        return immediate(at + 1);
    *size = 7;
    if (at[0] == 0x48 && at[1] == 0xc7 && at[2] == 0xc0) /* mov $n,%rax */
        return immediate(at + 3);
    *size = 2;
    return at[0] == 0x31 && at[1] == 0xc0 ? 0 : -1; /* xor %eax,%eax */
}

long reissue_number(const unsigned char *code, size_t size)
{
    const unsigned char *end = code + size - SYSCALL_SIZE;
    if (size < SYSCALL_SIZE + 2 || end[0] != 0x0f || end[1] != 0x05)
        return -1;
    for (const unsigned char *at = end - 2; at >= code; at--) {
        size_t n;
        long number = loaded(at, &n);
        if (number >= 0 && at + n <= end && leads_to(at + n, end))
            return number;
    }
    return -1;
}

/* The bytes before `address`, at the end of `to`; how many could be read. */
static size_t read_before(uint64_t address, unsigned char to[WINDOW])
{
    size_t want = WINDOW, page = address & 4095;
    struct iovec here = {to, want}, there = {(void *) (address - want), want};
    if (raw(SYS_process_vm_readv, raw(SYS_getpid), &here, 1, &there, 1, 0) == (long) want)
        return want;
    want = page < WINDOW ? page : WINDOW;
    here = (struct iovec){to + WINDOW - want, want};
    there = (struct iovec){(void *) (address - want), want};
    return raw(SYS_process_vm_readv, raw(SYS_getpid), &here, 1, &there, 1, 0) == (long) want ? want : 0;
}

/* musl's cancellation points share one `syscall`, in __syscall_cp_asm(), which has the number from %rsi and loses it.
 * Its caller took it from a register that calls preserve: `mov %reg,%rsi` before the call. */
static long shared_number(const greg_t *g, const unsigned char *code, size_t size)
{
    static const unsigned char asm_end[] = {0x4c, 0x8b, 0x4c, 0x24, 0x10, 0x4c, 0x89,
                                            0x5c, 0x24, 0x08, 0x0f, 0x05};
    static const unsigned char preserved[16] = {
        [3] = REG_RBX + 1, [5] = REG_RBP + 1, [12] = REG_R12 + 1, [13] = REG_R13 + 1, [14] = REG_R14 + 1,
        [15] = REG_R15 + 1};
    unsigned char caller[WINDOW];
    if (size < sizeof asm_end || memcmp(code + size - sizeof asm_end, asm_end, sizeof asm_end) != 0)
        return -1;
    size_t n = read_before(*(const uint64_t *) g[REG_RSP], caller);
    for (size_t i = WINDOW - n; i + 8 <= WINDOW; i++) {
        if ((caller[i] & 0xfb) != 0x48 || caller[i + 1] != 0x89 || (caller[i + 2] & 0xc7) != 0xc6)
            continue;
        unsigned reg = (caller[i + 2] >> 3 & 7) | (caller[i] & 4) << 1;
        if (preserved[reg])
            return g[preserved[reg] - 1] <= NUMBER_MAX ? g[preserved[reg] - 1] : -1;
    }
    return -1;
}

static long interrupted_number(const greg_t *g)
{
    unsigned char code[WINDOW];
    size_t n = read_before((uint64_t) g[REG_RIP], code);
    long number = reissue_number(code + WINDOW - n, n);
    return number >= 0 ? number : shared_number(g, code + WINDOW - n, n);
}

/* Calls that return -ERESTART_RESTARTBLOCK within the kernel. */
static int has_restart_block(long number, const greg_t *g)
{
    switch (number) {
    case SYS_poll:
    case SYS_nanosleep:
    case SYS_futex:
        return 1;
    case SYS_clock_nanosleep:
        return !(g[REG_RSI] & TIMER_ABSTIME);
    }
    return 0;
}

enum reissue reissue(ucontext_t *frame)
{
    greg_t *g = frame->uc_mcontext.gregs;
    if (g[REG_RAX] != -EINTR)
        return REISSUE_NONE;
    long number = interrupted_number(g);
    if (number < 0 || number == SYS_close)
        return REISSUE_NONE;
    g[REG_RIP] -= SYSCALL_SIZE;
    g[REG_RAX] = number;
    return has_restart_block(number, g) ? REISSUE_CONTINUE : REISSUE_CALL;
}

void reissue_continue(ucontext_t *frame)
{
    frame->uc_mcontext.gregs[REG_RAX] = RESTART_SYSCALL;
}
