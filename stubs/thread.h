/*
 * thread.h - what remote I/O keeps for each thread of the program: its channel, and room for the
 * call that it makes.
 *
 * Found by the thread pointer, which a restart gives back unchanged. Threads come to it one by one,
 * each with all its signals blocked; a thread's own is touched by no other thread but a checkpoint,
 * for which all stand still.
 */
#ifndef STUBS_THREAD_H
#define STUBS_THREAD_H

#include <signal.h>
#include <sys/stat.h>
#include <ucontext.h>

#include "stubs/channel.h"
#include "stubs/encode.h"

struct remote_thread {
    uintptr_t pointer; /* the thread's; 0: free */
    struct remote_thread *next;
    struct channel channel;
    ucontext_t *frame; /* of the net, whose call waits here (remote_local()); NULL: none */
    struct encode encoded;
    /* for calls of our own, in a part of the program's */
    char path[WIRE_PATH];
    char text[16384];
    struct stat stat;
    siginfo_t info;
};

/* The calling thread's, made when it has none. NULL: no memory. */
struct remote_thread *remote_thread(void);

/* Notes the frame of a call that the calling thread waits in here. Returns what was noted. */
ucontext_t *remote_thread_waits(ucontext_t *frame);

/* The program's own state in a call that the thread with that thread pointer, stopped within our
 * code, waits in here: the frame of the net. NULL where it does not; stale where the program has
 * left such a call by longjmp. */
ucontext_t *remote_thread_frame(uintptr_t pointer);

/* The calling thread ends: its channel is closed. */
void remote_thread_end(void);

/* Gives the memory of all back. I/O is here, and no thread in a call of ours. */
void remote_thread_free(void);

/* Calls `each` for all. */
void remote_thread_each(void (*each)(struct remote_thread *t));

/* The thread pointer, in arch/ARCH/thread_arch.h. */
#include "thread_arch.h"

#endif
