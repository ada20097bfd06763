/* execute_call() for x86-64: rdi the cancel flag, rsi the number, rdx six arguments; returns the kernel's result.
 *
 * No wake-up is lost: a signal that comes between the check of the flag and the end of the syscall instruction finds
 * its pc in [execute_call_begin, execute_call_end) and is sent to execute_call_canceled by its handler. Once the call
 * is entered, the signal interrupts it (System V AMD64 ABI, appendix A.2.1). */
#define NOT_BEGUN -512
        .text
        .globl  execute_call, execute_call_begin, execute_call_end, execute_call_canceled, execute_sigreturn
        .type   execute_call, @function
execute_call:
        mov     %rdi, %r11
        mov     %rsi, %rax
        mov     %rdx, %rcx
        mov     (%rcx), %rdi
        mov     8(%rcx), %rsi
        mov     16(%rcx), %rdx
        mov     24(%rcx), %r10
        mov     32(%rcx), %r8
        mov     40(%rcx), %r9
execute_call_begin:
        cmpl    $0, (%r11)
        jne     execute_call_canceled
        syscall
execute_call_end:
        ret
execute_call_canceled:
        mov     $NOT_BEGUN, %rax
        ret
        .size   execute_call, . - execute_call

        .type   execute_sigreturn, @function
execute_sigreturn:
        mov     $15, %eax
        syscall
        .size   execute_sigreturn, . - execute_sigreturn
        .section .note.GNU-stack, "", @progbits
