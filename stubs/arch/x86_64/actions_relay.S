/*
 * actions_relay.S - in the place of the program's handlers while I/O is remote (see stubs/actions.h).
 *
 * Registers and stack go on to the handler as the kernel made them, but for the sender of a kill or tgkill: the kernel
 * names this process by its number here, the program knows it by another, and glibc's own handlers compare the two.
 */
#include "stubs/actions_layout.h"
#include "stubs/handler_layout.h"

#define INFO_CODE 8                     /* offsets in siginfo_t */
#define INFO_PID  16
#define SI_TKILL  -6

        .text
        .globl  actions_relay, actions_relay_end
        .hidden actions_handlers
        .protected actions_relay, actions_relay_end, hijack_params

        .type   actions_relay, @function
actions_relay:                          /* (signal, info, context) */
        mov     INFO_CODE(%rsi), %r10d
        test    %r10d, %r10d            /* SI_USER */
        jz      1f
        cmp     $SI_TKILL, %r10d
        jne     2f
1:      mov     hijack_params+HANDLER_PARAMS_PID(%rip), %r10d
        cmp     %r10d, INFO_PID(%rsi)
        jne     2f
        mov     remote+ACTIONS_REMOTE_PID(%rip), %r10d
        mov     %r10d, INFO_PID(%rsi)
2:      movslq  %edi, %r10
        lea     actions_handlers(%rip), %r11
        jmp     *(%r11,%r10,8)
actions_relay_end:
        .size   actions_relay, . - actions_relay

        .section .note.GNU-stack, "", @progbits
