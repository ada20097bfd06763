/* remote.c - see remote.h. */
#include <time.h>

#include "stubs/agent.h"
#include "stubs/attempt.h"
#include "stubs/behind.h"
#include "stubs/emulate.h"
#include "stubs/handler.h"
#include "stubs/local.h"
#include "stubs/mem.h"
#include "stubs/net.h"
#include "stubs/paths.h"
#include "stubs/queue.h"
#include "stubs/quick.h"
#include "stubs/raw.h"
#include "stubs/readable.h"
#include "stubs/remote.h"
#include "stubs/shared.h"
#include "stubs/thread.h"

#define PAGE         4096
#define KERNEL_FLAGS 1 /* index of sa_flags in the kernel's struct sigaction */

struct remote remote;

static const struct call calls[] = {
#define SYSCALL CALL_ROW_BARE
#include "stubs/calls.def"
};
#define CALLS ((long)(sizeof calls / sizeof *calls))

/* --- the program's memory --- */

static int transfer(long direction, void *ours, const void *theirs, size_t size)
{
    struct iovec here = {ours, size}, there = {(void *)theirs, size};
    if (!size)
        return 0;
    return raw(direction, hijack_params.pid, &here, 1, &there, 1, 0) == (long)size ? 0 : -EFAULT;
}

int remote_read(void *to, const void *from, size_t size)
{
    return transfer(SYS_process_vm_readv, to, from, size);
}

int remote_write(void *to, const void *from, size_t size)
{
    return transfer(SYS_process_vm_writev, (void *)from, to, size);
}

/* Page by page: what lies behind the string may not be there. */
long remote_string(char *to, const char *from, size_t size)
{
    for (size_t done = 0; done < size;) {
        size_t part = PAGE - ((uintptr_t)(from + done) & (PAGE - 1));
        if (part > size - done)
            part = size - done;
        if (remote_read(to + done, from + done, part))
            return -EFAULT;
        for (size_t end = done + part; done < end; done++)
            if (!to[done])
                return (long)done + 1;
    }
    return -ENAMETOOLONG;
}

/* --- signals --- */

uint64_t remote_program_mask(uint64_t mask)
{
    return mask & ~(REMOTE_SIGNAL(SIGSYS) | REMOTE_SIGNAL(SIGKILL) | REMOTE_SIGNAL(SIGSTOP) |
                    REMOTE_SIGNAL(hijack_params.signal));
}

static void set_mask(uint64_t mask)
{
    raw(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask);
}

/* Has the signal a handler of the program's? */
static int is_handled(int signal, int *restarts)
{
    uint64_t action[4];
    if (signal == hijack_params.signal || signal == SIGSYS ||
        raw(SYS_rt_sigaction, signal, NULL, action, sizeof(uint64_t)) != 0)
        return 0;
    *restarts = (action[KERNEL_FLAGS] & SA_RESTART) != 0;
    return action[0] != (uintptr_t)SIG_DFL && action[0] != (uintptr_t)SIG_IGN;
}

/* The first of the pending signals outside `mask` that has a handler of the program's, or 0. */
static int pending_handled(uint64_t mask, int *restarts)
{
    uint64_t pending = 0;
    raw(SYS_rt_sigpending, &pending, sizeof pending);
    for (int s = 1; s <= 64; s++)
        if (pending & ~mask & REMOTE_SIGNAL(s) && is_handled(s, restarts))
            return s;
    return 0;
}

/* Lets the signals outside `mask` be delivered that are pending. */
static void deliver(uint64_t mask)
{
    set_mask(mask);
    set_mask(REMOTE_ALL);
}

static int ends_by_default(int signal)
{
    uint64_t action[4];
    if (signal == SIGCHLD || signal == SIGCONT || signal == SIGURG || signal == SIGWINCH)
        return 0;
    return raw(SYS_rt_sigaction, signal, NULL, action, sizeof(uint64_t)) == 0 &&
           action[0] == (uintptr_t)SIG_DFL;
}

void remote_let_end(uint64_t mask)
{
    uint64_t pending = 0, let = 0;
    raw(SYS_rt_sigpending, &pending, sizeof pending);
    for (int s = 1; s <= 64; s++)
        if (pending & ~mask & REMOTE_SIGNAL(s) && ends_by_default(s))
            let |= REMOTE_SIGNAL(s);
    if (!let)
        return;
    set_mask(~let);
    set_mask(REMOTE_ALL);
}

/* I/O has come home while the call waited: the program itself goes on with it. */
static long issue_again(struct remote_call *call, const long *args, uint64_t elapsed)
{
    if (args != call->args)
        memcpy(call->args, args, sizeof call->args);
    call->elapsed = elapsed;
    call->again = 1;
    return -EINTR;
}

