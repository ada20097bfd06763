/*
 * calls.h - the table of system calls for the driver: which function of libc belongs to which row.
 *
 * The driver patches the functions that call_named() knows. Read-only after the first call; not
 * thread-safe before.
 */
#ifndef DRIVER_CALLS_H
#define DRIVER_CALLS_H

#include <stddef.h>

#include "stubs/calls.h"

/* The functions, indexed by enum function_id. */
extern const struct call_function call_functions[FUNCTIONS];
/* The calls of the kernel, indexed by number; where there is none, how is CALL_UNKNOWN. */
extern const struct call calls[];
extern const size_t calls_count;

/* The row that lists `name` among the names of its functions, or NULL. */
const struct call_function *call_named(const char *name);

#endif
