/*
 * agent.h - the in-target library as the driver handles it: loaded, found, written to, called,
 * unloaded.
 *
 * How it gets there and away again is load.h's. Called while the target is served (target.h).
 */
#ifndef DRIVER_AGENT_H
#define DRIVER_AGENT_H

#include <stdbool.h>

#include "driver/load.h"
#include "driver/target.h"
#include "shadow/control.h"
#include "stubs/agent.h"
#include "stubs/calls.h"
#include "stubs/record.h"

/* Loads the library and completes its record. */
int agent_load(struct target *target, const struct loader *loader, const char *library,
               struct hijack_record *record, struct failure *f);
/* Unloads it, also when it was loaded only in part; the record and the functions are gone. */
int agent_unload(struct target *target, struct failure *f);
bool agent_loaded(const struct target *target);
/* Loaded, but its loading was cut short: nothing has been done with it. */
bool agent_cut_short(struct target *target);

int agent_read_record(struct target *target, struct hijack_record *record, struct failure *f);
/* Writes the record's fixed part, or with `patches` all of it. */
int agent_write_record(struct target *target, const struct hijack_record *record, bool patches,
                       struct failure *f);
/* Writes the list of threads, before the fixed part says how many there are. */
int agent_write_unblocked(struct target *target, const struct hijack_record *record,
                          struct failure *f);
int agent_write_params(struct target *target, const struct hijack_params *params,
                       struct failure *f);
int agent_read_params(struct target *target, struct hijack_params *params, struct failure *f);

/* Copies a variable of the agent's in process `pid`, which need not be stopped. 0; -ENOENT: it has
 * no agent, or one without that variable; another -errno. */
int agent_peek(pid_t pid, const char *name, void *to, size_t size);

/* The shadow of process `pid`, which need not be stopped: control_find(); or, where the hijack was
 * ordered with another runtime directory than ours, by the name of the socket that the library in
 * the process has (that needs ptrace's permission to read it). As control_find(). */
int agent_find_shadow(pid_t pid, struct control *c, struct control_status *status);

/* Calls one of the agent's functions without arguments (stubs/agent.h); *result is its own, >= 0 or
 * -errno. */
int agent_call(struct target *target, const char *function, int64_t *result, struct failure *f);

/* Tells the stubs where the originals are now: an address for each function
 * (enum function_id), or 0. *stubs is the first stub, from which the others are ENTRY_SIZE apart.
 */
int agent_write_homes(struct target *target, const taddr homes[FUNCTIONS], taddr *stubs,
                      struct failure *f);

#endif
