/*
 * calls.h - the table of system calls for the driver: which function of libc belongs to which row.
 *
 * The driver patches the functions that call_named() knows. Read-only after the first call; not
 * thread-safe before.
 */
#ifndef DRIVER_CALLS_H
#define DRIVER_CALLS_H

#include "stubs/calls.h"

/* The rows, indexed by enum call_id. */
extern const struct call calls[CALLS];

/* The row that lists `name` among the names of its functions, or NULL. */
const struct call *call_named(const char *name);

#endif
