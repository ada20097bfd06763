/* entry.S - x86-64: the stubs (see stubs/entry.h). Entered as C functions; rax is free at a call (System V ABI). */
        .text
        .globl  entry_stubs
        .hidden entry_stubs, entry_main

        .type   entry_common, @function
entry_common:
        push    %r9
        push    %r8
        push    %rcx
        push    %rdx
        push    %rsi
        push    %rdi
        mov     %eax, %edi
        mov     %rsp, %rsi
        sub     $8, %rsp
        cld
        call    entry_main
        add     $56, %rsp
        ret
        .size   entry_common, . - entry_common

        .set    number, 0
        .macro  stub
        .balign 16
        mov     $number, %eax
        jmp     entry_common
        .set    number, number + 1
        .endm

        .balign 16
        .type   entry_stubs, @function
entry_stubs:
#define FUNCTION(...) stub
#include "stubs/calls.def"
        .size   entry_stubs, . - entry_stubs

        .section .note.GNU-stack, "", @progbits
