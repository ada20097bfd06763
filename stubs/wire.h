/*
 * wire.h - a remote system call on its way: what follows the frame_header of a FRAME_CALL and of
 * its reply.
 *
 * A channel is a stream socket between one thread of the program and its worker in the shadow. On
 * it travel FRAME_CALL frames: frame_header, struct wire_request, then for each argument in order
 * the bytes that the kernel reads (`in`), unpadded; and back: frame_header with FRAME_REPLY, struct
 * wire_reply, then for each argument the bytes that the kernel wrote (`out`).
 *
 * Which argument is a pointer to how many bytes in which direction is said by the call's row in
 * calls.def. wire_sizes() computes it where the scalar arguments tell; both ends use it, so that a
 * request that claims anything else is refused before it is executed. Kinds with their own rules:
 *
 *     PATH, STR   in: the string with its NUL
 *     OUTL(n)     out: at most what the socklen_t of argument n says; that is in and out 4
 *     IOVIN       in: all buffers one after the other
 *     IOVOUT      out: the same; the result fills them in order
 *     MSGIN       in: struct wire_msg, then name, control, data
 *     MSGOUT      in: struct wire_msg, the rooms; out: struct wire_msg, name, control, data
 *     INW, INOUTW in: the object, its size in its first uint32_t; INOUTW: out the same
 *     SEMSIN      in: the array; SEMSOUT: out. The program's side asks for the size (IPC_STAT)
 *     SIGSET(P)   nothing, and the argument is 0: the mask stays with the program
 *     BY(n)       what call_by() says (calls_by.h)
 *
 * A NULL pointer is argument 0 and has neither in nor out. Other pointers are 1 (their value is
 * nobody's business), or WIRE_BAD, with neither: where the program has no memory. The kernel gets
 * one that it finds bad, so that its own order decides which of several errors is told.
 *
 * Exactly once: requests of a channel are numbered from 1 (frame_header.sequence), one at a time.
 * The shadow keeps the reply to the last one until the next one comes; the same number again gets
 * the same reply again, without executing anything. FRAME_CHANNEL puts a new stream in place of one
 * that broke; bytes of a frame that was cut are forgotten on both sides.
 *
 * Inline, without libc. Paper: section 3.2 (remote system calls).
 */
#ifndef STUBS_WIRE_H
#define STUBS_WIRE_H

#include "stubs/calls.h"
#include "stubs/frame.h"

#define WIRE_DATA        262144u /* most bytes of in or of out in one call; longer ones are cut */
#define WIRE_MAX_PAYLOAD (2u * WIRE_DATA)
#define WIRE_PATH        4096u

#define WIRE_BAD 2u /* an argument, see above */

/* Arguments of timerfd_settime that the kernel has not: the program's CLOCK_MONOTONIC and
 * CLOCK_BOOTTIME when the request is sent, in nanoseconds, which need not be the shadow's. */
#define WIRE_MONOTONIC 4
#define WIRE_BOOTTIME  5

#define WIRE_CLAMPED                                                                               \
    1u /* request: the program asked for more: than WIRE_DATA bytes, than FD_SETSIZE descriptors   \
        */
#define WIRE_NOSTOP                                                                                \
    2u /* request: execute it although WIRE_STOP would be the answer: the program                  \
          ignores or blocks the signal */

struct wire_request {
    uint32_t number; /* of the kernel's call */
    uint32_t flags;  /* WIRE_CLAMPED... */
    uint64_t args[CALL_ARGS];
    uint32_t in[CALL_ARGS];  /* bytes that follow */
    uint32_t out[CALL_ARGS]; /* bytes of room */
};

#define WIRE_CANCELED 1u /* reply: FRAME_CANCEL ended it before it had any effect */
#define WIRE_WHOLE    2u /* to WIRE_CLAMPED: the kernel would not have stopped here, go on */
#define WIRE_STOP     4u /* not executed: background access to the terminal, `result` is -signal */
#define WIRE_WIDER                                                                                 \
    8u /* to WIRE_CLAMPED, not executed: select() looks at so many descriptors as `result` says */

struct wire_reply {
    int64_t result; /* the kernel's: >= 0 or -errno */
    uint32_t flags; /* WIRE_CANCELED... */
    uint32_t padding;
    uint32_t out[CALL_ARGS]; /* bytes that follow; never more than asked for */
};

