/*
 * emulate.h - the calls that neither this process nor the shadow can do alone: one function for
 * each EMULATE row of calls.def, emulate_NAME(). They return the kernel's result.
 */
#ifndef STUBS_EMULATE_H
#define STUBS_EMULATE_H

#include "stubs/remote.h"

typedef long emulation(struct remote_call *call);

#define EMULATION_FORWARD(name)
#define EMULATION_LOCAL(name)
#define EMULATION_REFUSE(name)
#define EMULATION_EMULATE(name) emulation emulate_##name;
#define SYSCALL(name, how, ...) EMULATION_##how(name)
#include "stubs/calls.def"

/* The function of a row, by the kernel's number; NULL: there is none. */
emulation *emulate_find(long number);

/* The number that this host has for what the program calls `id`. */
long emulate_here(long id);
/* Does a call about the process `pid` mean the program, or its group? */
int emulate_is_own(long pid);

/* munmap of the very stack that the thread stands on, which it does not come back from. */
int emulate_is_own_stack(const struct remote_call *call);
_Noreturn void emulate_end_thread(struct remote_call *call);

/* Ends the program's remote session: what is buffered is written, descriptors are closed at home.
 */
void emulate_quit(struct remote_call *call);

#endif
