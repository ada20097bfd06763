/* emulate.c - see emulate.h: the table, and the calls about who and where the program is. */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "stubs/actions.h"
#include "stubs/agent.h"
#include "stubs/behind.h"
#include "stubs/channel.h"
#include "stubs/emulate.h"
#include "stubs/mem.h"
#include "stubs/raw.h"
#include "stubs/shared.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59 /* linux/prctl.h */
#endif

#undef EMULATION_EMULATE
#define EMULATION_EMULATE(name) [__NR_##name] = emulate_##name,
static emulation *const emulations[] = {
#define SYSCALL(name, how, ...) EMULATION_##how(name)
#include "stubs/calls.def"
};

emulation *emulate_find(long number)
{
    return number >= 0 && number < (long)(sizeof emulations / sizeof *emulations)
               ? emulations[number]
               : NULL;
}

/* --- identity --- */

long emulate_getpid(struct remote_call *call)
{
    (void)call;
    return remote.pid;
}

/* Of the first thread: the process id. */
long emulate_gettid(struct remote_call *call)
{
    (void)call;
    long tid = raw(SYS_gettid);
    return tid == raw(SYS_getpid) ? remote.pid : tid;
}

long emulate_getppid(struct remote_call *call)
{
    (void)call;
    return remote.mode == REMOTE_HOME ? raw(SYS_getppid) : remote.parent;
}

/* --- process groups and sessions: while the program is at home, it is itself what its shell knows
 * ---
 */

static long ask_group(struct remote_call *call)
{
    return remote.mode == REMOTE_HOME ? remote_local(call, call->number, call->args)
                                      : remote_forward(call, call->number, call->args);
}

long emulate_getpgid(struct remote_call *call)
{
    return ask_group(call);
}

long emulate_getpgrp(struct remote_call *call)
{
    return ask_group(call);
}

long emulate_getsid(struct remote_call *call)
{
    return ask_group(call);
}

/* The shadow follows, as far as it may: it talks to the terminal. */
long emulate_setsid(struct remote_call *call)
{
    long result = remote.mode == REMOTE_HOME ? remote_local(call, call->number, call->args) : 0;
    if (result < 0)
        return result;
    long followed = remote_forward(call, call->number, call->args);
    return remote.mode == REMOTE_HOME ? result : followed;
}

long emulate_setpgid(struct remote_call *call)
{
    if (remote.mode != REMOTE_HOME)
        return remote_forward(call, call->number, call->args);
    long result = remote_local(call, call->number, call->args);
    const long follow[CALL_ARGS] = {0, raw(SYS_getpgrp)};
    if (!result)
        remote_forward(call, call->number, follow);
    return result;
}

/* --- what the program calls itself --- */

long emulate_here(long id)
{
    return id == remote.pid ? raw(SYS_getpid) : id;
}

int emulate_is_own(long pid)
{
    return pid == remote.pid || pid == 0 || pid == -remote.pid;
}

/* --- the signal mask and actions: SIGSYS is the net's, one signal the checkpoint's --- */

long emulate_rt_sigprocmask(struct remote_call *call)
{
    uint64_t set, old = *call->mask;
    const void *from = (const void *)call->args[1];
    if (call->args[3] != sizeof set)
        return -EINVAL;
    if (from && remote_read(&set, from, sizeof set))
        return -EFAULT;
    if (from && call->args[0] == SIG_BLOCK)
        set = old | set;
    else if (from && call->args[0] == SIG_UNBLOCK)
        set = old & ~set;
    else if (from && call->args[0] != SIG_SETMASK)
        return -EINVAL;
    if (call->args[2] && remote_write((void *)call->args[2], &old, sizeof old))
        return -EFAULT;
    if (from)
        *call->mask = remote_program_mask(set);
    return 0;
}

long emulate_rt_sigaction(struct remote_call *call)
{
    return actions_call(call);
}

/* Never called: the net leaves through the program's own frame (net.h). */
long emulate_rt_sigreturn(struct remote_call *call)
{
    (void)call;
    return -ENOSYS;
}

/* The kernel itself swaps the masks; the other one is in effect until a handler has run. */
long emulate_rt_sigsuspend(struct remote_call *call)
{
    uint64_t mask;
    if (call->args[1] != sizeof mask)
        return -EINVAL;
    if (remote_read(&mask, (const void *)call->args[0], sizeof mask))
        return -EFAULT;
    mask = remote_program_mask(mask);
    long original = call->args[0]; /* for when the call is issued again by the program */
    call->args[0] = (long)&mask;
    long result = remote_local(call, SYS_rt_sigsuspend, call->args);
    call->args[0] = original;
    return result;
}

/* The way out of the net is rt_sigreturn, which sets the alternate stack from the frame. */
long emulate_sigaltstack(struct remote_call *call)
{
    long result = raw(SYS_sigaltstack, call->args[0], call->args[1]);
    if (!result && call->args[0] && call->frame)
        raw(SYS_sigaltstack, NULL, &call->frame->uc_stack);
    return result;
}

/* --- settings of the process --- */

/* Syscall user dispatch is the net's, a filter would stand in its way. */
long emulate_prctl(struct remote_call *call)
{
    long option = call->args[0];
    if (option == PR_SET_SYSCALL_USER_DISPATCH || option == PR_SET_SECCOMP)
        return -EINVAL;
    return remote_local(call, call->number, call->args);
}

/* --- limits: descriptors and file sizes are limited where the files are --- */

/* Both get and set; what is set holds for the time after, too, when I/O is here again. */
static long limit_files(struct remote_call *call, const void *set, void *old)
{
    const long args[CALL_ARGS] = {0, RLIMIT_NOFILE, (long)set, (long)old};
    long result = remote_forward(call, SYS_prlimit64, args);
    if (!result && set)
        remote_read(&remote.files, set, sizeof remote.files);
    return result;
}

long emulate_prlimit64(struct remote_call *call)
{
    long args[CALL_ARGS];
    int own = emulate_is_own(call->args[0]);
    if (own && call->args[1] == RLIMIT_NOFILE)
        return limit_files(call, (const void *)call->args[2], (void *)call->args[3]);
    if (!own && remote.mode == REMOTE_AWAY)
        return remote_forward(call, call->number, call->args);
    memcpy(args, call->args, sizeof args);
    args[0] = emulate_here(args[0]);
    long result = remote_local(call, call->number, args);
    if (result || !args[2] || args[1] != RLIMIT_FSIZE || !own)
        return result;
    args[0] = args[3] = 0;
    return remote_forward(call, call->number, args);
}

long emulate_setrlimit(struct remote_call *call)
{
    if (call->args[0] == RLIMIT_NOFILE)
        return limit_files(call, (const void *)call->args[1], NULL);
    long result = remote_local(call, call->number, call->args);
    if (result || call->args[0] != RLIMIT_FSIZE)
        return result;
    return remote_forward(call, call->number, call->args);
}

long emulate_getrlimit(struct remote_call *call)
{
    return call->args[0] == RLIMIT_NOFILE ? limit_files(call, NULL, (void *)call->args[1])
                                          : remote_local(call, call->number, call->args);
}

/* --- the end --- */

void emulate_quit(struct remote_call *call)
{
    if (remote.mode == REMOTE_OFF)
        return;
    shared_write_back(call, 0, SIZE_MAX);
    behind_settle(call);
    channel_ask(FRAME_QUIT, NULL, 0);
}

long emulate_exit_group(struct remote_call *call)
{
    emulate_quit(call);
    return raw(SYS_exit_group, call->args[0]);
}