/* In MSGIN and MSGOUT. */
struct wire_msg {
    uint32_t name, control, data; /* bytes */
    int32_t flags;                /* msg_flags, in replies */
};

/* FRAME_CHANNEL: a new stream (one descriptor comes along) for channel frame_wire.channel. */
struct wire_channel {
    uint32_t channel; /* from 1 */
    uint32_t padding;
    uint64_t sequence; /* of the request that the program will send first: the last one again, or
                          the next */
};

/* FRAME_CANCEL: ends the wait of a blocked call; no answer, the call itself is answered. */
struct wire_cancel {
    uint32_t channel;
    uint32_t padding;
    uint64_t sequence;
};

/* FRAME_TRACED: a call that was executed, for `gdb-hijack trace`. The first WIRE_SAMPLE bytes of
 * each in, then of each out, follow (paths: WIRE_PATH_SAMPLE). */
#define WIRE_SAMPLE      128u
#define WIRE_PATH_SAMPLE 1024u
struct wire_traced {
    uint64_t began; /* CLOCK_REALTIME, nanoseconds */
    uint64_t took;  /* nanoseconds */
    uint32_t channel;
    uint32_t lost; /* calls before this one that the tool was too slow for */
    struct wire_request request;
    struct wire_reply reply;
    uint32_t in[CALL_ARGS], out[CALL_ARGS]; /* bytes that follow here */
};

/* Bytes that the kernel reads and writes at the argument `arg` of a call with `args`, by the
 * scalars alone. 1, or 0 when the kind has a rule of its own. Sizes too large for a frame come out
 * as more than WIRE_DATA. */
static inline int wire_sizes(const struct call_arg *arg, const uint64_t *args, uint64_t *in,
                             uint64_t *out)
{
    uint64_t n = arg->other ? args[arg->other - 1] : 1;
    uint64_t bytes = n > WIRE_DATA ? WIRE_DATA + 1ULL : n * (uint64_t)arg->value;
    *in = *out = 0;
    switch (arg->kind) {
    case ARG_IN:
    case ARG_INS:
    case ARG_INA:
        *in = bytes;
        return 1;
    case ARG_OUT:
    case ARG_OUTS:
    case ARG_OUTA:
        *out = bytes;
        return 1;
    case ARG_INTIME:
        *in = bytes;
        return 1;
    case ARG_INH: /* the head is not counted */
        *in = n > WIRE_DATA ? WIRE_DATA + 1ULL : n + (uint64_t)arg->value;
        return 1;
    case ARG_OUTH:
        *out = n > WIRE_DATA ? WIRE_DATA + 1ULL : n + (uint64_t)arg->value;
        return 1;
    case ARG_FDSET: /* whole longs, as the kernel takes them */
        bytes = n > WIRE_DATA ? WIRE_DATA + 1ULL : (n + 63) / 64 * 8;
        *in = *out = bytes;
        return 1;
    case ARG_INOUTS:
    case ARG_INOUTA:
    case ARG_RELTIME:
    case ARG_LENP:
        *in = *out = bytes;
        return 1;
    case ARG_PATH:
    case ARG_STR:
    case ARG_OUTL:
    case ARG_IOVIN:
    case ARG_IOVOUT:
    case ARG_MSGIN:
    case ARG_MSGOUT:
    case ARG_INW:
    case ARG_INOUTW:
    case ARG_SEMSIN:
    case ARG_SEMSOUT:
    case ARG_BY:
        return 0;
    default: /* scalars, masks */
        return 1;
    }
}

/* Is the kind a pointer that travels? */
static inline int wire_is_pointer(uint8_t kind)
{
    return kind >= ARG_PATH && kind != ARG_SIGSET && kind != ARG_SIGSETP;
}

/* Checks the header of a frame on a channel, of which all is there. 0, or the -errno of
 * frame_error(). */
static inline int wire_check(const struct frame_header *h)
{
    if (h->magic != FRAME_MAGIC)
        return -EPROTO;
    if (h->version != FRAME_VERSION)
        return -EPROTONOSUPPORT;
    if ((h->type & ~FRAME_REPLY) != FRAME_CALL)
        return -ENOTSUP;
    return h->length <= WIRE_MAX_PAYLOAD ? 0 : -EMSGSIZE;
}

#endif
