/* librestart_arch.S - x86-64: see restart/librestart_arch.h. rdi: plan, rsi: stack. */
        .text
        .globl  librestart_arch_switch
        .hidden librestart_arch_switch, librestart_replace
        .type   librestart_arch_switch, @function
librestart_arch_switch:
        mov     %rsi, %rsp
        xor     %ebp, %ebp
        call    librestart_replace
        hlt
        .size   librestart_arch_switch, . - librestart_arch_switch

        .section .note.GNU-stack, "", @progbits
