/*
 * server.S - the code that runs in the target while the mutator works on it (x86-64). See driver/server.h.
 *
 * Copied into the slack behind the C library's text and entered by changing one register, the program counter: that
 * is atomic, so whenever gdb is killed the target either was not touched or runs this to its end by itself, back into
 * the program. There is no trap in it; the tracer watches its system calls instead (SERVER_CALL, which no kernel has).
 *
 * Entry.  The kernel restarts an interrupted system call by setting the pc two bytes back and rax to the number. It
 * does so at the pc that we gave it: server_code is that place, server_code + 2 the entry without a restart.
 *
 * Frame.  Everything is saved as the kernel saves it for a signal, a struct ucontext on the program's stack below the
 * red zone, so that leaving is one rt_sigreturn: registers, vector state, alternate stack and signal mask at once.
 *
 * Leaving to a restarted nanosleep, poll or futex (rax = __NR_restart_syscall) is done in user mode: rt_sigreturn makes
 * the kernel forget the time that remained (arch/x86/kernel/signal_64.c, do_no_restart_syscall).
 *
 * Registers within: rbp ucontext, r13 requests, rbx the one at hand, r12 the xsave area, r15d its feature mask,
 * r14 first the area's size, then a result that is kept for later requests.
 */
#include <sys/syscall.h>

#include "server_arch.h"

/* struct ucontext and sigcontext, Linux UAPI asm/ucontext.h, asm/sigcontext.h. */
#define UC_FLAGS   0
#define UC_LINK    8
#define UC_STACK   16
#define UC_RAX     (UC_GREGS + 13 * 8)
#define UC_GREGS   40
#define UC_RSP     (UC_GREGS + 15 * 8)
#define UC_RIP     (UC_GREGS + 16 * 8)
#define UC_EFLAGS  (UC_GREGS + 17 * 8)
#define UC_CS      (UC_GREGS + 18 * 8)
#define UC_CR2     (UC_GREGS + 22 * 8)
#define UC_FPSTATE (UC_GREGS + 23 * 8)
#define UC_SIGMASK (UC_GREGS + 32 * 8)
#define UC_SIZE    (UC_SIGMASK + 8)
#define UC_TAIL    (UC_SIZE - UC_CS) /* what lies above the registers that are pushed */

/* The xsave area of a signal frame: struct _fpx_sw_bytes at 464, header at 512. */
#define FX_SW          464
#define FX_MAGIC1      0x46505853
#define FX_MAGIC2      0x46505845
#define XSAVE_HEADER   512
#define XSAVE_MINIMUM  576
#define XFEATURE_AMX   0x60000

#define RED_ZONE 128

    .section .rodata
    .globl server_code, server_code_size, server_resume_offset, server_restart_offset
server_code:
    jmp     .Lrestarted
    /* server_code + 2: the entry */
    lea     -(RED_ZONE + UC_TAIL)(%rsp), %rsp
    pushfq
    pushq   server_resume_pc(%rip)
    jmp     .Lsave
.Lrestarted:
    lea     -(RED_ZONE + UC_TAIL)(%rsp), %rsp
    pushfq
    pushq   server_restart_pc(%rip)
