/*
 * handler_reissue.c - x86-64: see stubs/reissue.h.
 *
 * Compilers put the number into eax right before `syscall`, with at most a few loads of arguments
 * between. So: find the nearest `mov $number,%eax` from which the few kinds of instruction that
 * occur there lead exactly to the `syscall` (Intel SDM volume 2, chapter 2: encoding).
 */
#include <errno.h>
#include <sys/uio.h>
#include <time.h>

#include "stubs/mem.h"
#include "stubs/net.h"
#include "stubs/raw.h"
#include "stubs/record.h"
#include "stubs/reissue.h"

#define WINDOW          112
#define NUMBER_MAX      1023
#define SYSCALL_SIZE    2
#define RESTART_SYSCALL 219

extern const unsigned char handler_by_hand[], handler_by_hand_end[];

enum { EAX = 0, EDI = 7 }; /* as instructions number them */

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

/* Length of an SSE instruction without an immediate (second opcode map); 0 for any other. */
static size_t sse_length(const unsigned char *at)
{
    size_t prefix = at[0] == 0x66 || at[0] == 0xf2 || at[0] == 0xf3;
    size_t rex = (at[prefix] & 0xf0) == 0x40;
    const unsigned char *op = at + prefix + rex;
    if (op[0] != 0x0f)
        return 0;
    int known = (op[1] & 0xf8) == 0x10 || (op[1] & 0xf8) == 0x28 ||
                (op[1] >= 0x51 && op[1] <= 0x6f) || op[1] == 0x7e || op[1] == 0x7f || op[1] >= 0xd0;
    return known ? prefix + rex + 2 + modrm_length(op + 2) : 0;
}

/* Does it move something to a general register (cvtsd2si and its like, movd, movq)? Then better
 * believe nothing. */
static int sse_writes_general(const unsigned char *at)
{
    size_t prefix = at[0] == 0x66 || at[0] == 0xf2 || at[0] == 0xf3;
    const unsigned char *op = at + prefix + ((at[prefix] & 0xf0) == 0x40);
    unsigned reg = op[2] >> 3 & 7u;
    return ((op[1] == 0x2c || op[1] == 0x2d) && reg != EAX) || (op[1] == 0x7e && op[2] >> 6 == 3);
}

/* Length of one of the instructions that load arguments; 0 for any other. */
static size_t length(const unsigned char *at)
{
    if (sse_length(at))
        return sse_writes_general(at) ? 0 : sse_length(at);
    size_t rex = (at[0] & 0xf0) == 0x40;
    const unsigned char *op = at + rex;
    switch (op[0]) {
    case 0x31: /* xor */
    case 0x33:
    case 0x63: /* movslq */
    case 0x89: /* mov */
    case 0x8b:
    case 0x8d: /* lea */
    case 0xff: /* push */
        return op[0] != 0xff || (op[1] & 0x38) == 0x30 ? rex + 1 + modrm_length(op + 1) : 0;
    case 0x80: /* group 1 with imm8 */
    case 0x83:
        return rex + 2 + modrm_length(op + 1);
    case 0x6a: /* push imm8 */
        return 2;
    case 0xc7: /* mov imm32 */
        return rex + 5 + modrm_length(op + 1);
    }
    if (op[0] >= 0x50 && op[0] <= 0x57) /* push */
        return rex + 1;
    return op[0] >= 0xb8 && op[0] <= 0xbf && !(rex && at[0] & 8) ? rex + 5 : 0;
}

/* Does the instruction write `reg` (one of the low eight)? Only forms of length() come here. */
static int writes(const unsigned char *at, unsigned reg)
{
    if (sse_length(at))
        return reg == EAX; /* cvttsd2si: see sse_writes_general() */
    size_t rex = (at[0] & 0xf0) == 0x40;
    unsigned high_reg = rex && at[0] & 4, high_rm = rex && at[0] & 1;
    const unsigned char *op = at + rex;
    switch (op[0]) {
    case 0x31:
    case 0x89:
    case 0x80:
    case 0x83:
    case 0xc7:
        return op[1] >> 6 == 3 && !high_rm && (op[1] & 7u) == reg;
    case 0x33:
    case 0x63:
    case 0x8b:
    case 0x8d:
        return !high_reg && (op[1] >> 3 & 7u) == reg;
    }
    return op[0] == 0xb8 + reg && !high_rm;
}

