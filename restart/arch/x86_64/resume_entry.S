/*
 * resume_entry.S - where the restart library jumps to (see restart/resume.h). rdi: the handover. And the start of every
 * other thread (restart/resume_threads.h).
 *
 * The stack it comes on is about to be unmapped, so move to the handler's first. resume_main() and resume_thread()
 * return where the ucontext of the checkpoint lies, by which handler_leave returns to the program.
 */
#include "stubs/handler_layout.h"

        .text
        .globl  resume_entry, resume_clone
        .hidden resume_entry, resume_clone, resume_main, resume_thread
        .hidden handler_stack, handler_phase, handler_leave

        .type   resume_entry, @function
resume_entry:
        lea     handler_stack+HANDLER_STACK_SIZE(%rip), %rsp
        xor     %ebp, %ebp
        call    resume_main
leave:  mov     %rax, %rbx
        lea     handler_phase(%rip), %r13
        xor     %eax, %eax              # by rt_sigreturn
        jmp     handler_leave
        .size   resume_entry, . - resume_entry

/* rdi, rsi: the call's first arguments; rdx: the thread (which the new one finds there too); ecx: the call's number. */
        .type   resume_clone, @function
resume_clone:
        mov     %ecx, %eax
        xor     %r10d, %r10d
        xor     %r8d, %r8d
        syscall
        test    %rax, %rax
        jz      1f
        ret
1:      xor     %ebp, %ebp
        mov     %rdx, %rdi
        call    resume_thread
        jmp     leave
        .size   resume_clone, . - resume_clone

        .section .note.GNU-stack, "", @progbits
