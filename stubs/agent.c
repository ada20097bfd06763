/* agent.c - see agent.h: the parameters, and the checkpoint signal's action. The shadow's start is
 * in stubs/shadow.c. */
#include <errno.h>
#include <signal.h>

#include "stubs/agent.h"
#include "stubs/handler.h"
#include "stubs/owners.h"
#include "stubs/queue.h"
#include "stubs/raw.h"
#include "stubs/remote.h"
#include "stubs/thread.h"

HIJACK_EXPORT struct hijack_params hijack_params;

/* The kernel's struct sigaction: libc's has another layout and its sigaction() sets libc's own
 * restorer. */
struct kernel_action {
    uintptr_t handler;
    unsigned long flags;
    uintptr_t restorer;
    uint64_t mask;
};

#define KERNEL_SA_RESTORER 0x04000000

static long action(const struct kernel_action *set, struct kernel_action *old)
{
    return raw(SYS_rt_sigaction, hijack_params.signal, set, old, sizeof set->mask);
}

/* For when I/O is remote. In a restarted process it would be the starter's, so what is known
 * stays. */
static void note_executable(void)
{
    if (!*remote.executable)
        raw(SYS_readlink, "/proc/self/exe", remote.executable, sizeof remote.executable - 1);
}

HIJACK_EXPORT long hijack_start(void)
{
    const struct kernel_action ours = {
        .handler = (uintptr_t)handler_entry,
        .flags = SA_SIGINFO | SA_RESTART | KERNEL_SA_RESTORER,
        .restorer = (uintptr_t)handler_restorer,
        .mask = ~0ULL,
    };
    struct kernel_action old;
    long result = action(NULL, &old);
    if (result < 0)
        return result;
    note_executable();
    if (old.handler == ours.handler)
        return 0;
    if (old.handler != (uintptr_t)SIG_DFL)
        return -EBUSY;
    return action(&ours, NULL);
}

/* Ignoring a signal is what makes the kernel discard a pending one. */
HIJACK_EXPORT long hijack_stop(void)
{
    struct kernel_action none = {.handler = (uintptr_t)SIG_IGN}, old;
    long result = action(NULL, &old);
    owners_settle_rest();
    if (remote.mode == REMOTE_OFF)
        remote_thread_free(), queue_free();
    if (result < 0 || old.handler != (uintptr_t)handler_entry)
        return result;
    result = action(&none, NULL);
    none.handler = (uintptr_t)SIG_DFL;
    return result < 0 ? result : action(&none, NULL);
}
