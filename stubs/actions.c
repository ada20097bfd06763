/* actions.c - see actions.h. remote.blocking remembers which actions block SIGSYS. */
#include <errno.h>
#include <signal.h>

#include "stubs/actions.h"
#include "stubs/agent.h"
#include "stubs/raw.h"

#define SIGNALS 64
#define SYS     REMOTE_SIGNAL(SIGSYS)

/* The kernel's struct sigaction. */
struct kernel_action {
    uint64_t handler, flags, restorer, mask;
};

static long get(int signal, struct kernel_action *a)
{
    return raw(SYS_rt_sigaction, signal, NULL, a, sizeof a->mask);
}

static long set(int signal, const struct kernel_action *a)
{
    return raw(SYS_rt_sigaction, signal, a, NULL, sizeof a->mask);
}

static int is_ours(long signal)
{
    return signal == SIGSYS || signal == hijack_params.signal;
}

void actions_open(void)
{
    struct kernel_action a;
    remote.blocking = 0;
    for (int s = 1; s <= SIGNALS; s++) {
        if (is_ours(s) || get(s, &a) || !(a.mask & SYS))
            continue;
        remote.blocking |= REMOTE_SIGNAL(s);
        a.mask &= ~SYS;
        set(s, &a);
    }
}

void actions_restore(void)
{
    struct kernel_action a;
    for (int s = 1; s <= SIGNALS; s++)
        if (remote.blocking & REMOTE_SIGNAL(s) && get(s, &a) == 0) {
            a.mask |= SYS;
            set(s, &a);
        }
    remote.blocking = 0;
}

/* What the program sets for a signal of ours is taken and forgotten. */
static long call_of_ours(const struct remote_call *call)
{
    static const struct kernel_action none;
    return call->args[2] ? remote_write((void *)call->args[2], &none, sizeof none) : 0;
}

static void remember(long signal, int blocks)
{
    if (blocks)
        __atomic_or_fetch(&remote.blocking, REMOTE_SIGNAL(signal), __ATOMIC_RELAXED);
    else
        __atomic_and_fetch(&remote.blocking, ~REMOTE_SIGNAL(signal), __ATOMIC_RELAXED);
}

long actions_call(const struct remote_call *call)
{
    struct kernel_action new, old;
    long signal = call->args[0];
    if (call->args[3] != sizeof new.mask)
        return -EINVAL;
    if (call->args[1] && remote_read(&new, (const void *)call->args[1], sizeof new))
        return -EFAULT;
    if (is_ours(signal))
        return call_of_ours(call);
    int blocks = call->args[1] && new.mask &SYS;
    int blocked = signal >= 1 && signal <= SIGNALS && remote.blocking & REMOTE_SIGNAL(signal);
    new.mask = remote_program_mask(new.mask);
    long result = raw(SYS_rt_sigaction, signal, call->args[1] ? &new : NULL, &old, sizeof old.mask);
    if (result)
        return result;
    if (call->args[1])
        remember(signal, blocks);
    old.mask |= blocked ? SYS : 0;
    return call->args[2] ? remote_write((void *)call->args[2], &old, sizeof old) : 0;
}