/* --- calls made here --- */

static int may_wait(long number)
{
    switch (number) {
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
    case SYS_futex:
    case SYS_pause:
    case SYS_rt_sigtimedwait:
    case SYS_wait4:
    case SYS_waitid:
    case SYS_restart_syscall:
        return 1;
    }
    return remote.mode == REMOTE_OFF;
}

/* Where the program names itself, its real number is put. */
static void localize(long number, const long *args, long *real)
{
    memcpy(real, args, CALL_ARGS * sizeof *real);
    for (int i = 0; i < CALL_ARGS && remote.mode != REMOTE_OFF && number < CALLS; i++)
        if (calls[number].args[i].kind == ARG_PID && args[i] == remote.pid)
            real[i] = raw(SYS_getpid);
}

/* Signals come in meanwhile, whose handlers may make calls that wait, too; or never return. */
static long wait_here(struct remote_call *call, long number, const long *args)
{
    ucontext_t *outer = remote_thread_waits(call->frame);
    set_mask(*call->mask);
    long result = net_syscall(number, args);
    set_mask(REMOTE_ALL);
    remote_thread_waits(outer);
    return result;
}

long remote_local(struct remote_call *call, long number, const long *args)
{
    long real[CALL_ARGS], result;
    int waits = may_wait(number), whole = args == call->args && number == call->number;
    uint64_t began = waits ? handler_time() : 0;
    localize(number, args, real);
    do {
        result = waits ? wait_here(call, number, real) : net_syscall(number, real);
    } while (result == NET_BROKEN_OFF && !whole);
    if (result == NET_BROKEN_OFF)
        return issue_again(call, args, handler_time() - began);
    return result;
}

/* --- calls made at home --- */

/* I/O has come home while the call waited. The program's own `syscall` must not get an argument
 * that is on our stack. */
static long go_on_here(struct remote_call *call, struct attempt *a, long number, const long *args)
{
    if (args != call->args || number != call->number)
        return remote_local(call, number, a->args);
    attempt_without_us(a, number, args);
    return issue_again(call, a->args, 0);
}

static int read_mask(uint64_t *mask, const void *at, uint64_t size)
{
    if (!at)
        return 0;
    if (size != sizeof *mask)
        return -EINVAL;
    return remote_read(mask, at, sizeof *mask);
}

/* The mask in effect while the call waits. */
static int wait_mask(const struct remote_call *call, const struct call *row, const long *args,
                     uint64_t *mask)
{
    uint64_t pair[2] = {0};
    int error = 0;
    *mask = *call->mask;
    for (int i = 0; i < CALL_ARGS && !error; i++) {
        if (row->args[i].kind == ARG_SIGSETP && args[i]) {
            error = remote_read(pair, (const void *)args[i], sizeof pair);
            error = error ? error : read_mask(mask, (const void *)pair[0], pair[1]);
        } else if (row->args[i].kind == ARG_SIGSET) {
            error = read_mask(mask, (const void *)args[i], (uint64_t)args[row->args[i].other - 1]);
        }
    }
    *mask = remote_program_mask(*mask);
    return error;
}

/* --- signals that go home: the program's signalfds are there --- */

/* Hands on what is pending for them. Called when no call is under way. */
static void pass_signals(struct remote_call *call)
{
    static const struct timespec now;
    struct remote_thread *t = remote_thread();
    uint64_t set = remote.signalfds & *call->mask;
    long signal;
    while (t && set && !call->own &&
           (signal = raw(SYS_rt_sigtimedwait, &set, &t->info, &now, sizeof set)) > 0) {
        const long args[CALL_ARGS] = {remote.pid, signal, (long)&t->info};
        if (remote.mode != REMOTE_HOME ||
            t->info.si_code != SI_KERNEL) /* the terminal's reach both */
            remote_forward(call, SYS_rt_sigqueueinfo, args);
    }
}

static void note_signalfd(long number, const long *args)
{
    uint64_t set = 0;
    if (number != SYS_signalfd4 && number != SYS_signalfd)
        return;
    remote_read(&set, (const void *)args[1], sizeof set);
    remote.signalfds |= remote_program_mask(set) & ~REMOTE_SIGNAL(hijack_params.signal);
}

/* --- background access to the terminal --- */

/* The kernel would have signalled the program's process group, unless the program ignores or blocks
 * that (then the call fails). */
static void stop_for_terminal(struct remote_call *call, int signal)
{
    uint64_t action[4] = {0};
    raw(SYS_rt_sigaction, signal, NULL, action, sizeof(uint64_t));
    if (action[0] == (uintptr_t)SIG_IGN || *call->mask & REMOTE_SIGNAL(signal))
        call->flags |= WIRE_NOSTOP;
    else
        raw(SYS_kill, 0, signal);
}

