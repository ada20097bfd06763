/* actions.c - see actions.h. remote.blocking remembers which actions block SIGSYS. */
#include <errno.h>
#include <signal.h>

#include "stubs/actions.h"
#include "stubs/actions_layout.h"
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

/* Only what is another: setting an action that ignores a signal drops it where it is pending. */
static void change(int signal, const struct kernel_action *from, const struct kernel_action *to)
{
    if (from->handler != to->handler || from->mask != to->mask)
        raw(SYS_rt_sigaction, signal, to, NULL, sizeof to->mask);
}

static int is_ours(int signal)
{
    return signal == SIGSYS || signal == hijack_params.signal;
}

/* The program's, of the actions that lead to actions_relay(). */
uint64_t actions_handlers[SIGNALS + 1];
_Static_assert(offsetof(struct remote, pid) == ACTIONS_REMOTE_PID, "as the assembler has it");

static int is_relayed(const struct kernel_action *a)
{
    return a->handler == (uint64_t)actions_relay;
}

static void relay(int signal, struct kernel_action *a)
{
    if (!(a->flags & SA_SIGINFO) || a->handler <= (uint64_t)SIG_IGN || is_relayed(a))
        return;
    actions_handlers[signal] = a->handler;
    a->handler = (uint64_t)actions_relay;
}

void actions_open(void)
{
    struct kernel_action was, now;
    remote.blocking = 0;
    for (int s = 1; s <= SIGNALS; s++) {
        if (is_ours(s) || get(s, &was))
            continue;
        now = was;
        remote.blocking |= was.mask & SYS ? REMOTE_SIGNAL(s) : 0;
        now.mask &= ~SYS;
        relay(s, &now);
        change(s, &was, &now);
    }
}

void actions_restore(void)
{
    struct kernel_action was, now;
    for (int s = 1; s <= SIGNALS; s++) {
        if (is_ours(s) || get(s, &was))
            continue;
        now = was;
        now.mask |= remote.blocking & REMOTE_SIGNAL(s) ? SYS : 0;
        if (is_relayed(&was))
            now.handler = actions_handlers[s];
        change(s, &was, &now);
    }
    remote.blocking = 0;
}

/* What the program sets for a signal of ours is taken and forgotten. */
static long call_of_ours(const struct remote_call *call)
{
    static const struct kernel_action none;
    return call->args[2] ? remote_write((void *)call->args[2], &none, sizeof none) : 0;
}

static void remember(int signal, int blocks)
{
    if (blocks)
        __atomic_or_fetch(&remote.blocking, REMOTE_SIGNAL(signal), __ATOMIC_RELAXED);
    else
        __atomic_and_fetch(&remote.blocking, ~REMOTE_SIGNAL(signal), __ATOMIC_RELAXED);
}

long actions_call(const struct remote_call *call)
{
    struct kernel_action new, old;
    int signal = (int)call->args[0]; /* the rest of the register may be anything */
    if (call->args[3] != sizeof new.mask)
        return -EINVAL;
    if (call->args[1] && remote_read(&new, (const void *)call->args[1], sizeof new))
        return -EFAULT;
    if (is_ours(signal))
        return call_of_ours(call);
    if (signal < 1 || signal > SIGNALS)
        return -EINVAL;
    int blocks = call->args[1] && new.mask &SYS;
    int blocked = remote.blocking & REMOTE_SIGNAL(signal) ? 1 : 0;
    uint64_t handler = actions_handlers[signal];
    new.mask = remote_program_mask(new.mask);
    if (call->args[1])
        relay(signal, &new);
    long result = raw(SYS_rt_sigaction, signal, call->args[1] ? &new : NULL, &old, sizeof old.mask);
    if (result) {
        actions_handlers[signal] = handler;
        return result;
    }
    if (call->args[1])
        remember(signal, blocks);
    old.mask |= blocked ? SYS : 0;
    if (is_relayed(&old))
        old.handler = handler;
    return call->args[2] ? remote_write((void *)call->args[2], &old, sizeof old) : 0;
}
