/*
 * encode.h - a call of the program's as a request, and its reply as what the kernel would have left
 * in the program's memory. By the call's row in calls.def alone; the rules are in wire.h.
 *
 * Buffers are not copied: the request lists where they lie. Strings and the structs that say where
 * buffers are (iovec, msghdr, socklen_t) are read once, into struct encode.
 */
#ifndef STUBS_ENCODE_H
#define STUBS_ENCODE_H

#include "stubs/channel.h"
#include "stubs/pointer.h"
#include "stubs/remote.h"

#define ENCODE_STRINGS 4                   /* most in one call */
#define ENCODE_IOV     (CHANNEL_PARTS - 8) /* longer lists are cut: a short transfer */

/* What of a call in its encoded form is not the program's. One for each channel. */
struct encode {
    char strings[ENCODE_STRINGS][WIRE_PATH];
    unsigned used;
    struct iovec iov[ENCODE_IOV]; /* of the IOV or MSG argument */
    size_t iov_count;
    struct msghdr msg;     /* of the MSG argument */
    struct wire_msg rooms; /* what the shadow is told of it */
    uint32_t length;       /* at the LENP */
    uint64_t semaphores;   /* of the set whose SEMS the argument is; set by emulate_semctl() */
    uint8_t kinds[CALL_ARGS];
    size_t asked; /* bytes of data in this frame */
    size_t skip;  /* of an IOV's or MSG's data: was in the frames before; set by the caller */
    int probe;    /* look at what is to be sent: it could not be; set by the caller */
    struct pointer_pages pages;
};

/* Fills c->call for kernel call `number`. 0, or -ENAMETOOLONG, -EINVAL, -ENOSYS (a pointer that
 * cannot travel)...: the result of the call then. A bad pointer travels as such (WIRE_BAD). */
int encode_request(struct channel *c, struct encode *e, const struct call *row, long number,
                   const long *args);

/* Puts what came into the program's memory and returns the call's result. */
long encode_finish(struct channel *c, const struct encode *e, const long *args);

#endif
