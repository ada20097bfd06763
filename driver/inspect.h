/*
 * inspect.h - the interactive mode: a hijack that waits after each step, for teaching and for
 * doubt.
 *
 * The target stands still meanwhile. The user looks at it with gdb's own commands, those that only
 * look, and with a few of ours that know what the hijack does: `jump read` shows the function's
 * entry and its slot, before and after.
 */
#ifndef DRIVER_INSPECT_H
#define DRIVER_INSPECT_H

#include "driver/replace.h"
#include "driver/target.h"

struct inspect {
    struct target *target;
    const struct replace *replace;
};

/* Reads commands from stdin until the user lets the hijack go on: 0. -ECANCELED: the user wants it
 * undone, or the input has ended. */
int inspect_pause(const struct inspect *inspect, struct failure *f);

/* Whether a gdb command only looks: the first word is one of a list, and no expression in it
 * assigns or calls. */
bool inspect_only_looks(const char *command);

#endif
