/*
 * preflight.h - every reason why a process cannot be hijacked or checkpointed, by me, here.
 *
 * preflight_process() looks at the process through /proc alone: it never attaches, stops or
 * signals. It gathers all findings instead of ending at the first, in the order in which a user
 * should deal with them. `hijack` refuses on the first finding that refuses it; `doctor` prints the
 * list.
 */
#ifndef DRIVER_PREFLIGHT_H
#define DRIVER_PREFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "driver/failure.h"
#include "driver/proc.h"

enum finding_severity {
    FINDING_NOTE,
    FINDING_WARN,
    FINDING_REFUSE_REMOTE,     /* its I/O cannot be remote */
    FINDING_REFUSE_CHECKPOINT, /* a hijack works, a checkpoint as things are now does not */
    FINDING_REFUSE,            /* no hijack */
};

struct finding {
    enum finding_severity severity;
    const char *id; /* for programs: "tracer", "static", ... */
    char text[512]; /* for people: what, why, what to do */
};

struct findings {
    size_t count;
    struct finding *at;
};

struct preflight_options {
    bool trust_seccomp;
    bool remote_io;      /* what is against that is against all of it */
    int signal;          /* the checkpoint signal wanted; 0: the highest free one of 63..34 */
    const char *library; /* path of libhijack.so, or NULL: not checked */
    bool coverage;       /* also look how its system calls would be covered: takes longer */
};

/* Gathers into *out (freed by findings_free()). Returns 0 whatever was found, -errno only when
 * looking failed. */
int preflight_process(pid_t pid, const struct preflight_options *options, struct findings *out,
                      struct failure *f);

/* Only what stands against remote I/O, for a process that is hijacked already. */
int preflight_remote(pid_t pid, struct findings *out, struct failure *f);

/* The same for this machine: gdb, Yama, kernel features, the runtime directory. */
int preflight_machine(struct findings *out, struct failure *f);

/* The first finding with at least `severity`, or NULL. */
const struct finding *findings_worst(const struct findings *findings,
                                     enum finding_severity severity);
void findings_free(struct findings *findings);

/* The checkpoint signal that a hijack of `process` would take: `wanted`, or the highest of 63..34
 * (one of libc's own excepted) that it neither catches, ignores, waits for (sigwait) nor blocks;
 * where it blocks all of them, one that it blocks. 0: none is free. */
int preflight_signal(const struct proc_info *process, int wanted);

#endif