/* --- one request --- */

/* The signals with handlers of the program's: one that comes late must not be handled in a window,
 * where nobody would tell its call. */
static uint64_t all_handled(void)
{
    uint64_t set = 0;
    int restarts;
    for (int s = 1; s <= 64; s++)
        set |= is_handled(s, &restarts) ? REMOTE_SIGNAL(s) : 0;
    return set;
}

uint64_t remote_unhandled(uint64_t mask)
{
    return mask | all_handled() | REMOTE_SIGNAL(SIGSYS) | REMOTE_SIGNAL(hijack_params.signal);
}

/* A signal for the whole process wakes every thread that waits, but only one takes it, and only
 * that one's call may be interrupted: this one's, if it can get it. */
static int take_signal(struct remote_thread *t, int signal)
{
    static const struct timespec now;
    uint64_t set = REMOTE_SIGNAL(signal);
    if (!t || raw(SYS_rt_sigtimedwait, &set, &t->info, &now, sizeof set) != signal)
        return 0;
    if (t->info.si_code <= 0 && t->info.si_pid == hijack_params.pid)
        t->info.si_pid = remote.pid; /* its own number, as it knows it: glibc compares */
    raw(SYS_rt_tgsigqueueinfo, hijack_params.pid, raw(SYS_gettid), signal, &t->info);
    return 1;
}

/* A signal has ended the call before it did anything. Its handler is best entered from the
 * program's own `syscall` instruction, as after the kernel's: then libc finds its cancellation
 * points, and debuggers the stack. Otherwise from here, in a window. -EINTR, or CALL_AGAIN. */
#define CALL_AGAIN (-512)
static long interrupted(struct remote_call *call, const struct call *row, uint64_t mask)
{
    int restarts = 0;
    int handled = pending_handled(mask, &restarts);
    long result = handled && (!restarts || row->detail == CALL_INTERRUPTED) ? -EINTR : CALL_AGAIN;
    int ours_to_take = result == -EINTR || remote.pid != hijack_params.pid;
    if (handled && ours_to_take && remote.threaded && !take_signal(remote_thread(), handled)) {
        handled = 0;
        result = CALL_AGAIN;
    }
    if (handled && call->plain && mask == *call->mask) {
        call->again = result == CALL_AGAIN;
        return -EINTR;
    }
    deliver(handled ? mask : mask | all_handled());
    if (remote.signalfds && remote.mode != REMOTE_OFF)
        pass_signals(call);
    return result;
}

/* What cannot be sent is looked at: then it goes without the bad pointer's bytes. */
static int send_call(struct remote_call *call, struct remote_thread *t, const struct call *row,
                     long number, const long *args, uint64_t mask)
{
    int error = -EFAULT;
    for (t->encoded.probe = 0; error == -EFAULT && t->encoded.probe < 2; t->encoded.probe++) {
        error = encode_request(&t->channel, &t->encoded, row, number, args);
        t->channel.call.request.flags |= call->flags;
        if (!error)
            error = channel_call(&t->channel, mask & ~remote.signalfds);
    }
    return error;
}

/* CALL_AGAIN when it was ended by a signal and must be made again. */
static long forward_once(struct remote_call *call, const struct call *row, long number,
                         const long *args, uint64_t mask)
{
    struct remote_thread *t = remote_thread();
    if (!t)
        return -ENOMEM;
    struct channel *c = &t->channel;
    int error = send_call(call, t, row, number, args, mask);
    if (error)
        return error;
    long result = encode_finish(c, &t->encoded, args);
    if (c->reply.reply.flags & WIRE_WIDER) {
        call->wider = result;
        return CALL_AGAIN;
    }
    if (c->reply.reply.flags & WIRE_STOP)
        stop_for_terminal(call, (int)-result);
    else if (!(c->reply.reply.flags & WIRE_CANCELED))
        return result;
    return interrupted(call, row, mask);
}

/* Was this only what a frame takes of more, where the kernel would not have stopped? */
static int goes_on(const struct remote_thread *t, long result)
{
    return result > 0 && t->channel.call.request.flags & WIRE_CLAMPED &&
           t->channel.reply.reply.flags & WIRE_WHOLE && result == (long)t->encoded.asked;
}

static int has_offset(long number, const long *args)
{
    return number == SYS_pread64 || number == SYS_pwrite64 || number == SYS_preadv ||
           number == SYS_pwritev ||
           ((number == SYS_preadv2 || number == SYS_pwritev2) && args[3] != -1);
}

