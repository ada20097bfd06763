/*
 * unblock.h - threads that have come to block the checkpoint signal since the hijack.
 *
 * What sets a mask through libc leaves that signal out (stubs/entry.h). What does so by a system
 * call instruction of its own is not seen: libc itself for its helper threads (SIGEV_THREAD),
 * programs in assembler, JIT compilers. So before a hijacked process is asked for something
 * (ask.h), its threads are looked at. One that blocks the signal and goes on to do so is treated as
 * the hijack would have treated it (masks.h): gdb attaches, the record gets it, so that a release
 * blocks the signal again, the server takes it out of the mask. A process in which nobody blocks it
 * is looked at once, and not touched.
 */
#ifndef DRIVER_UNBLOCK_H
#define DRIVER_UNBLOCK_H

#include "driver/failure.h"

#include <sys/types.h>

/* For a hijacked process whose I/O is at home. 0; -errno, the signal must not be raised: a thread
 * waits for it (sigwait) and would be given it, or the masks could not be changed. A thread that
 * still blocks it then, a checkpoint will name. */
int unblock_threads(pid_t pid, int signal, struct failure *f);

#endif