.Lsave:
    pushq   %rsp
    addq    $(RED_ZONE + UC_TAIL + 16), (%rsp)
    pushq   %rcx
    pushq   %rax
    pushq   %rdx
    pushq   %rbx
    pushq   %rbp
    pushq   %rsi
    pushq   %rdi
    pushq   %r15
    pushq   %r14
    pushq   %r13
    pushq   %r12
    pushq   %r11
    pushq   %r10
    pushq   %r9
    pushq   %r8
    sub     $UC_GREGS, %rsp
    mov     %rsp, %rbp
    cld

    /* The rest of the ucontext: flags, selectors, nothing else that rt_sigreturn reads. */
    lea     UC_CS(%rbp), %rdi
    mov     $((UC_SIZE - UC_CS) / 8), %ecx
    xor     %eax, %eax
    rep stosq
    movq    $7, UC_FLAGS(%rbp) /* UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS */
    movq    $0, UC_LINK(%rbp)
    movw    %cs, UC_CS(%rbp)
    movw    %ss, UC_CS + 6(%rbp)

    mov     $__NR_sigaltstack, %eax
    xor     %edi, %edi
    lea     UC_STACK(%rbp), %rsi
    syscall
    mov     $__NR_rt_sigprocmask, %eax
    mov     $2, %edi /* SIG_SETMASK */
    lea     .Lall_signals(%rip), %rsi
    lea     UC_SIGMASK(%rbp), %rdx
    mov     $8, %r10d
    syscall

    /* r15d: the state components to save, those of XCR0. AMX only when in use: before the first use the kernel's own
     * frame has no room for it, and it would silently restore x87 and SSE alone from a larger one. */
    xor     %ecx, %ecx
    xgetbv
    mov     %eax, %r15d
    mov     $0xd, %eax
    mov     $1, %ecx
    cpuid
    test    $4, %al /* XGETBV with ECX = 1 */
    jz      .Lsize
    mov     $1, %ecx
    xgetbv
    or      $~XFEATURE_AMX, %eax
    and     %eax, %r15d
.Lsize: /* r14d: the size of an area with these components (CPUID leaf 0xD) */
    mov     $XSAVE_MINIMUM, %r14d
    mov     $2, %esi
.Lcomponent:
    bt      %esi, %r15d
    jnc     .Lnext
    mov     $0xd, %eax
    mov     %esi, %ecx
    cpuid
    add     %ebx, %eax
    cmp     %r14d, %eax
    cmova   %eax, %r14d
.Lnext:
    inc     %esi
    cmp     $31, %esi
    jb      .Lcomponent

    mov     %rsp, %r12
    sub     %r14, %r12
    sub     $4, %r12 /* magic 2 */
    and     $-64, %r12
    lea     -SERVER_REQUESTS * SERVER_REQUEST_SIZE(%r12), %rsp
    and     $-64, %rsp
    mov     %rsp, %r13
    lea     FX_SW(%r12), %rdi
    mov     $((XSAVE_MINIMUM - FX_SW) / 8), %ecx
    xor     %eax, %eax
    rep stosq
    mov     %r15d, %eax
    xor     %edx, %edx
    xsave64 (%r12)
    movl    $FX_MAGIC1, FX_SW(%r12)
    lea     4(%r14), %eax
    mov     %eax, FX_SW + 4(%r12)
    mov     %r15d, FX_SW + 8(%r12)
    mov     %r14d, FX_SW + 16(%r12)
    movl    $FX_MAGIC2, (%r12,%r14)
    mov     %r12, UC_FPSTATE(%rbp)

.Lserve: /* If the tracer is gone nobody writes a request, and we leave. */
    mov     %r13, %rbx
    movq    $SERVER_LEAVE, SERVER_KIND(%rbx)
    mov     $SERVER_CALL, %eax
    mov     %rbx, %rdi
    mov     %rbp, %rsi
    syscall
    cmpq    $0, SERVER_KIND(%rbx)
    js      .Lleave
