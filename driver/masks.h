/*
 * masks.h - the checkpoint signal in the masks of the target's threads.
 *
 * A checkpoint reaches each thread by its signal. So a hijack takes that out of the mask of every
 * thread that blocks it - node has a thread that blocks all signals for as long as it lives - and a
 * release puts it back in the same ones. Only a thread itself can change its mask: the server
 * (server.h) is sent into one after the other for that, when it has left the one that was served.
 * Threads that come to block it later: unblock.h.
 *
 * The threads are known by their thread pointers, which a restart keeps. A mask that a thread has
 * only while it waits (sigsuspend, ppoll and their kin) is not its own and cannot be changed.
 */
#ifndef DRIVER_MASKS_H
#define DRIVER_MASKS_H

#include "driver/target.h"
#include "stubs/record.h"

/* Whether this is every signal. A mask that is set through the C library leaves out the library's
 * own; who blocks them all is in the library, for a moment - a thread of musl's that ends does so
 * when it has no stack any more (pthread_exit() and __unmapself()), and must get no signal then -,
 * or has set its mask by a system call of its own, and may go on to block them: unblock.h. */
bool masks_are_full(uint64_t blocked);

/* Lists in `record`, with those that are there, the threads of a stopped target that block
 * `signal`. Those that find no room go on blocking it, and a checkpoint will name them. Returns how
 * many were added; -errno. */
int masks_find(struct target *target, int signal, struct hijack_record *record, struct failure *f);

/* Has target_go() change the masks of the threads that the record lists, from the `first` on. */
void masks_order(struct target *target, int signal, bool block, const struct hijack_record *record,
                 size_t first);

/* Carries the order out: in the thread that is served, through the server's frame... */
int masks_change_served(struct target *target, struct failure *f);
/* ... and, when the server has left it, in the others. As long as one stands where the server may
 * not go, all run on for a moment and are stopped again, for a second at most. What is left of the
 * order then, masks_left() tells; the target is held, unless it could not be stopped again. */
int masks_change_others(struct target *target, struct failure *f);

/* Names a thread of a running target whose mask could not be changed: "thread 12 (worker) still
 * blocks signal 63". False: there is none. */
bool masks_left(const struct target *target, char *text, size_t size);

/* The signals that a thread waits for in rt_sigtimedwait, which gives them to the program. */
uint64_t masks_awaited(pid_t pid, pid_t tid);

/* Whether the call that a thread is in was given a mask for as long as it waits. */
bool masks_is_temporary(pid_t pid, pid_t tid);

#endif
