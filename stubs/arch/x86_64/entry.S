/*
 * entry.S - x86-64: the stubs (see stubs/entry.h). Entered as C functions; rax is free at a call (System V ABI).
 *
 * hijack_in_stub is the address by which the mutator knows that a call is under way in us; so it does not stay behind on
 * the stack.
 */
        .text
        .globl  entry_stubs, hijack_in_stub
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
        call    entry_main              /* rax: the result; rdx: where to go on instead, or 0 */
hijack_in_stub:
        movq    $0, -8(%rsp)
        test    %rdx, %rdx
        jnz     1f
        add     $56, %rsp
        ret
1:      mov     %rdx, %rax
        add     $8, %rsp
        pop     %rdi
        pop     %rsi
        pop     %rdx
        pop     %rcx
        pop     %r8
        pop     %r9
        jmp     *%rax
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
