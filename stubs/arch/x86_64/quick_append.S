/*
 * quick_append.S - x86-64: the restartable sequence of stubs/quick.h; int quick_append(const struct quick_append *).
 */
#define SLOT      0             /* offsets in struct quick_append */
#define EPOCH     8
#define EPOCH_WAS 16
#define HEAD      24
#define HEAD_WAS  32
#define HEAD_THEN 40
#define TO        48
#define RECORD    56
#define FROM      72
#define SIZE      80

        .text
        .globl  quick_append, quick_begin, quick_commit, quick_abort
        .hidden quick_append, quick_begin, quick_commit, quick_abort, quick_sequence

        .type   quick_append, @function
quick_append:
        mov     %rdi, %rdx
        mov     SLOT(%rdx), %r8
        mov     EPOCH(%rdx), %r9
        mov     HEAD(%rdx), %r10
        cld
        lea     quick_sequence(%rip), %rax
        mov     %rax, (%r8)
quick_begin:
        mov     (%r9), %eax
        cmp     EPOCH_WAS(%rdx), %eax
        jne     1f
        mov     (%r10), %rax
        cmp     HEAD_WAS(%rdx), %rax
        jne     1f
        mov     TO(%rdx), %rdi
        mov     RECORD(%rdx), %rax
        mov     %rax, (%rdi)
        mov     RECORD+8(%rdx), %rax
        mov     %rax, 8(%rdi)
        add     $16, %rdi
        mov     FROM(%rdx), %rsi
        mov     SIZE(%rdx), %rcx
        rep movsb
        mov     HEAD_THEN(%rdx), %rax
        mov     %rax, (%r10)
quick_commit:
        movq    $0, (%r8)
        mov     $1, %eax
        ret
1:      movq    $0, (%r8)
        xor     %eax, %eax
        ret
        .byte   0x0f, 0xb9, 0x3d        /* ud1, whose operand is the signature, RSEQ_SIG */
        .long   0x53053053
quick_abort:
        xor     %eax, %eax
        ret
        .size   quick_append, . - quick_append

        .section .note.GNU-stack, "", @progbits
