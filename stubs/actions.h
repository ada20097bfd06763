/*
 * actions.h - signal actions while I/O is remote: a handler that runs with SIGSYS blocked would die
 * of its first system call, so SIGSYS is taken out of the masks of all actions, and given back when
 * I/O is here again. And a handler that is told who sent the signal (SA_SIGINFO) is entered by way
 * of actions_relay(), for which the program is its own sender by the number that it knows. The
 * program sees its own masks and handlers all the time.
 */
#ifndef STUBS_ACTIONS_H
#define STUBS_ACTIONS_H

#include "stubs/remote.h"

/* In arch/ARCH/actions_relay.S. Goes on to actions_handlers[signal]. */
void actions_relay(int signal, void *info, void *context);
extern uint64_t actions_handlers[];

/* All actions that there are, as the net is armed, and disarmed. */
void actions_open(void);
void actions_restore(void);

/* rt_sigaction(2) of the program's: arguments and result are the kernel's. */
long actions_call(const struct remote_call *call);

#endif
