/*
 * unwind_regs.c - x86-64: registers by DWARF number, and what a call looks like.
 * Source: System V psABI for x86-64, figure 3.36 "DWARF Register Number Mapping"; Intel SDM volume
 * 2, CALL.
 */
#include <string.h>

#include "driver/unwind.h"

const char *const unwind_register_names[] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi",
                                             "rbp", "rsp", "r8",  "r9",  "r10", "r11",
                                             "r12", "r13", "r14", "r15", "rip"};
const size_t unwind_register_count = sizeof unwind_register_names / sizeof *unwind_register_names;
const size_t unwind_register_pc = 16, unwind_register_sp = 7;

/* Length of "call *r/m" (FF /2) with this ModRM and SIB byte. */
static size_t indirect_length(unsigned char modrm, unsigned char sib)
{
    unsigned mod = modrm >> 6, rm = modrm & 7;
    size_t length = 2;
    if (mod == 3)
        return length;
    if (rm == 4)
        length++;
    if (mod == 1)
        return length + 1;
    if (mod == 2 || rm == 5 || (rm == 4 && (sib & 7) == 5))
        return length + 4;
    return length;
}

bool unwind_after_call(const unsigned char *bytes)
{
    const unsigned char *end = bytes + UNWIND_CALL_BYTES;
    if (end[-5] == 0xe8) /* call rel32 */
        return true;
    for (size_t length = 2; length <= UNWIND_CALL_BYTES; length++) {
        const unsigned char *at = end - length;
        if (at[0] == 0xff && ((at[1] >> 3) & 7) == 2 &&
            indirect_length(at[1], length > 2 ? at[2] : 0) == length)
            return true;
    }
    return false;
}

bool unwind_is_sigreturn(const unsigned char *bytes)
{
    static const unsigned char with_rax[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
    static const unsigned char with_eax[] = {0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05};
    return !memcmp(bytes, with_rax, sizeof with_rax) || !memcmp(bytes, with_eax, sizeof with_eax);
}
