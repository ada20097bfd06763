/* arch.c - x86-64 (System V AMD64 ABI; GDB's features org.gnu.gdb.i386.core and .linux). */
#include <elf.h>

#include "driver/arch.h"

static const char *const registers[] = {"rax", "rbx", "rcx", "rdx",    "rsi",     "rdi",      "rbp",
                                        "rsp", "r8",  "r9",  "r10",    "r11",     "r12",      "r13",
                                        "r14", "r15", "rip", "eflags", "fs_base", "orig_rax", NULL};

const struct arch arch = {
    .name = "x86-64",
    .gdb_name = "i386:x86-64",
    .registers = registers,
    .pc = "rip",
    .sp = "rsp",
    .result = "rax",
    .syscall_number = "orig_rax",
    .thread_pointer = "fs_base",
    .elf_machine = EM_X86_64,
    .relative_relocation = R_X86_64_RELATIVE,
    .argument = {"rdi", "rsi"},
};