.Lrequest:
    mov     SERVER_KIND(%rbx), %rax
    test    %rax, %rax
    js      .Lserve
    mov     SERVER_ARGUMENT(%rbx), %rdi
    mov     SERVER_ARGUMENT + 8(%rbx), %rsi
    mov     SERVER_ARGUMENT + 16(%rbx), %rdx
    mov     SERVER_ARGUMENT + 32(%rbx), %r8
    mov     SERVER_ARGUMENT + 40(%rbx), %r9
    jnz     .Lfunction
    mov     SERVER_ARGUMENT + 24(%rbx), %r10
    mov     SERVER_STACK(%rbx), %r11
    cmp     $SERVER_KEPT_FIRST, %r11
    cmove   %r14, %rdi
    cmp     $SERVER_KEPT_FIFTH, %r11
    cmove   %r14, %r8
    mov     SERVER_FUNCTION(%rbx), %rax
    syscall
    mov     %rax, SERVER_RESULT(%rbx)
    cmp     $-4095, %rax /* an error: the requests behind it are not carried out */
    jae     .Lserve
    mov     SERVER_STACK(%rbx), %rcx
    add     $SERVER_REQUEST_SIZE, %rbx
    cmp     $SERVER_KEEP, %rcx
    cmove   %rax, %r14
    jbe     .Lrequest
    mov     %rax, UC_LINK(%rbp) /* memory that is there as long as we are; rt_sigreturn reads neither word */
    mov     %rcx, UC_CR2(%rbp)
    jmp     .Lrequest
.Lfunction:
    mov     SERVER_ARGUMENT + 24(%rbx), %rcx
    mov     SERVER_STACK(%rbx), %rsp
    xor     %eax, %eax
    call    *SERVER_FUNCTION(%rbx)
    cld
    mov     %r13, %rsp
    mov     %rax, SERVER_RESULT(%rbx)
    add     $SERVER_REQUEST_SIZE, %rbx
    jmp     .Lrequest

.Lleave:
    mov     UC_CR2(%rbp), %rsi
    test    %rsi, %rsi
    jz      .Lgo
    mov     UC_LINK(%rbp), %rdi
    mov     $__NR_munmap, %eax
    syscall
.Lgo:
    cmpq    $__NR_restart_syscall, UC_RAX(%rbp)
    jne     .Lsigreturn
    mov     server_restart_pc(%rip), %rax
    cmp     %rax, UC_RIP(%rbp)
    je      .Lrestart
.Lsigreturn:
    mov     %rbp, %rsp
    mov     $__NR_rt_sigreturn, %eax
    syscall

.Lrestart: /* rcx and r11 are dead: the next instruction that the program executes is its syscall */
    mov     %r15d, %eax
    xor     %edx, %edx
    xrstor64 (%r12)
    mov     UC_GREGS(%rbp), %r8
    mov     UC_GREGS + 8(%rbp), %r9
    mov     UC_GREGS + 32(%rbp), %r12
    mov     UC_GREGS + 40(%rbp), %r13
    mov     UC_GREGS + 48(%rbp), %r14
    mov     UC_GREGS + 56(%rbp), %r15
    mov     UC_GREGS + 88(%rbp), %rbx
    mov     $__NR_rt_sigprocmask, %eax
    mov     $2, %edi
    lea     UC_SIGMASK(%rbp), %rsi
    xor     %edx, %edx
    mov     $8, %r10d
    syscall
    mov     UC_GREGS + 16(%rbp), %r10
    mov     UC_GREGS + 64(%rbp), %rdi
    mov     UC_GREGS + 72(%rbp), %rsi
    mov     UC_GREGS + 96(%rbp), %rdx
    mov     %rbp, %rsp
    pushq   UC_EFLAGS(%rbp)
    popfq
    mov     $__NR_restart_syscall, %eax
    mov     UC_RSP(%rbp), %rsp
    mov     UC_GREGS + 80(%rbp), %rbp
    jmp     *server_restart_pc(%rip)

    .balign 8
.Lall_signals:
    .quad   -1
server_resume_pc:  /* filled in by the mutator: where the program was stopped */
    .quad   0
server_restart_pc: /* and the system call instruction before it */
    .quad   0
.Lend:

    /* For driver/server.c; not copied into the target. */
server_code_size:
    .quad   .Lend - server_code
server_resume_offset:
    .quad   server_resume_pc - server_code
server_restart_offset:
    .quad   server_restart_pc - server_code

    .section .note.GNU-stack, "", @progbits
