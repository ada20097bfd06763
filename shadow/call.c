/* call.c - executes one call, so that it can be canceled: see execute.h and call.h. */
#include <sys/stat.h>
#include <unistd.h>

#include "shadow/call.h"

/* arch/ARCH/execute_call.S: the kernel's result; -EINTR without having begun when *cancel is set.
 */
long execute_call(volatile int *cancel, long number, const uint64_t args[CALL_ARGS]);

/* Only a cancellation ends a wait: what else interrupts (glibc's signal for the set*id family) the
 * program knows nothing of. */
static int64_t run(struct channel *c, uint32_t *flags)
{
    struct plan *p = &c->plan;
    int64_t result;
    do
        result = execute_call(&c->cancel, p->request.number, p->args);
    while (result == -EINTR && !c->cancel);
    if (result == -EINTR)
        *flags |= WIRE_CANCELED;
    return result;
}

static int64_t run_guarded(struct channel *c, uint32_t *flags)
{
    int64_t result;
    if (call_set_identity(&c->plan, &result) || call_limits(&c->plan, &result))
        return result;
    if (!call_names_number(&c->plan))
        return run(c, flags);
    pthread_rwlock_rdlock(&executor.numbers);
    result = run(c, flags);
    pthread_rwlock_unlock(&executor.numbers);
    return result;
}

static uint32_t tell_regular(const struct plan *p)
{
    struct stat st;
    return p->request.flags & WIRE_CLAMPED && p->kinds[0].kind == ARG_FD &&
                   fstat((int)p->request.args[0], &st) == 0 && S_ISREG(st.st_mode)
               ? WIRE_REGULAR
               : 0;
}

int64_t call_execute(struct channel *c, uint32_t *flags)
{
    struct plan *p = &c->plan;
    bool may_stop = executor.terminal && !(p->request.flags & WIRE_NOSTOP);
    int stop = may_stop ? call_stops_before(p) : 0;
    int64_t result = stop ? 0 : call_hide(p);
    if (!stop && !result)
        result = call_translate(p);
    if (!stop && !result) {
        result = call_translate_result(p, run_guarded(c, flags));
        result = call_hide_listed(p, result);
        stop = may_stop ? call_stops_after(p, result) : 0;
        *flags |= tell_regular(p);
    }
    call_unhide(p);
    if (stop)
        *flags |= WIRE_STOP;
    return stop ? -stop : result;
}
