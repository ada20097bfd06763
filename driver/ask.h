/*
 * ask.h - asking a hijacked process for something that the handler of its checkpoint signal does: a
 * checkpoint, or that its I/O goes to the shadow or comes home.
 *
 * The flow is: ask_open(), which looks and touches nothing; ask_leave() leaves the request with the
 * shadow and raises the signal; ask_await() waits for the report; ask_close().
 *
 * A signal kills a process that does not handle it. So before it is raised: the process is the one
 * that the shadow watches (pidfd, pid and start time), it is ours, and a handler is installed
 * (SigCgt; an exec takes it away).
 */
#ifndef DRIVER_ASK_H
#define DRIVER_ASK_H

#include "driver/failure.h"
#include "shadow/control.h"

#define ASK_TIMEOUT 10 /* seconds for the handler to begin */

struct ask {
    pid_t pid;
    const char *what; /* that is asked for, for the user: "checkpoint" */
    int pidfd;        /* -1: none */
    struct control_process process;
    struct control control; /* the shadow; fd -1: not connected */
    struct control_status status;
    struct frame_report report; /* after ask_await() */
    bool counted;               /* the process says how many reports it has made */
    uint32_t reports;           /* ... up to this request */
};

/* The outcomes are gdb-hijack's exit statuses (commands.h). */
enum ask_outcome { ASK_DONE = 0, ASK_REFUSED = 1, ASK_ROLLED_BACK = 3, ASK_LOST = 4 };

/* Finds the shadow of `pid` and checks that the process can do what is asked for now. 0 or -errno;
 * ask_close() in either case. */
int ask_open(struct ask *ask, pid_t pid, const char *what, struct failure *f);

/* Sees to it that the signal reaches every thread (unblock.h), leaves the request - for how long
 * the process has been blocked is filled in - and raises the signal. 0 or -errno: the signal was
 * not raised. */
int ask_leave(struct ask *ask, struct frame_request *request, struct failure *f);

/* Waits for the report: ASK_DONE when it tells no error. Only the beginning has a time limit, in
 * seconds: how long it takes is a matter of size. */
enum ask_outcome ask_await(struct ask *ask, int timeout, struct failure *f);

/* Whether the process has ended, waiting so long for it. */
bool ask_has_ended(const struct ask *ask, int milliseconds);

void ask_close(struct ask *ask);

#endif
