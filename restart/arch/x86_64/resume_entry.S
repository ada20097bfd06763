/*
 * resume_entry.S - where the restart library jumps to (see restart/resume.h). rdi: the handover.
 *
 * The stack it comes on is about to be unmapped, so move to the handler's first. resume_main() returns where the
 * ucontext of the checkpoint lies, which is where rt_sigreturn wants rsp.
 */
        .text
        .globl  resume_entry
        .hidden resume_entry, resume_main, handler_stack
        .type   resume_entry, @function
resume_entry:
        lea     handler_stack+262144(%rip), %rsp
        xor     %ebp, %ebp
        call    resume_main
        mov     %rax, %rsp
        mov     $15, %rax               # rt_sigreturn
        syscall
        hlt
        .size   resume_entry, . - resume_entry

        .section .note.GNU-stack, "", @progbits
