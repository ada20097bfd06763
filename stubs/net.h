/*
 * net.h - the net under the jumps: no system call of the program's escapes.
 *
 * The kernel turns each `syscall` instruction outside our own code into SIGSYS (Syscall User
 * Dispatch, Linux 5.11, Documentation/admin-guide/syscall-user-dispatch.rst); the handler makes the
 * call by remote_call() and returns behind the instruction with its result. rt_sigreturn is a call,
 * too: the handler then leaves through the program's frame instead of its own.
 *
 * What the kernel offers is the architecture's and the thread's: arch/ARCH/net_arch.c arms it for
 * the calling thread. A new thread or process has no net until it is armed there.
 */
#ifndef STUBS_NET_H
#define STUBS_NET_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

/* Arms the net for the calling thread, with the handler. 0; -EBUSY: the program handles SIGSYS
 * itself; -EINVAL: the kernel has no such thing. net_disarm() undoes it all. */
long net_arm(void);
long net_disarm(void);

/* Makes a call in this process from an instruction that the checkpoint's handler knows (reissue.h):
 * at net_syscall_end the number is still in a register that calls preserve. */
long net_syscall(long number, const long *args);
extern const unsigned char net_syscall_end[];

/* For the checkpoint's handler. Is the frame that of a call waiting in net_syscall(), made ready to
 * be issued again? net_break_off(): net_syscall() returns NET_BROKEN_OFF instead. */
int net_waits(const ucontext_t *frame);
void net_break_off(ucontext_t *frame);
#define NET_BROKEN_OFF (-513)
/* Is its program counter in our code, which the kernel lets make calls? */
int net_is_ours(const ucontext_t *frame);

/* Arms or disarms the net of the calling thread, the handler being there. */
long net_settle(int armed);

/* --- threads (emulate_thread.c) --- */

/* Makes call `number` (clone, clone3), whose new thread begins with net_thread_begin(frame), by
 * which it leaves. The creator gets the kernel's result. */
long net_clone(long number, const long *args, uintptr_t frame);
void net_thread_begin(ucontext_t *frame);
/* Unmaps the stack it stands on, and ends the thread. */
_Noreturn void net_end_thread(uintptr_t start, size_t size);

/* What a signal frame is made of: the kernel's struct ucontext, and elsewhere the extended state.
 */
extern const size_t net_frame_size;
size_t net_state_size(const ucontext_t *frame); /* 0: none */
/* Makes it the frame of a new thread whose stack ends at `top`, its extended state at `state`. */
void net_thread_context(ucontext_t *frame, uintptr_t top, uintptr_t state);

/* The handler, in arch/ARCH/net.S, and its C part, which returns the frame to leave through. */
void net_entry(int signal, void *info, ucontext_t *frame);
ucontext_t *net_main(int signal, const siginfo_t *info, ucontext_t *frame);

#endif
