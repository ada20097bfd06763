/*
 * registers.c - keeps every register of x86-64 live and checks them: general, flags, x87, SSE, AVX,
 * AVX-512 with its masks, and with the argument `amx` the tiles too.
 *
 * A random XSAVE area is loaded with xrstor, the general registers and the flags are loaded, then a
 * loop of instructions that touch none of them but rcx spins for about 20 ms without a system call;
 * then all are stored and compared. What the CPU has is taken from cpuid leaf 13, so a new register
 * set is covered when it appears.
 */
#include <cpuid.h>
#include <sys/syscall.h>

#include "tests/targets/target.h"

#define GENERAL    15      /* all but rsp; rcx is the loop's counter */
#define COUNTER    2       /* its place among them */
#define LIVE_FLAGS 0xcd5UL /* CF PF AF ZF SF DF OF */

enum { X87 = 0, SSE = 1, PKRU = 9, TILE_CONFIG = 17, TILE_DATA = 18, COMPONENTS = 19 };

unsigned long general_in[GENERAL], general_out[GENERAL], flags_in, flags_out, components,
    stack_kept;
unsigned char area_in[16384] __attribute__((aligned(64))),
    area_out[16384] __attribute__((aligned(64)));

static const char *const general_name[GENERAL] = {"rax", "rbx", "rcx", "rdx", "rsi",
                                                  "rdi", "rbp", "r8",  "r9",  "r10",
                                                  "r11", "r12", "r13", "r14", "r15"};

/* Everything live at once from label 1 to label 2. */
void registers_spin(void);
__asm__(".text\n.globl registers_spin\n.type registers_spin, @function\n"
        "registers_spin:\n"
        "  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "  pushfq\n"
        "  mov components(%rip), %eax; mov components+4(%rip), %edx\n"
        "  xrstor64 area_in(%rip)\n"
        "  pushq flags_in(%rip)\n"
        "  lea general_in(%rip), %rax\n"
        "  mov 8(%rax), %rbx; mov 16(%rax), %rcx; mov 24(%rax), %rdx; mov 32(%rax), %rsi\n"
        "  mov 40(%rax), %rdi; mov 48(%rax), %rbp; mov 56(%rax), %r8; mov 64(%rax), %r9\n"
        "  mov 72(%rax), %r10; mov 80(%rax), %r11; mov 88(%rax), %r12; mov 96(%rax), %r13\n"
        "  mov 104(%rax), %r14; mov 112(%rax), %r15; mov 0(%rax), %rax\n"
        "  popfq\n"
        "1: lea -1(%rcx), %rcx\n"
        "  jrcxz 2f\n"
        "  jmp 1b\n"
        "2: pushfq\n"
        "  popq flags_out(%rip)\n"
        "  mov %rax, general_out(%rip)\n"
        "  lea general_out(%rip), %rax\n"
        "  mov %rbx, 8(%rax); mov %rcx, 16(%rax); mov %rdx, 24(%rax); mov %rsi, 32(%rax)\n"
        "  mov %rdi, 40(%rax); mov %rbp, 48(%rax); mov %r8, 56(%rax); mov %r9, 64(%rax)\n"
        "  mov %r10, 72(%rax); mov %r11, 80(%rax); mov %r12, 88(%rax); mov %r13, 96(%rax)\n"
        "  mov %r14, 104(%rax); mov %r15, 112(%rax)\n"
        "  mov components(%rip), %eax; mov components+4(%rip), %edx\n"
        "  xsave64 area_out(%rip)\n"
        "  fninit\n"
        "  popfq\n"
        "  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "  ret\n"
        ".size registers_spin, .-registers_spin\n");

struct component {
    unsigned offset, size; /* in the standard format of XSAVE */
};

static struct component component(int number)
{
    unsigned a, b, c, d;

    if (number == X87)
        return (struct component){32, 128};
    if (number == SSE)
        return (struct component){160, 256};
    __cpuid_count(13, number, a, b, c, d);
    return (struct component){b, a};
}

static unsigned long enabled_components(void)
{
    unsigned low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* Tiles of 16 rows of 64 bytes, palette 1: Intel SDM, "Intel AMX state". */
static void set_tile_config(unsigned char *at)
{
    memset(at, 0, 64);
    at[0] = 1;
    for (int tile = 0; tile < 8; tile++) {
        at[16 + 2 * tile] = 64;
        at[48 + tile] = 16;
    }
}

static void set_x87(unsigned char *area)
{
    area[0] = 0x7f; /* FCW 0x027f: exceptions masked, 53 bits: not the default precision */
    area[1] = 0x02;
    area[4] = 0xff; /* all eight registers hold something */
    for (int r = 0; r < 8; r++) {
        area[32 + 16 * r + 7] |= 0x80; /* the integer bit: a normal number */
        area[32 + 16 * r + 9] &= 0x3f;
        memset(area + 32 + 16 * r + 10, 0, 6);
    }
    memcpy(area + 24, "\xa0\x1f\0", 4); /* MXCSR 0x1fa0: precision flag raised */
}

static void randomise(void *to, size_t size)
{
    for (size_t at = 0; at < size; at++)
        ((unsigned char *)to)[at] = (unsigned char)(random() >> 8);
}

static void set_registers(void)
{
    static const unsigned counter = 20 * 1000 * 1000;

    memset(area_in, 0, sizeof area_in);
    memset(area_out, 0, sizeof area_out);
    for (int n = 0; n < COMPONENTS; n++)
        if (components >> n & 1)
            randomise(area_in + component(n).offset, component(n).size);
    set_x87(area_in);
    if (components >> TILE_CONFIG & 1)
        set_tile_config(area_in + component(TILE_CONFIG).offset);
    memcpy(area_in + 512, &components, sizeof components); /* XSTATE_BV */
    randomise(general_in, sizeof general_in);
    general_in[COUNTER] = counter;
    flags_in = 2 | 0x200 | ((unsigned long)random() & LIVE_FLAGS);
}

static void check_registers(void)
{
    for (int r = 0; r < GENERAL; r++)
        CHECK(general_out[r] == (r == COUNTER ? 0 : general_in[r]), "%s: %#lx is now %#lx",
              general_name[r], general_in[r], general_out[r]);
    CHECK(!((flags_in ^ flags_out) & LIVE_FLAGS), "flags: %#lx are now %#lx", flags_in, flags_out);
    CHECK(!memcmp(area_in, area_out, 5), "x87 control or tag word changed");
    CHECK(!memcmp(area_in + 24, area_out + 24, 4), "MXCSR changed");
    for (int n = 0; n < COMPONENTS; n++)
        if (components >> n & 1)
            CHECK(!memcmp(area_in + component(n).offset, area_out + component(n).offset,
                          component(n).size),
                  "XSAVE component %d changed", n);
}

int main(int argc, char **argv)
{
    unsigned long known = (1UL << COMPONENTS) - 1;

    components = enabled_components() & known & ~(1UL << PKRU | 3UL << TILE_CONFIG | 0xfd00UL);
    if (argc > 1 && !strcmp(argv[1], "amx")) {
        if (syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, TILE_DATA))
            cannot("amx");
        components |= 3UL << TILE_CONFIG;
    }
    ready();
    do {
        set_registers();
        registers_spin();
        check_registers();
    } while (!stop_asked());
    return finish();
}
