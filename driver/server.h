/*
 * server.h - having the target make system calls and call functions, by hand.
 *
 * GDB's own inferior calls cannot be used: they leave a breakpoint in the target's text, and fail
 * on CPUs with AMX. Instead a few hundred bytes of code of ours (arch/ARCH/server.S) are put into
 * the slack behind the text of a loaded object, where nothing is ever executed, and the program
 * counter is set to them. They save everything, block all signals and ask for requests with a
 * system call that no kernel has, at which gdb stops them.
 *
 * The flow is: server_enter(), any number of server_syscall() and server_call(), server_leave();
 * then another thread may be entered. After server_leave() the target is about to go on where it
 * was stopped, the slack is as before, and inferior_detach() lets it run.
 *
 * Invariants: if gdb is killed at any moment the target finishes the request at hand, leaves by
 * itself and goes on as if nothing had happened. A system call that the stop interrupted goes on,
 * with the time that remains where the kernel knows it (nanosleep, poll, futex) or writes it back
 * (select).
 */
#ifndef DRIVER_SERVER_H
#define DRIVER_SERVER_H

#include "driver/inferior.h"
#include "driver/objects.h"
#include "driver/proc.h"

#define SERVER_MAX_CODE 1024

struct server {
    struct inferior *inferior;
    taddr code; /* where the code was put; 0: not in place */
    size_t size;
    unsigned char original[SERVER_MAX_CODE]; /* what the file has there */
    taddr frame;                             /* the saved context, on the target's stack */
    taddr request;                           /* struct server_request, ditto */
};

/* Bytes of slack that are needed. */
size_t server_size(void);

/* Where the code can go: slack behind the text of the C library, or of another object. -ENOSPC:
 * nowhere. */
int server_place(struct server *server, pid_t pid, const struct maps *maps,
                 const struct objects *objects, struct failure *f);
/* Whether the stopped target is inside the server: left over from a mutator that was killed, soon
 * to end. */
bool server_holds(const struct server *server, taddr pc);

/* Needs no safe point itself: it takes no lock and allocates nothing. What is called in it may.
 * -ETIMEDOUT: a signal came first, and its handler has not come back: it left by longjmp, or takes
 * long. The target runs, the code is in place: server_take_out(). */
int server_enter(struct server *server, struct inferior *inferior, struct failure *f);
struct server_syscall {
    long number;
    uint64_t arguments[6];
    int64_t result; /* the kernel's, >= 0 or -errno; -ECANCELED behind one that failed */
    enum {
        RESULT_UNUSED,   /* as SERVER_PLAIN and so on, server_arch.h */
        RESULT_IS_FIRST, /* the result that was kept is the first argument */
        RESULT_IS_FIFTH,
        RESULT_IS_KEPT, /* the call's own, for later ones of the same list */
    } kept;
};
/* System calls in the target, one after the other, as long as they succeed. At most 15. The target
 * carries out the whole list even if gdb, or the mutator, is killed. */
int server_syscalls(struct server *server, struct server_syscall *calls, size_t count,
                    struct failure *f);
/* Shared memory (so that it never merges with a neighbour) at a place that is free; `result` is
 * mmap's. The server unmaps it when it leaves, and so it does when the mutator is dead. */
int server_memory(struct server *server, taddr place, size_t size, int64_t *result,
                  struct failure *f);
/* One function call, C calling convention, on the stack whose highest address is `stack` (16-byte
 * aligned). */
int server_call(struct server *server, taddr function, const uint64_t arguments[6], taddr stack,
                uint64_t *result, struct failure *f);
/* The program's own signal mask in the thread that is served, as it will be when the server has
 * left. */
int server_mask(struct server *server, uint64_t *mask, struct failure *f);
int server_set_mask(struct server *server, uint64_t mask, struct failure *f);
int server_leave(struct server *server, struct failure *f);
/* Restores the slack after a server that was never reached. The target must not be able to return
 * to it: no signal handler is on its stack. */
int server_take_out(struct server *server, struct inferior *inferior, struct failure *f);

#endif
