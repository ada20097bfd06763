/*
 * behind.h - write-behind and read-ahead: regular files of which the user said that only this
 * program uses them (--io PATTERN=buffer, policy.h).
 *
 * A write is put into the ring (ring.h) and done by the shadow while the program goes on; errors
 * come with the next call that names the descriptor, close and fsync among them. A read fetches
 * more than was asked for; what is over serves the next ones (ahead.h), and before any other call
 * about the descriptor its offset is put back to where the program believes it to be. It is given
 * up when the file changes, by whatever descriptor or path: so files are known by device and inode,
 * and as long as something is read ahead, of each descriptor that is written to it is asked once
 * which file it is of.
 *
 * A descriptor is buffered from the open() of its path until it is closed, or copied: another
 * descriptor with the same offset could tell. Signals are blocked; threads share what is here under
 * a lock that is never held during a call.
 */
#ifndef STUBS_BEHIND_H
#define STUBS_BEHIND_H

#include "stubs/remote.h"

/* What is to be done behind a call. */
struct behind_part {
    int held[CALL_ARGS], count; /* descriptors, for ahead_release() */
    long changes;               /* the one whose file it changes; negative: none, or any */
};

/* 1 when the call was done without the shadow, or failed by an earlier write: its result is in
 * *result. 0: forward it, then behind_done(); nothing is left that it could tell. */
int behind_call(struct remote_call *call, const struct call *row, long number, const long *args,
                long *result, struct behind_part *part);
void behind_done(struct remote_call *call, const struct behind_part *part);

/* A call of ours in a part of the program's. It is made at home whatever is buffered, and no
 * handler of the program's runs meanwhile. */
long behind_own(struct remote_call *call, long number, long a, long b, long c);

/* After an open() that succeeded: `path` as the program gave it. */
void behind_opened(struct remote_call *call, long fd, const char *path);

/* Is it a file of which only this program is a user? */
int behind_is_sole(long fd);
int behind_is_buffered(long fd);

/* After a call that may have made descriptor `fd` a copy. */
void behind_copied(long number, const long *args, long fd);

/* Remote I/O begins, with a regular file open that is to be buffered and that no other descriptor
 * of the program shares. */
void behind_adopt(long fd, uint64_t device, uint64_t inode);

/* Everything is at home when this returns, and the ring is no more: before a checkpoint, at the
 * program's end. */
void behind_settle(struct remote_call *call);

/* Nothing is known of any descriptor any more, once all is settled: ... */
void behind_forget(void);
/* ... nor of writes that failed: the descriptors are no more, or not yet, at home. */
void behind_reset(void);

#endif
