/*
 * report.h - what `hijack` and `release` tell the user: steps and times on stderr, the result on
 * stdout.
 *
 * --json prints one object on stdout at the end, steps included, with the version of its schema; it
 * is documented in gdb-hijack(1) and only ever grows.
 */
#ifndef DRIVER_REPORT_H
#define DRIVER_REPORT_H

#include "driver/hijack.h"

#define REPORT_SCHEMA    1
#define REPORT_MAX_STEPS 16

struct report {
    bool quiet, json;
    size_t count;
    struct hijack_step steps[REPORT_MAX_STEPS];
};

/* hijack_options.progress; the context is the report. */
void report_step(void *report, const struct hijack_step *step);
/* hijack_options.trace, for -v. */
void report_dialogue(void *unused, char direction, const char *line, size_t size);
/* "gdb-hijack: ..." on stderr. */
void report_failure(const struct failure *f);
/* The object of --json. */
void report_json(const struct report *report, const char *command, pid_t pid,
                 enum hijack_outcome outcome, const struct hijack_result *result,
                 const struct failure *f);

#endif
