/*
 * agent.h - the in-target library as the driver handles it: loaded, found, written to, called,
 * unloaded.
 *
 * The loader is one small interface: today dlopen called in the target, which needs a safe point
 * and a dynamic program; a loader that maps the object without libc (static programs, foreign mount
 * namespaces) goes here too. Called while the target is served (target.h).
 */
#ifndef DRIVER_AGENT_H
#define DRIVER_AGENT_H

#include <stdbool.h>

#include "driver/target.h"
#include "stubs/agent.h"
#include "stubs/record.h"

/* Loads the library and writes the beginning of its record. -ELIBACC: the target's dlopen refused,
 * in its words. */
int agent_load(struct target *target, const char *library, struct failure *f);
/* Unloads it; the record and the functions are gone. */
int agent_unload(struct target *target, struct failure *f);
bool agent_loaded(const struct target *target);

int agent_read_record(struct target *target, struct hijack_record *record, struct failure *f);
/* Writes the record's fixed part, or with `patches` all of it. */
int agent_write_record(struct target *target, const struct hijack_record *record, bool patches,
                       struct failure *f);
int agent_write_params(struct target *target, const struct hijack_params *params,
                       struct failure *f);
int agent_read_params(struct target *target, struct hijack_params *params, struct failure *f);

/* Calls one of the agent's functions without arguments (stubs/agent.h); *result is its own, >= 0 or
 * -errno. */
int agent_call(struct target *target, const char *function, int64_t *result, struct failure *f);

#endif
