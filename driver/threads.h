/*
 * threads.h - the threads of a target that gdb holds.
 *
 * The flow is: inferior_attach(), threads_read(), threads_restart_calls(); then the target's places
 * are known, and letting it go - however that happens, gdb's death included - continues every call
 * that the stop interrupted.
 *
 * gdb stops each thread by a SIGSTOP that it then takes away, so each stands in the kernel's signal
 * delivery, on its way out of the call that was interrupted. The kernel restarts most calls from
 * there by itself, with the time that remained. Some it lets return EINTR (signal(7), "Interruption
 * of system calls and library functions by stop signals"). Their result register is given the value
 * by which the kernel tells itself to restart a call unless a handler runs; that is one write, and
 * at each moment either the old or the new value is right.
 */
#ifndef DRIVER_THREADS_H
#define DRIVER_THREADS_H

#include <stdbool.h>

#include "driver/inferior.h"

struct thread {
    unsigned number; /* gdb's */
    pid_t tid;
    taddr pc, sp, pointer; /* the last one: what its thread-local storage hangs on */
    int64_t call, result;  /* the interrupted system call or -1, and its result so far */
    int signal;            /* the program's own, about to be delivered; 0: none */
};

struct threads {
    size_t count;
    struct thread *at; /* in gdb's order: the leader first */
};

/* Returns when every thread can be stopped: when each that was in an uninterruptible wait (a
 * vfork's, a file system's) has been seen to be out of it. An attach would hold all the others
 * meanwhile. -EAGAIN, with the thread's name: one still is after `deadline_ms`. -EINTR:
 * interrupt.h. */
int threads_wait_stoppable(pid_t pid, int deadline_ms, struct failure *f);

/* Reads the state of every thread of a stopped target, in one command. Replaces what is there.
 * -ESRCH: there is none. */
int threads_read(struct threads *threads, struct inferior *inferior, struct failure *f);
void threads_free(struct threads *threads);

/* Has the calls that the stop ended with EINTR begin anew, in each thread. */
int threads_restart_calls(struct threads *threads, struct inferior *inferior, struct failure *f);

/* Whether gdb holds every living thread of the process. A thread that another one was making when
 * it was stopped may have escaped. */
bool threads_all_held(const struct threads *threads, pid_t pid);

#endif
