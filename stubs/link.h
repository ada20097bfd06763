/*
 * link.h - the application's side of the conversation with its shadow, for the checkpoint handler.
 *
 * The flow is: link_open(), link_take_request(), [the image is written], with FRAME_LEAVE
 * link_give_descriptors() and, once the image has its final name, link_commit(); link_report(),
 * link_close().
 *
 * Freestanding (raw.h): in the signal handler only, all signals blocked, one thread. The one
 * descriptor it opens (link.fd, close-on-exec) is the caller's to leave out of the image. Every
 * wait ends after LINK_TIMEOUT seconds with -ETIMEDOUT; an end of the connection is -EPIPE. After
 * an error only link_close() may follow, except where said.
 */
#ifndef STUBS_LINK_H
#define STUBS_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "stubs/frame.h"

#define LINK_TIMEOUT 10

struct link {
    int fd; /* -1: closed */
    uint32_t epoch;
    uint64_t session;
    uint64_t sequence;
};

struct fds_table;

/* Connects to hijack_params.socket, as the application, with its key. 0; -ECONNREFUSED or -ENOENT:
 * there is no shadow; -EMFILE: no descriptor is free; another -errno. On error the link is closed.
 */
int link_open(struct link *link);

/* 1: *out is the pending request. 0: there is none (the signal was raised by hand: default path, go
 * on running). -ECANCELED: there was one, its tool has gone: take no checkpoint. Another -errno:
 * the link is of no more use. */
int link_take_request(struct link *link, struct frame_request *out);

/* Copies every descriptor that travels (fds_travels()) and the table to the shadow, which keeps
 * them only from link_commit() on: before, closing the link takes it all back. -ENOTSUP etc.: the
 * kernel would not send one. */
int link_give_descriptors(struct link *link, const struct fds_table *table);

/* The other way: asks for all descriptors of the table and puts each under its number, where
 * nothing of ours may stand. On -errno some stand there already: the caller closes all. */
int link_take_descriptors(struct link *link, const struct fds_table *table);

/* The image is safe and the program will end: from now on the shadow holds what was given. */
int link_commit(struct link *link);

/* Tells the shadow, and through it the waiting tool, how it went. A program that leaves must have
 * its answer before it ends, with the link open: one that closes it goes on. */
int link_report(struct link *link, const struct frame_report *report);

/* Any other question, with `count` descriptors: the answer's status, or -errno. */
int link_ask(struct link *link, unsigned type, const void *payload, size_t size, const int *fds,
             size_t count);
/* After -ETIMEDOUT: waits once more for the answer to the question, which was of that type. */
int link_wait(struct link *link, unsigned type);
const void *link_answer(size_t *size); /* of the last question, until the next */
/* A frame that has no answer. 0 or -errno. */
int link_tell(struct link *link, unsigned type, const void *payload, size_t size);

void link_close(struct link *link);

#endif
