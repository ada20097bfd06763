/*
 * entry.S - x86-64: the stubs (see stubs/entry.h). Entered as C functions; rax is free at a call (System V ABI).
 *
 * hijack_in_stub is the address by which the mutator knows that a call is under way in us; so it does not stay behind on
 * the stack. Nor does that of a MASK stub, which is interrupted by handlers of the program's as any code is: so all words
 * on the stack from hijack_at_home to hijack_at_home_end, a handler's frame among them, mean that it is under way.
 */
#define PARAMS_SIGNAL 8         /* offset in struct hijack_params */
#define SIG_UNBLOCK   1
#define SIGSET_SIZE        128       /* bytes of libc's sigset_t, of which the kernel reads 8 */

        .text
        .globl  entry_stubs, hijack_in_stub, hijack_at_home, hijack_at_home_end
        .globl  entry_lock, entry_lock_end
        .hidden entry_main, entry_pass, entry_lock, entry_lock_end, owners
        .protected entry_stubs, entry_homes, hijack_params /* the driver looks for them */

        .macro  save_arguments
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
        .endm
        .macro  load_arguments
        add     $8, %rsp
        pop     %rdi
        pop     %rsi
        pop     %rdx
        pop     %rcx
        pop     %r8
        pop     %r9
        .endm

        .type   entry_common, @function
hijack_at_home:
entry_common:
        save_arguments
        call    entry_main              /* rax: the result; rdx: where to go on instead, or 0 */
hijack_in_stub:
        movq    $0, -8(%rsp)
        test    %rdx, %rdx
        jnz     1f
        add     $56, %rsp
        ret
1:      mov     %rdx, %rax
        load_arguments
        jmp     *%rax
        .size   entry_common, . - entry_common

/* (how, set, old): how is looked at as libc does, set read as libc does. */
        .balign 16
        .type   entry_mask, @function
entry_mask:
        lea     entry_homes(%rip), %r11
        mov     (%r11,%rax,8), %r11
        test    %rsi, %rsi
        jz      1f
        cmp     $SIG_UNBLOCK, %edi
        je      1f
        mov     hijack_params+PARAMS_SIGNAL(%rip), %ecx
        dec     %ecx
        mov     (%rsi), %rax
        btr     %rcx, %rax
        jnc     1f
        sub     $SIGSET_SIZE + 8, %rsp
        mov     %rax, (%rsp)
        mov     %rsp, %rsi
        call    *%r11
        movq    $0, -8(%rsp)
        add     $SIGSET_SIZE + 8, %rsp
        ret
1:      jmp     *%r11
        .size   entry_mask, . - entry_mask

        .balign 16
        .type   entry_lock, @function
entry_lock:
        cmpl    $0, owners(%rip)        /* count: first in struct owners */
        je      1f
        save_arguments
        call    entry_pass              /* rax: where to go on */
        movq    $0, -8(%rsp)
        load_arguments
        jmp     *%rax
1:      lea     entry_homes(%rip), %r11
        jmp     *(%r11,%rax,8)
entry_lock_end:
        .size   entry_lock, . - entry_lock

        .set    number, 0
        .macro  stub target=entry_common
        .balign 16
        mov     $number, %eax
        jmp     \target
        .set    number, number + 1
        .endm
        .macro  stub_DIRECT
        stub
        .endm
        .macro  stub_POINT
        stub
        .endm
        .macro  stub_ERRNUM
        stub
        .endm
        .macro  stub_BY_NET
        stub
        .endm
        .macro  stub_MASK
        stub    entry_mask
        .endm
        .macro  stub_LOCK
        stub    entry_lock
        .endm

        .balign 16
        .type   entry_stubs, @function
entry_stubs:
#define FUNCTION(id, kernel, names, how, ...) stub_##how
#include "stubs/calls.def"
hijack_at_home_end:
        .size   entry_stubs, . - entry_stubs

        .section .note.GNU-stack, "", @progbits
