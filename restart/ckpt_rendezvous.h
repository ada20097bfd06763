/*
 * ckpt_rendezvous.h - all threads of the program meet in the handler of the checkpoint signal.
 *
 * The flow is: the leader calls rendezvous(), which opens the gate (stubs/handler.h), sends the
 * signal with the mark to every thread of /proc/self/task that has not got it, until all that
 * there are have come, and closes the gate; rendezvous_collect() has each collect its own state;
 * rendezvous_end() lets all go.
 *
 * A thread can be waiting, with all signals blocked, for a lock of libc's whose holder has come
 * already (one that ends, for the list of stacks). So when nobody comes any more, all are let go
 * and a timer raises the signal again shortly after: the pauses double, the patience is bounded.
 * A thread that has the signal blocked, or sleeps uninterruptibly, for all of that time stands in
 * the way; the refusal names it.
 *
 * Half a lock is no state to begin with under another thread id: libc's lock functions read that
 * and write it into the lock some instructions later. So when a thread is found within one, and
 * does not wait there, all are let go likewise, for a moment, until none is; but not for long, and
 * then the report says so.
 *
 * Invariants: threads that have come cannot end, and cannot make new ones; so when as many have
 * come as the process has, nobody is missing. A main thread that has ended (pthread_exit) counts
 * for as long as the process lives, and does not come: that is refused.
 */
#ifndef RESTART_CKPT_RENDEZVOUS_H
#define RESTART_CKPT_RENDEZVOUS_H

#include "stubs/handler.h"

/* 0: all are here. -EAGAIN: they are let go, and the signal will come again. Another -errno: said
 * in ckpt_why. `info`: the leader's signal. */
long rendezvous(const siginfo_t *info);

/* Does one of them stand in a lock function all the same? */
int rendezvous_stands_badly(void);

/* The main thread, if it is in the same call as when it had been switched out so many times; or
 * NULL. */
struct handler_thread *rendezvous_waits_since(uint64_t switches);

/* handler_collect() in every thread, the leader last. */
void rendezvous_collect(void);

/* Lets all go; they leave by themselves. */
void rendezvous_end(void);

/* The threads that have come; number 0 is the leader. */
unsigned rendezvous_count(void);
struct handler_thread *rendezvous_thread(unsigned i);

#endif
