/*
 * decode.h - a remote call (stubs/wire.h) as it came, checked against its row in calls.def, and
 * laid out for the kernel; and what the kernel did, laid out for the reply.
 *
 * The flow is: decode_check(); where it accepts and plan.refused is 0, decode_lay() with an arena
 * of DECODE_ARENA bytes; [the call is executed with plan.args]; decode_reply().
 *
 * Nothing here executes anything or knows a descriptor, so that it can be fuzzed. Every byte count
 * that came is compared with what the row allows before it is used; a request that claims anything
 * else is refused whole (-EBADMSG). Thread-safe: all state is in the plan.
 */
#ifndef SHADOW_DECODE_H
#define SHADOW_DECODE_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "stubs/wire.h"

#define DECODE_ALIGN  16
#define DECODE_ARENA  (WIRE_MAX_PAYLOAD + 4096u)
#define DECODE_PIECES (2 + 3 * CALL_ARGS) /* header, struct wire_reply, a message has three */

struct plan {
    const struct call *call; /* its row; NULL: none */
    int refused;             /* the result of a call that is not executed: -ENOSYS, -EOPNOTSUPP */
    struct wire_request request;
    struct call_arg kinds[CALL_ARGS]; /* of the row, BY resolved */
    char *in[CALL_ARGS];              /* in the payload */
    char *out[CALL_ARGS];             /* in the arena; objects read and written are there, too */
    size_t used;                      /* of the arena */
    uint64_t args[CALL_ARGS];         /* for the kernel */
    struct iovec vector;              /* of IOVIN..., MSGIN... */
    struct msghdr message;
    struct wire_msg received;
};

/* The row of a call, NULL when there is none. */
const struct call *decode_row(uint32_t number);

/* Checks the payload of a FRAME_CALL, which must stay where it is until the call is over. 0 or
 * -EBADMSG. */
int decode_check(struct plan *p, char *payload, size_t size);

/* Is there something at the argument, which is a pointer? Not where it is NULL or WIRE_BAD. */
static inline int decode_has(const struct plan *p, int i)
{
    return p->request.args[i] == 1;
}

/* Lays the arguments out; `arena` is aligned to DECODE_ALIGN. */
void decode_lay(struct plan *p, char *arena);

/* The reply to a call that returned `result`: fills in *reply and `pieces` (room for
 * DECODE_PIECES - 2) with what the kernel wrote. Returns how many pieces. */
int decode_reply(struct plan *p, int64_t result, struct wire_reply *reply, struct iovec *pieces);

#endif
