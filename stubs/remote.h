/*
 * remote.h - remote system calls: the program's I/O is done by its shadow, at home (paper, sections
 * 1 and 3.2).
 *
 * Two ways lead here. The entry jumps lead a call of a function of libc to a stub (entry.h). Where
 * there is no jump - a call inlined in libc, in the program, in hand-written assembly - the kernel
 * turns the `syscall` instruction into a signal, SIGSYS, whose handler is the net (net.h). Both
 * end in remote_call(), which does what the call's row in calls.def says.
 *
 * The flow of a forwarded call: encode.c lists the bytes that the kernel would read (encode.h);
 * channel.c sends them and waits for the answer (channel.h); encode.c puts what the kernel wrote
 * where the program wants it. A signal for the program that comes while the answer is waited for
 * cancels the call at the shadow first, then is delivered, then the call returns EINTR or begins
 * again, as the kernel does (signal(7)).
 *
 * Invariants: while we are at work every signal is blocked, and delivered only in the windows of
 * remote_call(), when no call is under way and nothing but the stack holds our state. So a
 * handler of the program's may make calls itself, or leave by longjmp; and a checkpoint - the
 * handler of the checkpoint signal - finds no call half done. It may find us on the stack: when
 * I/O has come home meanwhile (REMOTE_OFF), a call that waited is issued again by the program
 * itself, so that nothing of us stays on its stack.
 *
 * Freestanding (raw.h). Pointers of the program are read and written by the kernel for us
 * (process_vm_readv), so that a bad one is -EFAULT and no SIGSEGV.
 */
#ifndef STUBS_REMOTE_H
#define STUBS_REMOTE_H

#include <stdint.h>
#include <sys/resource.h>
#include <ucontext.h>

#include "stubs/agent.h"
#include "stubs/calls.h"

enum remote_mode {
    REMOTE_OFF,  /* at home, calls are made here */
    REMOTE_HOME, /* --remote-io: this is the home host, but the shadow does the calls */
    REMOTE_AWAY, /* this host is not home */
};

/* Part of the image: a restart decides the mode anew. The mutator looks at the mode. */
struct remote {
    uint32_t mode;         /* enum remote_mode */
    int32_t pid;           /* that the program knows */
    int32_t parent;        /* its parent's */
    int32_t threaded;      /* it has, or has had, more than one thread (entry.h) */
    uint64_t blocking;     /* signals whose action blocks SIGSYS, but for us (actions.h) */
    uint64_t signalfds;    /* union of the masks of its signalfds, which are at home: bit s-1 */
    struct rlimit files;   /* RLIMIT_NOFILE as the program has set it: ours is as high as allowed */
    char executable[4096]; /* the program's file at home */
};
extern HIJACK_EXPORT struct remote remote;

/* A call of the program's. */
struct remote_call {
    long number;
    long args[CALL_ARGS];
    uint64_t *mask;    /* the program's signal mask: in effect again when the call returns */
    ucontext_t *frame; /* of the trapped call; NULL from a stub */
    uint32_t flags;    /* for the request: WIRE_NOSTOP */
    int plain;         /* trapped, and nothing but the one call at home: can be issued again */
    int own;           /* not a part of it that the program's files are told of (behind_own()) */
    int quiet;         /* a part that the program has not called for: no SIGXFSZ from it */
    int again;         /* issue it again, once what is pending has been delivered */
    uint64_t elapsed;  /* then: so many nanoseconds of its time to wait have passed */
    long wider;        /* not done yet: the descriptors that select() looks at (WIRE_WIDER) */
};

/* Does the call. All signals are blocked; *call->mask holds the program's mask and may be changed.
 * The kernel's result: >= 0 or -errno. */
long remote_call(struct remote_call *call);

/* For emulations, which are parts of a call. */
long remote_forward(struct remote_call *call, long number, const long *args);
/* Makes the call in this process; where it may wait, the program's mask is in effect. */
long remote_local(struct remote_call *call, long number, const long *args);

/* Sends the calling thread a signal as the kernel does for what a call of its own did. */
void remote_raise(struct remote_call *call, int signal);

/* While the shadow does not answer: lets those outside `mask` be delivered whose default action it
 * is to end or to stop the program. No handler runs. */
void remote_let_end(uint64_t mask);

/* All signals but those that cannot be blocked, and SIGSYS, which the program must not block. */
#define REMOTE_ALL       (~0ULL)
#define REMOTE_SIGNAL(s) (1ULL << ((s)-1))
uint64_t remote_program_mask(uint64_t mask); /* what of a mask the program gets */
/* For a call during which no handler may run: the mask, and what has a handler. */
uint64_t remote_unhandled(uint64_t mask);

/* The program's memory. 0 or -EFAULT. */
int remote_read(void *to, const void *from, size_t size);
int remote_write(void *to, const void *from, size_t size);
/* Copies a string with its NUL: its length with the NUL, -EFAULT, or -ENAMETOOLONG. */
long remote_string(char *to, const char *from, size_t size);

#endif
