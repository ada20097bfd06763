/*
 * target.h - one process under work: what is known of it, gdb that holds it, the server inside it.
 *
 * The flow is: target_open() (starts gdb, looks, touches nothing), target_attach(),
 * target_find_safe_point(), target_serve() - now calls can be made in it -, target_go(),
 * target_close(). hijack.c and undo.c do their work between serve and go.
 */
#ifndef DRIVER_TARGET_H
#define DRIVER_TARGET_H

#include "driver/inferior.h"
#include "driver/objects.h"
#include "driver/proc.h"
#include "driver/safepoint.h"
#include "driver/server.h"
#include "driver/threads.h"
#include "stubs/record.h"

struct target;

/* Calls further places unsafe, in whichever thread: non-zero, with the reason. places[0] is the
 * program counter; the others are the words of the stack, since a signal handler goes back to one
 * of them. */
typedef int target_unsafe(void *context, const struct target *target, const taddr *places,
                          size_t count, char reason[SAFEPOINT_REASON]);

/* A thread whose mask is to be changed. */
struct mask_order {
    taddr thread; /* its thread pointer */
    pid_t tid;    /* 0: not looked for yet */
};

struct target {
    struct proc_info info;
    uint64_t program; /* that it had executed when it was looked at */
    struct maps maps;
    struct objects *objects;
    struct inferior *inferior;
    struct threads threads;      /* as of the last stop */
    const struct thread *chosen; /* to be served, one of them; NULL: none yet */
    struct server server;        /* in that one */
    bool others_ran;             /* since it was chosen */
    struct {                     /* what target_go() has yet to do to signal masks: masks.h */
        int signal;
        bool block;
        size_t count;
        struct mask_order at[HIJACK_MAX_UNBLOCKED];
    } masks;
    enum safepoint_purpose purpose; /* what will be called in it; set by the caller */
    int own_signal;                 /* that no thread may be about to handle; 0: none */
    int patience_ms; /* how long to wait for a thread that cannot be stopped; set by the caller */
    struct {         /* the last target_find_safe_point() */
        int deadline_ms;
        target_unsafe *extra;
        void *context;
    } search;
    struct { /* threads that block all signals, and not for a moment (unblock.h); or none */
        const pid_t *tids;
        size_t count;
    } lasting;
    bool sent;       /* the server's code was put into it, and has not answered yet */
    bool served;     /* the server is in it, or may be */
    taddr scratch;   /* memory of ours in the target while it is served: strings below, stack above;
                        0: none */
    bool answered;   /* the server did, once: things may have been done */
    mi_trace *trace; /* of gdb; or NULL */
    char where[SAFEPOINT_REASON]; /* the function it was stopped in, for the user; or "" */
    bool stop_left;               /* an attach failed: the stop that it sent may come yet */
    uint64_t stopped_at; /* CLOCK_MONOTONIC, ns: since when it has stood still; 0: it runs */
    uint64_t still_ns;   /* how long it stood still in all */
};

/* Sizes of the scratch memory. */
#define TARGET_STRINGS 65536
#define TARGET_STACK   (512 * 1024)
#define TARGET_SCRATCH (TARGET_STRINGS + TARGET_STACK)

uint64_t target_now(void); /* CLOCK_MONOTONIC in ns */

/* `trace` may be NULL. */
int target_open(struct target *target, pid_t pid, mi_trace *trace, struct failure *f);
/* Its parts, between which there is time while gdb starts. */
int target_start_gdb(struct target *target, pid_t pid, mi_trace *trace, struct failure *f);
int target_look(struct target *target, struct failure *f);
int target_await_gdb(struct target *target, struct failure *f);
/* Lets a target that is held but not served go on as if it had not been stopped. */
int target_let_go(struct target *target, struct failure *f);
/* Lets the target go if it is held, ends gdb, frees. */
void target_close(struct target *target);

/* Why a process was refused, when it has ended meanwhile: says that it has (start_time 0: before
 * it was looked at) instead of what came of that. */
void target_explain_end(pid_t pid, uint64_t start_time, struct failure *f);

/* Stops it, all threads. -EAGAIN, and let go: it has executed another program since target_open(),
 * or makes threads faster than they can be stopped. */
int target_attach(struct target *target, struct failure *f);
/* What the stop has done to the threads, seen and mended (threads.h). Part of every stop. */
int target_know_threads(struct target *target, struct failure *f);

/* Stopped where one thread, which it selects, may be served for the target's purpose, the leader
 * rather than another: else lets it run, stops it again, until the deadline. -EAGAIN: then. */
int target_find_safe_point(struct target *target, int deadline_ms, target_unsafe *extra,
                           void *context, struct failure *f);
/* Whether a thread with this mask is taken to be on its way out, and perhaps without a stack, or
 * with one that is another's by now (masks_are_full()). */
bool target_thread_ends(const struct target *target, pid_t tid, uint64_t blocked);
/* May the server be sent into this other thread, besides the chosen one? 1: yes, it is selected;
 * 0: not where it stands; -errno. */
int target_may_enter(struct target *target, const struct thread *thread, struct failure *f);
/* After gdb died or an attempt failed: a new gdb, attached, at a safe point. */
int target_retake(struct target *target, int deadline_ms, target_unsafe *extra, void *context,
                  struct failure *f);

/* Sends the server into the chosen thread. Where a signal handler that came first left by longjmp,
 * the thread is elsewhere: then the code is taken out again, `find` finds another place, and so on,
 * for some seconds. -ETIMEDOUT: no time was enough. */
int target_serve(struct target *target, int (*find)(void *context, struct failure *f),
                 void *context, struct failure *f);
/* After -ETIMEDOUT or a dead gdb, when the server was `sent`: takes its code out, with a new gdb,
 * at a safe point at which nobody is on the way to it. The target is held there. */
int target_take_server_out(struct target *target, struct failure *f);
/* System calls one after the other, as long as they succeed. */
int target_syscalls(struct target *target, struct server_syscall *calls, size_t count,
                    struct failure *f);
/* A system call, a call of a function with up to six arguments; the results are the target's. */
int target_syscall(struct target *target, int64_t *result, struct failure *f, long number,
                   const uint64_t arguments[6]);
int target_call(struct target *target, uint64_t *result, struct failure *f, taddr function,
                const uint64_t arguments[6]);
/* A call of a function of libc's, during which the other threads run: it may wait for a lock that
 * one of them holds. Where they stand afterwards, nobody has checked: target_settle(). */
int target_call_libc(struct target *target, uint64_t *result, struct failure *f, taddr function,
                     const uint64_t arguments[6]);
/* Nothing when the other threads have not run. Else lets them run, for a millisecond at a time,
 * until each stands where `extra` finds nothing unsafe. -EAGAIN: that did not come about. */
int target_settle(struct target *target, target_unsafe *extra, void *context, struct failure *f);
/* A thread that has taken a signal of its own first has the SIGSTOP by which gdb stopped it still
 * before it. Letting the target go, gdb takes that back by SIGCONT, which a handler would see.
 * Where the program has one, this lets the other threads run until no such stop is left, or for a
 * fifth of a second. */
int target_take_stops(struct target *target, struct failure *f);
/* Copies a string into scratch memory; valid until the next one. */
int target_string(struct target *target, const char *string, taddr *address, struct failure *f);
/* Reads the address space again, after the target changed it. */
int target_look_again(struct target *target, struct failure *f);
/* Ends the service, if there was one: scratch memory gone, the target at its own place again,
 * detached, running. */
int target_go(struct target *target, struct failure *f);

#endif
