/*
 * local.h - files of this host: --io PATTERN=local (policy.h).
 *
 * A call that names absolute paths of that policy is made here. A descriptor opened so is a
 * descriptor of this process; its number is taken at home, too, by one of /dev/null, so that the
 * program's numbers stay one set: a poll or select that names it finds it ready, as a file is.
 * Calls that name such a descriptor are made here; copies are made on both sides.
 *
 * Limits: a call with one path of each kind is EXDEV; a directory of this host has no names at
 * home. A checkpoint is refused while such a file is open: it could not be given back elsewhere.
 * When I/O comes home, which is this host then, such descriptors stay as they are.
 */
#ifndef STUBS_LOCAL_H
#define STUBS_LOCAL_H

#include "stubs/remote.h"

/* 1 when the call was made here; its result is in *result. */
int local_call(struct remote_call *call, const struct call *row, long number, const long *args,
               long *result);

/* Is the descriptor one of this host's? */
int local_has(long fd);

/* The lowest descriptor of this host's that the program has open; -1: none. */
int local_first(void);

/* I/O has come home: they are descriptors as all others. */
void local_forget(void);

#endif
