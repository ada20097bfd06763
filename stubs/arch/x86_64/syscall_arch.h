/* x86-64 system call instruction (System V AMD64 ABI, appendix A.2.1): number in rax, arguments in
 * rdi rsi rdx r10 r8 r9, result in rax; the kernel destroys rcx and r11. */
#ifndef SYSCALL_ARCH_H
#define SYSCALL_ARCH_H

static inline long raw_syscall6(long n, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#endif
