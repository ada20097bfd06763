/*
 * handler_entry.S - the checkpoint signal's handler and its restorer (see stubs/handler.h).
 *
 * At entry rsp points to the restorer's address, with the ucontext right behind it (arch/x86/kernel/signal_64.c):
 * rt_sigreturn wants rsp at the ucontext. No register need be kept, since rt_sigreturn loads them all.
 */
        .text
        .globl  handler_entry, handler_restorer
        .hidden handler_entry, handler_restorer, handler_main, handler_busy, handler_stack

        .type   handler_entry, @function
handler_entry:
        mov     $1, %eax
        xchg    %eax, handler_busy(%rip)
        test    %eax, %eax
        jnz     2f
        mov     %rdx, %rbx
        lea     handler_stack+262144(%rip), %rsp
        call    handler_main
        movl    $0, handler_busy(%rip)
        mov     %rbx, %rsp
1:      mov     $15, %rax               # rt_sigreturn
        syscall
        hlt
2:      mov     %rdx, %rsp
        jmp     1b
        .size   handler_entry, . - handler_entry

/* The very bytes by which debuggers know a signal trampoline. */
        .type   handler_restorer, @function
handler_restorer:
        mov     $15, %rax
        syscall
        .size   handler_restorer, . - handler_restorer

        .bss
        .globl  handler_busy, handler_stack
        .balign 4096
        .type   handler_stack, @object
handler_stack:
        .skip   262144
        .size   handler_stack, . - handler_stack
        .type   handler_busy, @object
handler_busy:
        .skip   4
        .size   handler_busy, . - handler_busy

        .section .note.GNU-stack, "", @progbits
