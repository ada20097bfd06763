/*
 * channel.h - one thread's stream of remote calls to its worker in the shadow (stubs/wire.h).
 *
 * The flow is: channel_call() for each request of the thread (thread.h). It connects when there is
 * no connection - the first time, after a restart, after the connection broke - and goes on where
 * the last request was, so that each is executed exactly once.
 *
 * A shadow that does not answer is waited for, as the kernel waits for a file server: only a signal
 * that ends or stops the program is let through meanwhile. -EIO comes when there is none any more.
 *
 * Freestanding; all signals are blocked. After a restart channel_forget() drops descriptors that
 * are not ours any more.
 */
#ifndef STUBS_CHANNEL_H
#define STUBS_CHANNEL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "stubs/link.h"
#include "stubs/wire.h"

#define CHANNEL_PARTS 1016 /* of a request or reply: with the header no more than UIO_MAXIOV */

/* A request and where its reply goes. */
struct channel_call {
    struct wire_request request;
    struct iovec in[CHANNEL_PARTS]; /* what follows the request, as the program has it */
    size_t in_count;
    struct iovec out[CHANNEL_PARTS]; /* direct: where the reply's bytes go */
    size_t out_count;
    int direct; /* 1: `out` takes all that follows the reply; 0: the channel's `data` */
};

/* A reply as it comes in. */
struct channel_reply {
    struct frame_header header;
    struct wire_reply reply;
};

struct channel {
    int fd;            /* the stream; -1: none */
    int signals;       /* signalfd(2): readable when a signal waits for the program; -1: none */
    uint64_t watched;  /* mask of `signals` */
    uint32_t number;   /* from 1 */
    uint32_t spins;    /* how long to wait awake: answers came quickly of late */
    uint64_t sequence; /* of the last request */
    struct channel_call call;
    struct channel_reply reply;
    struct iovec parts[CHANNEL_PARTS + 2]; /* of the frame on its way */
    size_t received;                       /* bytes of the reply, all in all */
    unsigned char data[WIRE_MAX_PAYLOAD]; /* what follows it: reply.out[] bytes for each argument */
};

/* Sends c->call and waits for the reply, into c->reply and c->data. While it waits, signals outside
 * `mask` cancel the call (then reply.flags may have WIRE_CANCELED). 0 when there is a reply, else
 * -errno: -EFAULT, a bad pointer among the parts; -EIO, there is no shadow any more. */
int channel_call(struct channel *c, uint64_t mask);

/* Asks the shadow's door (FRAME_QUIT...): the answer's status, or -errno; -ETIMEDOUT after
 * LINK_TIMEOUT seconds. One connection serves all threads; when it breaks the question is put again
 * on another. */
long channel_ask(unsigned type, const void *payload, size_t size);
/* With a descriptor. */
long channel_ask_with(unsigned type, const void *payload, size_t size, const int *fd);

/* Closes the descriptors: remote I/O ends. */
void channel_close(struct channel *c);
/* Forgets them: they were another process's. channel_forget_line() likewise, for the door. */
void channel_forget(struct channel *c);
void channel_close_line(void);
void channel_forget_line(void);

#endif
