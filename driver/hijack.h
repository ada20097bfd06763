/*
 * hijack.h - the hijack of a running process (paper, section 3), and its undoing.
 *
 * hijack_run() does the steps attach, safe point, load, shadow, replace, start, detach, remote, and
 * tells `progress` of each when it is done. All or nothing: when a step fails, what was done is
 * undone in reverse with whatever is left - with a new gdb if the old one died - and the outcome
 * says so. release_run() undoes a complete hijack, or what a killed mutator left of one, from the
 * record in the target (stubs/record.h).
 */
#ifndef DRIVER_HIJACK_H
#define DRIVER_HIJACK_H

#include <stdbool.h>
#include <sys/types.h>

#include "driver/coverage.h"
#include "driver/failure.h"
#include "driver/taddr.h"
#include "gdbmi/mi_session.h"

struct loader;

struct hijack_step {
    const char *name; /* "attach", "safe point", ... */
    uint64_t ns;      /* how long it took */
    char detail[256]; /* what was found or done */
};

struct hijack_options {
    pid_t pid;
    int signal; /* takes a checkpoint; 0: the highest free one */
    bool trust_seccomp;
    bool dry_run;
    bool remote_io;              /* then its I/O goes to the shadow (remote_io.h) */
    const char *policy;          /* of its files then: lines PATTERN=WORD (stubs/policy.h) */
    bool local_io;               /* ... comes home; of a hijacked process, with remote_io_run() */
    bool interactive;            /* wait for the user after each step (inspect.h) */
    const struct loader *loader; /* load.h */
    int safe_point_ms;           /* how long to look for a safe point, e.g. HIJACK_SAFE_POINT_MS */
    const char *directory;       /* where default images go; absolute */
    mi_trace *trace;             /* gdb's dialogue, or NULL */
    void (*progress)(void *context, const struct hijack_step *step);
    void *context;
};
#define HIJACK_SAFE_POINT_MS 10000

/* The outcomes are gdb-hijack's exit statuses. */
enum hijack_outcome {
    HIJACK_DONE = 0,
    HIJACK_REFUSED = 1,     /* nothing was touched */
    HIJACK_ROLLED_BACK = 3, /* failed; the target runs and is as it was, or `f` says what is left */
    HIJACK_LOST = 4,        /* the target ended while we worked on it */
};

struct hijack_result {
    pid_t shadow;
    int signal;
    size_t patched, refused; /* functions of libc */
    struct coverage coverage;
    uint64_t still_ns; /* how long the target stood still */
};

enum hijack_outcome hijack_run(const struct hijack_options *options, struct hijack_result *result,
                               struct failure *f);
enum hijack_outcome release_run(const struct hijack_options *options, struct hijack_result *result,
                                struct failure *f);

#endif
