/*
 * net.S - the handler of SIGSYS, and the instruction by which the net makes calls here (see stubs/net.h).
 *
 * At entry rsp points to the restorer's address with the ucontext right behind it; rt_sigreturn wants rsp at the
 * ucontext, ours or, when the program's own call was an rt_sigreturn, the program's.
 */
        .text
        .globl  hijack_in_net
        .globl  net_entry, net_restorer, net_syscall, net_syscall_end, net_clone, net_end_thread
        .hidden net_entry, net_restorer, net_syscall, net_syscall_end, net_clone, net_end_thread
        .hidden net_main, net_thread_begin

        .type   net_entry, @function
net_entry:
        cld
        and     $-16, %rsp
        call    net_main                /* (signal, info, frame) as they came */
hijack_in_net:                          /* as hijack_in_stub, entry.S */
        movq    $0, -8(%rsp)
        mov     %rax, %rsp
net_restorer:
        mov     $15, %rax               /* rt_sigreturn */
        syscall
        hlt
        .size   net_entry, . - net_entry

/* long net_syscall(long number, const long args[6]): rbx has the number for the checkpoint's handler. */
        .type   net_syscall, @function
net_syscall:
        push    %rbx
        mov     %rdi, %rbx
        mov     %rdi, %rax
        mov     %rsi, %r11
        mov     (%r11), %rdi
        mov     8(%r11), %rsi
        mov     16(%r11), %rdx
        mov     24(%r11), %r10
        mov     32(%r11), %r8
        mov     40(%r11), %r9
        syscall
net_syscall_end:
        pop     %rbx
        ret
        .size   net_syscall, . - net_syscall

/* long net_clone(long number, const long args[6], ucontext_t *frame): the new thread has rbx from its creator. */
        .type   net_clone, @function
net_clone:
        push    %rbx
        mov     %rdx, %rbx
        mov     %rdi, %rax
        mov     %rsi, %r11
        mov     (%r11), %rdi
        mov     8(%r11), %rsi
        mov     16(%r11), %rdx
        mov     24(%r11), %r10
        mov     32(%r11), %r8
        mov     40(%r11), %r9
        syscall
        test    %rax, %rax
        jz      1f
        pop     %rbx
        ret
1:      xor     %ebp, %ebp
        mov     %rbx, %rdi
        call    net_thread_begin
        mov     %rbx, %rsp
        mov     $15, %rax               /* rt_sigreturn */
        syscall
        hlt
        .size   net_clone, . - net_clone

/* void net_end_thread(uintptr_t start, size_t size) */
        .type   net_end_thread, @function
net_end_thread:
        mov     $11, %eax               /* munmap */
        syscall
        xor     %edi, %edi
        mov     $60, %eax               /* exit */
        syscall
        hlt
        .size   net_end_thread, . - net_end_thread

        .section .note.GNU-stack, "", @progbits
