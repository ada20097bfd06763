/* findings.h - how the checks of preflight*.c gather what they find. Inside preflight*.c only. */
#ifndef DRIVER_FINDINGS_H
#define DRIVER_FINDINGS_H

#include <stdarg.h>

#include "driver/preflight.h"

/* The process that is looked at. */
struct preflight {
    const struct preflight_options *options;
    struct proc_info info;
    struct findings *findings;
    struct maps maps; /* empty when not readable */
};

/* More than all checks together can find: each adds at most a few. */
#define FINDINGS_MAX 96

int findings_start(struct findings *findings, struct failure *f);
void findings_add(struct findings *findings, enum finding_severity severity, const char *id,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

/* preflight_memory.c: what is mapped and open in it. */
void preflight_program(struct preflight *p);
void preflight_mappings(struct preflight *p);
void preflight_descriptors(struct preflight *p);
/* preflight_smaps.c: what a mapping is besides; adds nothing that the two have found. */
void preflight_smaps(struct preflight *p);
/* preflight_remote.c: can its I/O be remote? Is what descriptor leads to `target` bound to the
 * process or its memory (restart/ckpt_fds.c: FDS_BOUND, FDS_IO_URING)? */
bool preflight_is_bound(const struct preflight *p, const char *target);
void preflight_remote_io(struct preflight *p);
/* preflight_library.c: may and should the target load our library? */
void preflight_library(struct preflight *p);
/* preflight_coverage.c: what a hijack would cover of its system calls. */
void preflight_coverage(struct preflight *p);

#endif
