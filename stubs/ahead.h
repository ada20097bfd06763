/*
 * ahead.h - reading ahead of a buffered descriptor (behind.h): its offset at home is behind what
 * was fetched, the program's behind what it was given.
 *
 * Threads may share the descriptor, and all get what they would get of the kernel, which makes
 * their calls one after the other: a place is locked while it serves and fetches. Whoever is to
 * make a call at home that could see the offset, or move it, holds the descriptor meanwhile: what
 * is over is put back first, and nothing is fetched until the release.
 *
 * All calls here are our own (behind_own()): with a place locked no handler of the program's runs
 * and no checkpoint is taken, so the lock's holder always comes to its end.
 */
#ifndef STUBS_AHEAD_H
#define STUBS_AHEAD_H

#include <stddef.h>

#include "stubs/remote.h"

/* The read's result; -EBUSY: to be made at home. */
long ahead_read(struct remote_call *call, int fd, char *to, size_t size);

/* Puts the offset at home back to what the program has read. */
void ahead_settle(struct remote_call *call, int fd);
void ahead_settle_all(struct remote_call *call);
/* Of the descriptors for which `chosen` is true. */
void ahead_settle_some(struct remote_call *call, int (*chosen)(int fd, long what), long what);

/* ... and keeps it there until as many releases. One that is never released, because a handler left
 * the call by longjmp, costs speed alone. */
void ahead_hold(struct remote_call *call, int fd);
void ahead_release(int fd);

/* Is anything read ahead? */
int ahead_any(void);

/* All descriptors are others now. */
void ahead_reset(void);

#endif
