/*
 * behind.h - write-behind and read-ahead: regular files of which the user said that only this
 * program uses them (--io PATTERN=buffer, policy.h).
 *
 * A write is put into the ring (ring.h) and done by the shadow while the program goes on; errors
 * come with the next call that names the descriptor, close and fsync among them. A read fetches
 * more than was asked for; what is over serves the next ones, and before any other call about the
 * descriptor its offset is put back to where the program believes it to be.
 *
 * A descriptor is buffered from the open() of its path until it is closed, or copied: another
 * descriptor with the same offset could tell. Signals are blocked; threads share what is here under
 * a lock that is never held during a call.
 */
#ifndef STUBS_BEHIND_H
#define STUBS_BEHIND_H

#include "stubs/remote.h"

/* 1 when the call was done without the shadow, or failed by an earlier write: its result is in
 * *result. 0: forward it; nothing is left that it could tell. */
int behind_call(struct remote_call *call, const struct call *row, long number, const long *args,
                long *result);

/* After an open() that succeeded: `path` as the program gave it. */
void behind_opened(struct remote_call *call, long fd, const char *path);

/* Is it a file of which only this program is a user? */
int behind_is_sole(long fd);

/* After a call that may have made descriptor `fd` a copy. */
void behind_copied(long number, const long *args, long fd);

/* Remote I/O begins, with a regular file open that no other descriptor of the program shares. */
void behind_adopt(long fd, const char *path);

/* Everything is at home when this returns, and the ring unmapped: before a checkpoint, at the
 * program's end. */
void behind_settle(struct remote_call *call);

#endif
