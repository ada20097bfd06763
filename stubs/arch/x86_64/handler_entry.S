/*
 * handler_entry.S - the checkpoint signal's handler, its ways out, and its restorer (see stubs/handler.h).
 *
 * At entry rsp points to the restorer's address, with the ucontext right behind it (arch/x86/kernel/signal_64.c):
 * rt_sigreturn wants rsp at the ucontext. No register need be kept, since rt_sigreturn loads them all.
 */
#include "stubs/handler_layout.h"

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

#define INFO_CODE   8                   /* offsets in siginfo_t */
#define INFO_VALUE  24
#define SI_QUEUE    -1

        .text
        .globl  handler_entry, handler_leave, handler_restorer
        .hidden handler_entry, handler_leave, handler_restorer
        .hidden handler_lead, handler_join, handler_foreign, handler_stack
        .protected hijack_params
        .hidden handler_phase, handler_next, handler_limit, handler_slots, handler_inside
        .hidden handler_region, handler_region_size

/*
 * rbx: the ucontext. r12: the siginfo. r13: the phase's address. r14: was this thread called in? r15: the way out.
 * Until a thread has a stack of ours it uses none, hence no calls.
 */
        .type   handler_entry, @function
handler_entry:
        mov     %rdx, %rbx
        mov     %rsi, %r12
        lea     handler_phase(%rip), %r13
        mov     $39, %eax               # getpid
        syscall
        cmp     %eax, hijack_params+HANDLER_PARAMS_PID(%rip)
        jne     foreign
        xor     %r14d, %r14d            # the mark: handler_has_mark()
        cmp     %r13, INFO_VALUE(%r12)
        jne     again
        cmpl    $SI_QUEUE, INFO_CODE(%r12)
        sete    %r14b
again:  mov     (%r13), %eax
        cmp     $HANDLER_GATHERING, %eax
        je      join
        test    %r14d, %r14d            # called in, but too late
        jnz     return
        test    %eax, %eax
        jnz     wait
        mov     $HANDLER_LEADING, %ecx
        lock cmpxchg %ecx, (%r13)
        jne     again
        lea     handler_stack+HANDLER_STACK_SIZE(%rip), %rsp
        mov     %r12, %rdi
        mov     %rbx, %rsi
        call    handler_lead
        jmp     handler_leave

join:   mov     $1, %ecx
        lock xadd %ecx, handler_next(%rip)
        cmp     handler_limit(%rip), %ecx
        jae     wait                    # no slot is left, or the gate has closed
        inc     %rcx
        shl     $HANDLER_SLOT_SHIFT, %rcx
        mov     handler_slots(%rip), %rdi
        lea     -HANDLER_THREAD_SIZE(%rdi,%rcx), %rdi
        mov     %rdi, %rsp
        mov     %r12, %rsi
        mov     %rbx, %rdx
        call    handler_join
        jmp     handler_leave

wait:   mov     %eax, %edx              # futex(&phase, FUTEX_WAIT_PRIVATE, as seen, NULL)
        mov     %r13, %rdi
        mov     $128, %esi
        xor     %r10d, %r10d
        mov     $202, %eax
        syscall
        jmp     again

foreign:
        mov     %rbx, %rdi
        sub     $8, %rsp
        call    handler_foreign
        mov     %eax, %r15d
        jmp     out
        .size   handler_entry, . - handler_entry

/*
 * The way out of one of our stacks. eax: the way (handler_lead()). As soon as handler_inside is 0 nobody uses them any
 * more: the slots go, and the next checkpoint may begin.
 */
        .type   handler_leave, @function
handler_leave:
        mov     %eax, %r15d
        mov     %rbx, %rsp
        lock decl handler_inside(%rip)
        jnz     out
        mov     handler_region_size(%rip), %rsi
        test    %rsi, %rsi
        jz      1f
        mov     handler_region(%rip), %rdi
        movq    $0, handler_region_size(%rip)
        mov     $11, %eax               # munmap
        syscall
1:      movl    $HANDLER_IDLE, (%r13)
        mov     %r13, %rdi              # futex(&phase, FUTEX_WAKE_PRIVATE, all)
        mov     $129, %esi
        mov     $0x7fffffff, %edx
        mov     $202, %eax
        syscall
out:    mov     %rbx, %rsp
        test    %r15d, %r15d
        jnz     handler_by_hand
return: mov     %rbx, %rsp
        mov     $15, %rax               # rt_sigreturn
        syscall
        hlt
        .size   handler_leave, . - handler_leave

/*
 * What rt_sigreturn does, but for forgetting the restart block. rbx and rsp: the ucontext, on the program's stack; a
 * signal that comes in once the mask is restored is handled below it. The last words go above it, right under the red
 * zone, into the extended state's place, which is no longer needed then.
 */
        .globl  handler_by_hand, handler_by_hand_end
        .hidden handler_by_hand, handler_by_hand_end
        .type   handler_by_hand, @function
handler_by_hand:
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
handler_by_hand_end:
        .size   handler_by_hand, . - handler_by_hand

/* The very bytes by which debuggers know a signal trampoline. */
        .type   handler_restorer, @function
handler_restorer:
        mov     $15, %rax
        syscall
        .size   handler_restorer, . - handler_restorer

        .bss
        .globl  handler_stack
        .balign 4096
        .type   handler_stack, @object
handler_stack:
        .skip   HANDLER_STACK_SIZE
        .size   handler_stack, . - handler_stack

        .section .note.GNU-stack, "", @progbits
