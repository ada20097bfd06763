/* thread_arch.h - x86-64: the thread pointer is the FS base, and its first word its own address
 * (ELF Handling for Thread-Local Storage, section 3.4.6; glibc and musl both). */
#ifndef THREAD_ARCH_H
#define THREAD_ARCH_H

#include <stdint.h>

static inline uintptr_t thread_pointer(void)
{
    uintptr_t pointer;
    __asm__("mov %%fs:0, %0" : "=r"(pointer));
    return pointer;
}

#endif
