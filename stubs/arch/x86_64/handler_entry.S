/*
 * handler_entry.S - the checkpoint signal's handler, its ways out, and its restorer (see stubs/handler.h).
 *
 * At entry rsp points to the restorer's address, with the ucontext right behind it (arch/x86/kernel/signal_64.c):
 * rt_sigreturn wants rsp at the ucontext. No register need be kept, since rt_sigreturn loads them all.
 */
#define UC_FPSTATE  224                 /* offsets in ucontext_t: pointer to the extended state, mask, */
#define UC_MASK     296
#define UC_R8       40                  /* and the registers in the order of struct sigcontext */
#define UC_R9       48
#define UC_R10      56
#define UC_R11      64
#define UC_R12      72
#define UC_R13      80
#define UC_R14      88
#define UC_R15      96
#define UC_RDI      104
#define UC_RSI      112
#define UC_RBP      120
#define UC_RBX      128
#define UC_RDX      136
#define UC_RAX      144
#define UC_RCX      152
#define UC_RSP      160
#define UC_RIP      168
#define UC_FLAGS    176
#define UC_CS       184                 /* 16 bits; ss 6 bytes behind */
#define UC_SS       190
#define FP_FEATURES 472                 /* in the extended state: struct _fpx_sw_bytes */
#define RED_ZONE    128

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
        test    %eax, %eax
        jnz     return_by_hand
1:      mov     $15, %rax               # rt_sigreturn
        syscall
        hlt
2:      mov     %rdx, %rsp
        jmp     1b
        .size   handler_entry, . - handler_entry

/*
 * What rt_sigreturn does, but for forgetting the restart block. rbx and rsp: the ucontext, on the program's stack; a
 * signal that comes in once the mask is restored is handled below it. The last words go above it, right under the red
 * zone, into the extended state's place, which is no longer needed then.
 */
        .type   return_by_hand, @function
return_by_hand:
        mov     UC_FPSTATE(%rbx), %rcx
        test    %rcx, %rcx
        jz      1f
        mov     FP_FEATURES(%rcx), %eax
        mov     FP_FEATURES+4(%rcx), %edx
        xrstor64 (%rcx)
1:      mov     $14, %eax               # rt_sigprocmask(SIG_SETMASK, &mask, NULL, 8)
        mov     $2, %edi
        lea     UC_MASK(%rbx), %rsi
        xor     %edx, %edx
        mov     $8, %r10d
        syscall
        mov     UC_RSP(%rbx), %rdi
        lea     -RED_ZONE-48(%rdi), %rsi        # rdi, then what iretq pops: rip cs flags rsp ss
        mov     UC_RDI(%rbx), %rax
        mov     %rax, (%rsi)
        mov     UC_RIP(%rbx), %rax
        mov     %rax, 8(%rsi)
        movzwl  UC_CS(%rbx), %eax
        mov     %rax, 16(%rsi)
        mov     UC_FLAGS(%rbx), %rax
        mov     %rax, 24(%rsi)
        mov     %rdi, 32(%rsi)
        movzwl  UC_SS(%rbx), %eax
        mov     %rax, 40(%rsi)
        mov     %rsi, %rdi
        mov     UC_R8(%rbx), %r8
        mov     UC_R9(%rbx), %r9
        mov     UC_R10(%rbx), %r10
        mov     UC_R11(%rbx), %r11
        mov     UC_R12(%rbx), %r12
        mov     UC_R13(%rbx), %r13
        mov     UC_R14(%rbx), %r14
        mov     UC_R15(%rbx), %r15
        mov     UC_RSI(%rbx), %rsi
        mov     UC_RBP(%rbx), %rbp
        mov     UC_RDX(%rbx), %rdx
        mov     UC_RAX(%rbx), %rax
        mov     UC_RCX(%rbx), %rcx
        mov     UC_RBX(%rbx), %rbx
        mov     %rdi, %rsp
        pop     %rdi
        iretq
        .size   return_by_hand, . - return_by_hand

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
