/*
 * queue.h - writing behind (behind.h): the program's end of the ring.
 *
 * The ring is made with the first write, and ended before a checkpoint: what is in it is at home
 * then, and errors that the program does not know yet are kept here.
 *
 * What is said to be for a quick write (quick.h) is called with signals unblocked; what it tells
 * can be otherwise right behind it.
 */
#ifndef STUBS_QUEUE_H
#define STUBS_QUEUE_H

#include "stubs/remote.h"
#include "stubs/ring.h"

/* Appends one write, its bytes straight from the program. 0, -EAGAIN where there is no ring to be
 * had, or -EFAULT. */
int queue_put(struct remote_call *call, const struct ring_record *record, const void *from);

/* For a quick write: the ring, if there is one and no write has failed that could be one of the
 * descriptor's; and: something was put into it. */
struct ring *queue_ready(int fd);
void queue_wake(struct ring *ring);
/* Before any call: a handler may have left a quick write between the two. */
void queue_nudge(void);

/* An earlier write of the descriptor that failed: its error, once; 0: none that is known. */
int queue_failure(struct remote_call *call, int fd);

/* All is at home when this returns. */
void queue_drain(struct remote_call *call);

/* ... and the ring is no more. */
void queue_end(struct remote_call *call);

void queue_forget_failures(void);

/* Gives its memory back: there is no ring, and the program is in none of our code. */
void queue_free(void);

#endif
