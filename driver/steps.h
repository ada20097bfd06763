/* steps.h - the clock and the voice of the steps that hijack.c and undo.c take. */
#ifndef DRIVER_STEPS_H
#define DRIVER_STEPS_H

#include "driver/hijack.h"

struct steps {
    const struct hijack_options *options;
    const char *name;
    uint64_t began;
};

/* Begins a step. Fault injection for tests: HIJACK_FAULT_STEP=NAME in the environment kills this
 * process here, and with HIJACK_FAULT_FAIL=NAME the step fails instead (-EIO). */
int steps_begin(struct steps *steps, const char *name, struct failure *f);
/* Ends it and tells the caller. */
void steps_end(struct steps *steps, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
