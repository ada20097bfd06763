/* spawn_clone() of stubs/spawn.h for x86-64: rdi flags, rsi stack end, rdx function, rcx argument.
 * The new process finds function and argument on its stack and must never return into the caller's frames. */
        .text
        .globl  spawn_clone
        .hidden spawn_clone
        .type   spawn_clone, @function
spawn_clone:
        sub     $16, %rsi
        mov     %rdx, (%rsi)
        mov     %rcx, 8(%rsi)
        xor     %edx, %edx              /* parent_tid, child_tid, tls: none */
        xor     %r10d, %r10d
        xor     %r8d, %r8d
        mov     $56, %eax               /* clone */
        syscall
        test    %rax, %rax
        jz      1f
        ret
1:      xor     %ebp, %ebp
        pop     %rax
        pop     %rdi
        call    *%rax
        mov     %eax, %edi
        mov     $231, %eax              /* exit_group */
        syscall
        hlt
        .size   spawn_clone, . - spawn_clone
        .section .note.GNU-stack, "", @progbits
