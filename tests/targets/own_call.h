/* own_call.h - a system call by an instruction of one's own, which no jump leads past: x86-64. */
#ifndef TARGETS_OWN_CALL_H
#define TARGETS_OWN_CALL_H

static inline __attribute__((always_inline)) long own_call(long number, const long a[6])
{
    const long r10 = a[3], r8 = a[4], r9 = a[5];
    register long fourth __asm__("r10") = r10;
    register long fifth __asm__("r8") = r8;
    register long sixth __asm__("r9") = r9;
    long result = number;
    __asm__ volatile("syscall"
                     : "+a"(result)
                     : "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(fourth), "r"(fifth), "r"(sixth)
                     : "rcx", "r11", "memory");
    return result;
}

#endif
