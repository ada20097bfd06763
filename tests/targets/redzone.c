/*
 * redzone.c - a leaf loop that keeps the whole red zone, the 128 bytes below the stack pointer,
 * live (x86-64 psABI 3.2.2).
 *
 * Whoever pushes something onto this stack without stepping over the red zone changes a word that
 * is compared at the end of each pass. Written in assembly, because a compiler is free not to use
 * it.
 */
#include "tests/targets/target.h"

/* Keeps seed + 8 * i at -8 * (i + 1)(%rsp) for `passes` passes; returns the number of words found
 * changed. */
long redzone_spin(unsigned long seed, unsigned long passes);
__asm__(".text\n.globl redzone_spin\n.type redzone_spin, @function\n"
        "redzone_spin:\n"
        "  xor %eax, %eax\n"
        "  mov $-8, %rcx\n"
        "  mov %rdi, %rdx\n"
        "1: mov %rdx, (%rsp,%rcx)\n"
        "  add $8, %rdx\n"
        "  sub $8, %rcx\n"
        "  cmp $-136, %rcx\n"
        "  jne 1b\n"
        "2: mov $-8, %rcx\n"
        "  mov %rdi, %rdx\n"
        "3: xor %r8d, %r8d\n"
        "  cmp %rdx, (%rsp,%rcx)\n"
        "  setne %r8b\n"
        "  add %r8, %rax\n"
        "  add $8, %rdx\n"
        "  sub $8, %rcx\n"
        "  cmp $-136, %rcx\n"
        "  jne 3b\n"
        "  dec %rsi\n"
        "  jnz 2b\n"
        "  ret\n"
        ".size redzone_spin, .-redzone_spin\n");

int main(void)
{
    ready();
    do {
        long changed = redzone_spin((unsigned long)random(), 1000000);

        CHECK(!changed, "%ld words of the red zone changed", changed);
    } while (!stop_asked());
    return finish();
}
