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
#include <ucontext.h>

/* Arms the net for the calling thread, with the handler. 0; -EBUSY: the program handles SIGSYS
 * itself; -EINVAL: the kernel has no such thing. net_disarm() undoes it all. */
long net_arm(void);
long net_disarm(void);

/* Makes a call in this process from an instruction that the checkpoint's handler knows (reissue.h):
 * at net_syscall_end the number is still in a register that calls preserve. */
long net_syscall(long number, const long *args);
extern const unsigned char net_syscall_end[];

/* The handler, in arch/ARCH/net.S, and its C part, which returns the frame to leave through. */
void net_entry(int signal, void *info, ucontext_t *frame);
ucontext_t *net_main(int signal, const siginfo_t *info, ucontext_t *frame);

#endif