/* Do instructions that leave `reg` alone lead from `at` exactly to `end`? */
static int leads_to(const unsigned char *at, const unsigned char *end, unsigned reg)
{
    while (at < end) {
        size_t n = length(at);
        if (!n || writes(at, reg))
            return 0;
        at += n;
    }
    return at == end;
}

static long immediate(const unsigned char *at)
{
    uint32_t n;
    memcpy(&n, at, sizeof n);
    return n <= NUMBER_MAX ? (long)n : -1;
}

/* The number that an instruction at `at` puts into `reg`, with the instruction's length; or -1. */
static long loaded(const unsigned char *at, unsigned reg, size_t *size)
{
    *size = 5;
    if (at[0] == 0xb8 + reg) /* mov $n,%eax */
        return immediate(at + 1);
    *size = 7;
    if (at[0] == 0x48 && at[1] == 0xc7 && at[2] == 0xc0 + reg) /* mov $n,%rax */
        return immediate(at + 3);
    *size = 2;
    return at[0] == 0x31 && at[1] == 0xc0 + 9 * reg ? 0 : -1; /* xor %eax,%eax */
}

/* The number that `reg` is given in [code, end), nearest to the end; -1: not to be seen. */
static long find_load(const unsigned char *code, const unsigned char *end, unsigned reg)
{
    for (const unsigned char *at = end - 2; at >= code; at--) {
        size_t n;
        long number = loaded(at, reg, &n);
        if (number >= 0 && at + n <= end && leads_to(at + n, end, reg))
            return number;
    }
    return -1;
}

static int is_syscall(const unsigned char *end)
{
    return end[-2] == 0x0f && end[-1] == 0x05;
}

long reissue_number(const unsigned char *code, size_t size)
{
    const unsigned char *end = code + size - SYSCALL_SIZE;
    if (size < SYSCALL_SIZE + 2 || !is_syscall(code + size))
        return -1;
    return find_load(code, end, EAX);
}

/* Code as it was before the entry jumps were written over it: a short function has the number right
 * at its entry. */
static void without_jumps(uint64_t address, unsigned char *code, size_t size)
{
    const struct hijack_record *r = &hijack_record;
    for (uint32_t i = 0; i < r->patch_count && i < HIJACK_MAX_PATCHES; i++) {
        const struct hijack_patch *patch = &r->patches[i];
        if (patch->address >= address + size || patch->address + patch->size <= address)
            continue;
        for (uint64_t at = patch->address; at < patch->address + patch->size; at++)
            if (at >= address && at < address + size &&
                code[at - address] == patch->patched[at - patch->address])
                code[at - address] = patch->original[at - patch->address];
    }
}

/* The bytes before `address`, at the end of `to`; how many could be read. */
static size_t read_memory(uint64_t address, unsigned char to[WINDOW])
{
    size_t want = WINDOW, page = address & 4095;
    struct iovec here = {to, want}, there = {(void *)(address - want), want};
    if (raw(SYS_process_vm_readv, raw(SYS_getpid), &here, 1, &there, 1, 0) == (long)want)
        return want;
    want = page < WINDOW ? page : WINDOW;
    here = (struct iovec){to + WINDOW - want, want};
    there = (struct iovec){(void *)(address - want), want};
    return raw(SYS_process_vm_readv, raw(SYS_getpid), &here, 1, &there, 1, 0) == (long)want ? want
                                                                                            : 0;
}

static size_t read_before(uint64_t address, unsigned char to[WINDOW])
{
    size_t n = read_memory(address, to);
    without_jumps(address - n, to + WINDOW - n, n);
    return n;
}

/* musl's cancellation points share one `syscall`, in __syscall_cp_asm(), which has the number from
 * %rsi and loses it. Its caller took it from a register that calls preserve: `mov %reg,%rsi` before
 * the call. */
