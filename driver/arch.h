/*
 * arch.h - what the driver has to know of an architecture beyond what GDB knows.
 *
 * Defined in arch/ARCH/, together with the server's code (server.h) and the entry jump (jump.h). To
 * add an architecture: these three, nothing else of the driver.
 */
#ifndef DRIVER_ARCH_H
#define DRIVER_ARCH_H

#include <stddef.h>
#include <stdint.h>

struct arch {
    const char *name;     /* as users say it: "x86-64" */
    const char *gdb_name; /* <architecture> of GDB's target description: "i386:x86-64" */
    const char *const
        *registers; /* GDB's names of the registers read at each stop; NULL-terminated */
    const char *pc, *sp, *result; /* among them: program counter, stack pointer, a call's result */
    const char
        *syscall_number; /* the number of the system call that was interrupted, or negative */
    const char *thread_pointer;   /* what libc's thread-local storage hangs on */
    unsigned elf_machine;         /* EM_ARCH */
    unsigned relative_relocation; /* R_ARCH_RELATIVE of the ELF supplement */
    const char *argument[2];      /* the first two arguments of a system call */
};
extern const struct arch arch;

#endif
