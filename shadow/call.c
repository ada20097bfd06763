/* call.c - executes one call, so that it can be canceled: see execute.h and call.h. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shadow/call.h"

#define BIT(s) (1ULL << ((s)-1))
/* Our own faults, and the two that glibc and we interrupt threads with. */
#define KEPT_SIGNALS                                                                               \
    (BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGILL) | BIT(SIGFPE) | BIT(SIGABRT) | BIT(32) | BIT(33))

/* arch/ARCH/execute_call.S: the kernel's result; NOT_BEGUN when *cancel is set before that, or the
 * signal comes that ends a wait. */
long execute_call(_Atomic int *cancel, long number, const uint64_t args[CALL_ARGS]);
#define NOT_BEGUN (-512)

/* It was canceled before it began. Where the program is, the signal would be pending now: a call
 * that need not wait is done, another one ends as soon as it waits. So signals come until it does.
 */
static long run_canceled(const struct plan *p)
{
    static _Atomic int no;
    long result = NOT_BEGUN;
    int timer;
    if (!channel_rouse(&timer))
        return -EINTR;
    while (result == NOT_BEGUN)
        result = execute_call(&no, p->request.number, p->args);
    channel_calm(timer);
    return result;
}

/* Only a cancellation ends a wait: what else interrupts (glibc's signal for the set*id family) the
 * program knows nothing of. */
static int64_t run(struct channel *c, uint32_t *flags)
{
    struct plan *p = &c->plan;
    int64_t result;
    do
        result = execute_call(&c->cancel, p->request.number, p->args);
    while ((result == -EINTR || result == NOT_BEGUN) && !c->cancel);
    if (result == NOT_BEGUN)
        result = run_canceled(p);
    if (result == -EINTR)
        *flags |= WIRE_CANCELED;
    return result;
}

/* Signals that the program passes on to the executor are to be pending here. */
static void note_signalfd(const struct plan *p)
{
    uint64_t set;
    if ((p->request.number != SYS_signalfd4 && p->request.number != SYS_signalfd) || !p->args[1] ||
        p->request.in[1] != sizeof set)
        return;
    memcpy(&set, p->in[1], sizeof set);
    channel_block(&executor, set & ~KEPT_SIGNALS);
}

static int64_t run_guarded(struct channel *c, uint32_t *flags)
{
    int64_t result;
    if (call_set_identity(&c->plan, &result) || call_limits(&c->plan, &result))
        return result;
    note_signalfd(&c->plan);
    if (!call_names_number(&c->plan))
        return run(c, flags);
    pthread_rwlock_rdlock(&executor.numbers);
    result = run(c, flags);
    pthread_rwlock_unlock(&executor.numbers);
    return result;
}

static bool is_sending(const struct plan *p)
{
    return p->kinds[1].kind == ARG_IN || p->kinds[1].kind == ARG_IOVIN ||
           p->kinds[1].kind == ARG_MSGIN;
}

static int flags_of_message(const struct plan *p)
{
    switch (p->request.number) {
    case SYS_recvfrom:
        return (int)p->request.args[3];
    case SYS_recvmsg:
        return (int)p->request.args[2];
    default:
        return 0;
    }
}

static int socket_type(int fd)
{
    int type = -1;
    socklen_t size = sizeof type;
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
    return type;
}

/* Who reads takes what is there, but for all of a regular file or of what MSG_WAITALL asked for;
 * who writes stops only when there is an error. */
static bool goes_on(const struct plan *p, mode_t mode)
{
    bool waits_for_all = (flags_of_message(p) & (MSG_WAITALL | MSG_PEEK)) == MSG_WAITALL;
    if (S_ISSOCK(mode))
        return (is_sending(p) || waits_for_all) &&
               socket_type((int)p->request.args[0]) == SOCK_STREAM;
    return S_ISREG(mode) || is_sending(p);
}

static bool mode_of_clamped(const struct plan *p, mode_t *mode)
{
    struct stat st;
    if (!(p->request.flags & WIRE_CLAMPED) || p->kinds[0].kind != ARG_FD ||
        fstat((int)p->request.args[0], &st) < 0)
        return false;
    *mode = st.st_mode;
    return true;
}

static uint32_t tell_whole(const struct plan *p)
{
    mode_t mode;
    return mode_of_clamped(p, &mode) && goes_on(p, mode) ? WIRE_WHOLE : 0;
}

/* A part of a datagram must not be sent for the whole. */
static int check_datagram(const struct plan *p)
{
    mode_t mode;
    return mode_of_clamped(p, &mode) && S_ISSOCK(mode) && is_sending(p) && !goes_on(p, mode)
               ? -EMSGSIZE
               : 0;
}

/* The kernel reads and writes as many values as the set has, whatever the request said. (An id
 * never comes again for another set.) */
static int check_semaphores(const struct plan *p)
{
    struct semid_ds set;
    uint8_t kind = p->kinds[3].kind;
    if ((kind != ARG_SEMSIN && kind != ARG_SEMSOUT) || !decode_has(p, 3))
        return 0;
    if (semctl((int)p->args[0], 0, IPC_STAT, &set) < 0)
        return -errno;
    size_t size = set.sem_nsems * sizeof(unsigned short);
    return p->request.in[3] + p->request.out[3] == size ? 0 : -EINVAL;
}

int64_t call_execute(struct channel *c, uint32_t *flags)
{
    struct plan *p = &c->plan;
    bool may_stop = executor.terminal && !(p->request.flags & WIRE_NOSTOP);
    int stop = may_stop ? call_stops_before(p) : 0;
    int64_t result = stop ? -EIO : call_hide(p);
    if (!stop && !result)
        result = call_translate(p);
    if (!stop && !result)
        result = check_semaphores(p);
    if (!stop && !result)
        result = check_datagram(p);
    if (!stop && !result && (result = call_selected(p)))
        *flags |= WIRE_WIDER;
    if (!stop && !result) {
        result = call_translate_result(p, run_guarded(c, flags));
        result = call_hide_listed(p, result);
        stop = may_stop ? call_stops_after(p, result) : 0;
        *flags |= tell_whole(p);
    }
    call_unhide(p);
    if (!stop || call_is_orphaned())
        return result;
    *flags |= WIRE_STOP;
    return -stop;
}
