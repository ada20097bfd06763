/*
 * raw.h - system calls without libc, for code that runs inside the target or replaces an address
 * space.
 *
 * RULES for every file that includes this (libhijack.so, librestart.so):
 *   - nothing is imported: no libc, no errno, no malloc, no thread-local storage; `nm -u` of the
 * object is empty;
 *   - async-signal-safe throughout; large buffers are static (the program's stack is not ours);
 *   - every call returns the kernel's own value: >= 0, or -errno. Nothing sets errno.
 * The instruction itself, and the numbers, are the architecture's: arch/ARCH/syscall_arch.h.
 */
#ifndef STUBS_RAW_H
#define STUBS_RAW_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "syscall_arch.h" /* raw_syscall6(); the Makefile adds -Istubs/arch/ARCH */

#define RAW_SELECT(_0, _1, _2, _3, _4, _5, _6, name, ...) name
#define RAW_0(n)                                          raw_syscall6(n, 0, 0, 0, 0, 0, 0)
#define RAW_1(n, a)                                       raw_syscall6(n, (long)(a), 0, 0, 0, 0, 0)
#define RAW_2(n, a, b)                                    raw_syscall6(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define RAW_3(n, a, b, c)                                 raw_syscall6(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define RAW_4(n, a, b, c, d)                              raw_syscall6(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define RAW_5(n, a, b, c, d, e)                                                                    \
    raw_syscall6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define RAW_6(n, a, b, c, d, e, f)                                                                 \
    raw_syscall6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* raw(NUMBER, up to six arguments): the system call; >= 0 or -errno. */
#define raw(...)                                                                                   \
    RAW_SELECT(__VA_ARGS__, RAW_6, RAW_5, RAW_4, RAW_3, RAW_2, RAW_1, RAW_0)(__VA_ARGS__)

/* A kernel result is an error exactly when it is in [-4095, -1] (Linux system call ABI). */
static inline int raw_failed(long result)
{
    return (unsigned long)result > -4096UL;
}

#endif
