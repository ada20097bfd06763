/*
 * emulate_signal.c - the program sends signals: to itself here, to others at home.
 *
 * The kernel names the sender by the number that the process has here, which need not be the one
 * that the program knows itself by; and by the user here. So what a thread sends to itself, or to
 * its process, is queued with the sender as the program knows it: the kernel lets a thread tell of
 * itself what it likes (rt_sigqueueinfo(2)), and of another only what nobody takes for a kill. What
 * one thread sends another by tgkill is put right on the way to its handler (actions.h).
 */
#include <errno.h>
#include <signal.h>

#include "stubs/agent.h"
#include "stubs/emulate.h"
#include "stubs/mem.h"
#include "stubs/raw.h"

#define LAST_UNQUEUED 31 /* of these signals no more than one is pending */

static long user(struct remote_call *call)
{
    const long none[CALL_ARGS] = {0};
    long at_home = remote.mode == REMOTE_AWAY ? remote_forward(call, SYS_getuid, none) : -ENOTSUP;
    return at_home < 0 ? raw(SYS_getuid) : at_home;
}

static siginfo_t from_itself(struct remote_call *call, int signal, int code)
{
    siginfo_t info = {.si_signo = signal, .si_code = code};
    info.si_pid = remote.pid;
    info.si_uid = (uid_t)user(call);
    return info;
}

/* The thread's own number names its process, too: of another the kernel would not take it. */
static long to_process(struct remote_call *call, int signal)
{
    siginfo_t info = from_itself(call, signal, SI_USER);
    return raw(SYS_rt_sigqueueinfo, raw(SYS_gettid), signal, &info);
}

static long to_thread(struct remote_call *call, int signal, int code)
{
    siginfo_t info = from_itself(call, signal, code);
    return raw(SYS_rt_tgsigqueueinfo, hijack_params.pid, raw(SYS_gettid), signal, &info);
}

void remote_raise(struct remote_call *call, int signal)
{
    to_thread(call, signal, SI_USER);
}

static int is_renamed(void)
{
    return remote.mode == REMOTE_AWAY ||
           (remote.mode == REMOTE_HOME && remote.pid != hijack_params.pid);
}

/* The group has the signal, the program itself with a sender that it does not know. */
static void rename_sender(int signal)
{
    static const struct timespec now;
    siginfo_t info;
    if (signal <= 0 || signal > LAST_UNQUEUED)
        return;
    uint64_t set = REMOTE_SIGNAL(signal);
    if (raw(SYS_rt_sigtimedwait, &set, &info, &now, sizeof set) != signal)
        return;
    if (info.si_code == SI_USER && info.si_pid == hijack_params.pid)
        info.si_pid = remote.pid;
    raw(SYS_rt_sigqueueinfo, raw(SYS_gettid), signal, &info);
}

/* Here when the program means itself or its group, or is at home; else to the processes at home. */
static long to_processes(struct remote_call *call)
{
    long args[CALL_ARGS];
    int pid = (int)call->args[0]; /* the rest of the register may be anything */
    if (remote.mode == REMOTE_AWAY && !emulate_is_own(pid))
        return remote_forward(call, call->number, call->args);
    memcpy(args, call->args, sizeof args);
    args[0] = pid == -remote.pid ? 0 : emulate_here(pid);
    return remote_local(call, call->number, args);
}

long emulate_kill(struct remote_call *call)
{
    int pid = (int)call->args[0], signal = (int)call->args[1];
    if (is_renamed() && pid == remote.pid)
        return to_process(call, signal);
    long result = to_processes(call);
    if (!result && is_renamed() && pid <= 0)
        rename_sender(signal);
    return result;
}

long emulate_rt_sigqueueinfo(struct remote_call *call)
{
    return to_processes(call);
}

/* Threads of its own only; others' are known by nobody. */
static long signal_thread(struct remote_call *call, int tid_index)
{
    long args[CALL_ARGS];
    memcpy(args, call->args, sizeof args);
    for (int i = 0; i <= tid_index; i++)
        args[i] = emulate_here(args[i]);
    return remote_local(call, call->number, args);
}

static int means_itself(long tid)
{
    return is_renamed() && emulate_here(tid) == raw(SYS_gettid);
}

long emulate_tkill(struct remote_call *call)
{
    return means_itself((int)call->args[0]) ? to_thread(call, (int)call->args[1], SI_TKILL)
                                            : signal_thread(call, 0);
}

long emulate_tgkill(struct remote_call *call)
{
    return means_itself((int)call->args[1]) && (int)call->args[0] == remote.pid
               ? to_thread(call, (int)call->args[2], SI_TKILL)
               : signal_thread(call, 1);
}

long emulate_rt_tgsigqueueinfo(struct remote_call *call)
{
    return signal_thread(call, 1);
}