/* The call for what follows the first `done` bytes: in a buffer, or in a list of them. */
static void skip(struct encode *e, const struct call *row, long number, const long *args, long done,
                 long *more)
{
    memcpy(more, args, CALL_ARGS * sizeof *more);
    if (has_offset(number, args))
        more[3] += done;
    if (row->args[1].kind != ARG_IN && row->args[1].kind != ARG_OUT) {
        e->skip = (size_t)done;
        return;
    }
    more[1] += done;
    more[2] -= done;
}

static long rest_of_transfer(struct remote_call *call, const struct call *row, long number,
                             const long *args, uint64_t mask, long done)
{
    struct remote_thread *t = remote_thread();
    long more[CALL_ARGS], result = done;
    call->plain = 0; /* it has done something: it cannot begin again */
    while (goes_on(t, result) || result == CALL_AGAIN) {
        skip(&t->encoded, row, number, args, done, more);
        result = remote.mode != REMOTE_OFF ? forward_once(call, row, number, more, mask)
                 : t->encoded.skip         ? 0 /* a list begins where it began; less is a result */
                                           : remote_local(call, number, more);
        done += result > 0 ? result : 0;
        if (result == CALL_AGAIN && row->args[1].kind != ARG_OUT)
            break; /* a signal: what was done counts */
    }
    t->encoded.skip = 0;
    return done;
}

/* What failed so has raised a signal, too. */
static void raise_failure(struct remote_call *call, const struct call *row, long number,
                          const long *args, long result)
{
    if (result == -EPIPE && number != SYS_connect &&
        !(row->args[3].kind == ARG_FLAGS && args[3] & MSG_NOSIGNAL) &&
        !(row->args[1].kind == ARG_MSGIN && args[2] & MSG_NOSIGNAL))
        remote_raise(call, SIGPIPE);
    if (result == -EFBIG && !call->quiet &&
        (row->args[0].kind == ARG_FD || row->args[0].kind == ARG_PATH))
        remote_raise(call, SIGXFSZ);
}

static long after(struct remote_call *call, const struct call *row, long number, const long *args,
                  uint64_t mask, long result)
{
    if (result >= 0) {
        note_signalfd(number, args);
        behind_copied(number, args, result);
    }
    if (result >= 0 && (number == SYS_openat || number == SYS_open || number == SYS_creat))
        behind_opened(call, result, remote_thread()->encoded.strings[0]);
    raise_failure(call, row, number, args, result);
    if (goes_on(remote_thread(), result))
        return rest_of_transfer(call, row, number, args, mask, result);
    return result;
}

long remote_forward(struct remote_call *call, long number, const long *args)
{
    const struct call *row = &calls[number];
    long result;
    struct attempt attempt;
    struct behind_part behind = {.changes = -1};
    uint64_t mask;
    attempt_begin(&attempt, row, args);
    if (remote.mode == REMOTE_OFF) /* since a signal that an earlier part of the call let in */
        return remote_local(call, number, args);
    if (paths_here(call, number, args, &result))
        return result;
    int error = wait_mask(call, row, args, &mask);
    if (error)
        return error;
    if (!call->own &&
        (local_call(call, row, number, args, &result) || shared_call(call, number, args, &result)))
        return result;
    if (!call->own && behind_call(call, row, number, args, &result, &behind)) {
        raise_failure(call, row, number, args, result);
        return result;
    }
    if (remote.signalfds && number != SYS_rt_sigqueueinfo)
        pass_signals(call);
    call->plain = call->frame && args == call->args;
    attempt_narrow(&attempt, call, number);
    while ((result = forward_once(call, row, number, attempt.args, mask)) == CALL_AGAIN) {
        attempt_again(&attempt, call, args);
        if (remote.mode == REMOTE_OFF)
            return go_on_here(call, &attempt, number, args);
    }
    result = after(call, row, number, args, mask, result);
    if (!call->own)
        behind_done(call, &behind);
    return result;
}

/* --- any call --- */

static long make(struct remote_call *call, const struct call *row)
{
    emulation *emulate;
    switch (remote.mode == REMOTE_OFF ? CALL_LOCAL : row->how) {
    case CALL_FORWARD:
        return remote_forward(call, call->number, call->args);
    case CALL_LOCAL:
        return remote_local(call, call->number, call->args);
    case CALL_EMULATE:
        emulate = emulate_find(call->number);
        return emulate ? emulate(call) : -ENOSYS;
    case CALL_REFUSE:
        return -row->detail;
    default:
        return -ENOSYS;
    }
}

/* The program's mappings may change, and handlers learn of them, until the call is done. */
long remote_call(struct remote_call *call)
{
    const long number = call->number;
    quick_epoch++;
    queue_nudge();
    if (number < 0 || number >= CALLS)
        return -ENOSYS;
    readable_note_call(number, call->args);
    long result = make(call, &calls[number]);
    readable_note_call(number, call->args);
    return result;
}