static long shared_number(const greg_t *g, const unsigned char *code, size_t size)
{
    static const unsigned char asm_end[] = {0x4c, 0x8b, 0x4c, 0x24, 0x10, 0x4c,
                                            0x89, 0x5c, 0x24, 0x08, 0x0f, 0x05};
    static const unsigned char preserved[16] = {
        [3] = REG_RBX + 1,  [5] = REG_RBP + 1,  [12] = REG_R12 + 1,
        [13] = REG_R13 + 1, [14] = REG_R14 + 1, [15] = REG_R15 + 1};
    unsigned char caller[WINDOW];
    if (size < sizeof asm_end || memcmp(code + size - sizeof asm_end, asm_end, sizeof asm_end) != 0)
        return -1;
    size_t n = read_before(*(const uint64_t *)g[REG_RSP], caller);
    for (size_t i = WINDOW - n; i + 8 <= WINDOW; i++) {
        if ((caller[i] & 0xfb) != 0x48 || caller[i + 1] != 0x89 || (caller[i + 2] & 0xc7) != 0xc6)
            continue;
        unsigned reg = (caller[i + 2] >> 3 & 7) | (caller[i] & 4) << 1;
        if (preserved[reg])
            return g[preserved[reg] - 1] <= NUMBER_MAX ? g[preserved[reg] - 1] : -1;
    }
    return -1;
}

/* glibc's syscall(2) function has the number from its caller, in %edi: `mov $number,%edi` before
 * the call. */
static long function_number(const greg_t *g, const unsigned char *code, size_t size)
{
    static const unsigned char function_end[] = {0x4d, 0x89, 0xc8, 0x4c, 0x8b,
                                                 0x4c, 0x24, 0x08, 0x0f, 0x05};
    unsigned char caller[WINDOW];
    if (size < sizeof function_end ||
        memcmp(code + size - sizeof function_end, function_end, sizeof function_end) != 0)
        return -1;
    size_t n = read_before(*(const uint64_t *)g[REG_RSP], caller);
    const unsigned char *end = caller + WINDOW;
    if (n < 8)
        return -1;
    if (end[-5] == 0xe8) /* call */
        return find_load(end - n, end - 5, EDI);
    return end[-6] == 0xff && end[-5] == 0x15 ? find_load(end - n, end - 6, EDI) : -1;
}

static long interrupted_number(const greg_t *g)
{
    if ((const unsigned char *)g[REG_RIP] == net_syscall_end)
        return g[REG_RBX];
    unsigned char code[WINDOW];
    size_t n = read_before((uint64_t)g[REG_RIP], code);
    const unsigned char *start = code + WINDOW - n;
    long number = reissue_number(start, n);
    if (number < 0)
        number = shared_number(g, start, n);
    return number >= 0 ? number : function_number(g, start, n);
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

static void restore_arguments(const struct reissue_call *call, greg_t *g)
{
    static const unsigned char arguments[] = {REG_RDI, REG_RSI, REG_RDX, REG_R10};
    for (unsigned i = 0; i < sizeof arguments; i++)
        g[arguments[i]] = call->registers[arguments[i]];
}

void reissue_elapsed(struct reissue_call *call, ucontext_t *frame, uint64_t nanoseconds)
{
    greg_t *g = frame->uc_mcontext.gregs;
    if (call->number < 0)
        return;
    call->elapsed += nanoseconds;
    restore_arguments(call, g);
    reissue_shorten(g, call->number, call->elapsed);
}

/* Between the mask's coming back and the call. */
static int is_leaving(const greg_t *g)
{
    const uintptr_t pc = (uintptr_t)g[REG_RIP], begin = (uintptr_t)handler_by_hand;
    unsigned char code[WINDOW];
    if (pc - begin < (uintptr_t)handler_by_hand_end - begin)
        return 1;
    return g[REG_RAX] == RESTART_SYSCALL && read_memory(pc + SYSCALL_SIZE, code) >= SYSCALL_SIZE &&
           is_syscall(code + WINDOW);
}

enum reissue reissue(struct reissue_call *call, ucontext_t *frame)
{
    greg_t *g = frame->uc_mcontext.gregs;
    call->number = -1;
    if (is_leaving(g))
        return REISSUE_LEAVING;
    if (g[REG_RAX] != -EINTR)
        return REISSUE_NONE;
    long number = interrupted_number(g);
    if (number < 0 || number == SYS_close)
        return REISSUE_NONE;
    memcpy(call->registers, g, sizeof call->registers);
    call->number = number;
    call->elapsed = 0;
    g[REG_RIP] -= SYSCALL_SIZE;
    g[REG_RAX] = number;
    reissue_elapsed(call, frame, 0);
    return has_restart_block(number, g) ? REISSUE_CONTINUE : REISSUE_CALL;
}

void reissue_continue(const struct reissue_call *call, ucontext_t *frame)
{
    restore_arguments(call, frame->uc_mcontext.gregs);
    frame->uc_mcontext.gregs[REG_RAX] = RESTART_SYSCALL;
}
