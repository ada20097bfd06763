/* attempt.c - see attempt.h. */
#include <sys/select.h>

#include "stubs/attempt.h"
#include "stubs/handler.h"
#include "stubs/mem.h"
#include "stubs/raw.h"
#include "stubs/wire.h"

#define SECOND 1000000000

static uint64_t nanoseconds(const struct timespec *t)
{
    return (uint64_t)t->tv_sec * SECOND + (uint64_t)t->tv_nsec;
}

/* The argument that says for how long it may wait; -1: none that must be looked after. */
static int find_limit(const struct call *row)
{
    for (int i = 0; i < CALL_ARGS; i++)
        if (row->args[i].kind == ARG_MSEC || row->args[i].kind == ARG_INTIME)
            return i;
    return -1;
}

void attempt_begin(struct attempt *a, const struct call *row, const long *args)
{
    memcpy(a->args, args, sizeof a->args);
    a->index = find_limit(row);
    if (a->index < 0)
        return;
    const void *limit = (const void *)args[a->index];
    a->began = handler_time();
    a->in_struct = row->args[a->index].kind == ARG_INTIME;
    if (a->in_struct && (!limit || remote_read(&a->limit, limit, sizeof a->limit)))
        a->index = -1;
}

static void have_less(struct attempt *a, const long *args)
{
    if (a->index < 0 || (!a->in_struct && args[a->index] <= 0))
        return;
    uint64_t past = handler_time() - a->began;
    if (!a->in_struct) {
        past /= SECOND / 1000;
        a->args[a->index] = past < (uint64_t)args[a->index] ? args[a->index] - (long)past : 0;
        return;
    }
    uint64_t limit = nanoseconds(&a->limit), left = past < limit ? limit - past : 0;
    a->left = (struct timespec){(time_t)(left / SECOND), (long)(left % SECOND)};
    a->args[a->index] = (long)&a->left;
}

/* --- select(): of more descriptors than may be open --- */

/* The kernel looks at as many as the program's table has room for, and touches no more of the sets:
 * select(getdtablesize(), ...) is harmless with an ordinary fd_set. How large the table is knows
 * the shadow, when it is larger than that. */
void attempt_narrow(struct attempt *a, struct remote_call *call, long number)
{
    if ((number != SYS_select && number != SYS_pselect6) || (int)a->args[0] <= FD_SETSIZE)
        return;
    a->args[0] = FD_SETSIZE;
    call->flags |= WIRE_CLAMPED;
}

static void widen(struct attempt *a, struct remote_call *call, const long *args)
{
    if (!call->wider)
        return;
    a->args[0] = call->wider < (int)args[0] ? call->wider : (int)args[0];
    call->flags &= ~WIRE_CLAMPED;
    call->wider = 0;
}

void attempt_again(struct attempt *a, struct remote_call *call, const long *args)
{
    have_less(a, args);
    widen(a, call, args);
}

void attempt_without_us(struct attempt *a, long number, const long *args)
{
    if (a->index >= 0 && a->in_struct)
        a->args[a->index] = args[a->index];
    if (number == SYS_select || number == SYS_pselect6)
        a->args[0] = args[0];
}
