/* emulate_io.c - calls about descriptors that are several calls at home, or another one. */
#include <errno.h>
#include <sys/socket.h>
#include <time.h>

#include "stubs/emulate.h"
#include "stubs/mem.h"
#include "stubs/raw.h"
#include "stubs/thread.h"

/* The shadow answers for the program's own id. */
long emulate_pidfd_open(struct remote_call *call)
{
    return remote_forward(call, call->number, call->args);
}

/* How large the array of all values is, only the set tells. */
long emulate_semctl(struct remote_call *call)
{
    struct semid_ds set;
    const long ask[CALL_ARGS] = {call->args[0], 0, IPC_STAT, (long)&set};
    int command = (int)call->args[2];
    if (command == GETALL || command == SETALL) {
        long error = remote_forward(call, call->number, ask);
        if (error < 0)
            return error;
        remote_thread()->encoded.semaphores = set.sem_nsems;
    }
    return remote_forward(call, call->number, call->args);
}

#define SPLICE_FLAGS 15

static int is_ready(struct remote_call *call, short events)
{
    struct pollfd polled = {(int)call->args[0], events, 0};
    const struct timespec at_once = {0, 0};
    const long args[CALL_ARGS] = {(long)&polled, 1, (long)&at_once, 0, 8};
    return remote_forward(call, SYS_ppoll, args) != 0;
}

/* The pages are here: what the program gives away is written, what it takes is read. */
long emulate_vmsplice(struct remote_call *call)
{
    const long size[CALL_ARGS] = {call->args[0], F_GETPIPE_SZ},
               flags[CALL_ARGS] = {call->args[0], F_GETFL};
    if (call->args[3] & ~SPLICE_FLAGS)
        return -EINVAL;
    if (remote_forward(call, SYS_fcntl, size) < 0)
        return -EBADF;
    long mode = remote_forward(call, SYS_fcntl, flags);
    int reads = (mode & O_ACCMODE) == O_RDONLY;
    const long args[CALL_ARGS] = {call->args[0], call->args[1], call->args[2]};
    if (call->args[3] & SPLICE_F_NONBLOCK && !is_ready(call, reads ? POLLIN : POLLOUT))
        return -EAGAIN;
    return remote_forward(call, reads ? SYS_readv : SYS_writev, args);
}

/* --- several messages in one call: message by message (sendmmsg(2), recvmmsg(2)) --- */

/* One of the array. Its msg_len is set by us, as by the kernel, to the message's result. */
static long one_message(struct remote_call *call, long number, long index, long flags)
{
    struct mmsghdr *at = (struct mmsghdr *)call->args[1] + index;
    const long args[CALL_ARGS] = {call->args[0], (long)&at->msg_hdr, flags};
    long result = remote_forward(call, number, args);
    unsigned length = (unsigned)result;
    if (result >= 0 && remote_write(&at->msg_len, &length, sizeof length))
        return -EFAULT;
    return result;
}

#define MESSAGES_MOST 1024 /* UIO_MAXIOV, as the kernel */

static long message_count(const struct remote_call *call)
{
    unsigned count = (unsigned)call->args[2];
    return count < MESSAGES_MOST ? (long)count : MESSAGES_MOST;
}

/* No message: is it a socket at all? */
static long no_message(struct remote_call *call)
{
    int type;
    uint32_t size = sizeof type;
    const long args[CALL_ARGS] = {call->args[0], SOL_SOCKET, SO_TYPE, (long)&type, (long)&size};
    return remote_forward(call, SYS_getsockopt, args);
}

long emulate_sendmmsg(struct remote_call *call)
{
    long count = message_count(call), done = 0, result = count ? 0 : no_message(call);
    for (; done < count; done++)
        if ((result = one_message(call, SYS_sendmsg, done, call->args[3])) < 0)
            break;
    return done ? done : result;
}

/* --- recvmmsg's time limit is looked at after each message (recvmmsg(2), BUGS) --- */

#define SECOND 1000000000L

static struct timespec now(void)
{
    struct timespec t;
    raw(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
    return t;
}

static struct timespec sum(struct timespec a, struct timespec b)
{
    struct timespec t = {a.tv_sec + b.tv_sec, a.tv_nsec + b.tv_nsec};
    if (__builtin_add_overflow(a.tv_sec, b.tv_sec, &t.tv_sec))
        t.tv_sec = INT64_MAX - 1;
    t.tv_sec += t.tv_nsec / SECOND;
    t.tv_nsec %= SECOND;
    return t;
}

/* From now to `end`; 0 when that is past. */
static struct timespec left_until(struct timespec end)
{
    struct timespec at = now(), left = {end.tv_sec - at.tv_sec, end.tv_nsec - at.tv_nsec};
    if (left.tv_nsec < 0) {
        left.tv_nsec += SECOND;
        left.tv_sec--;
    }
    return left.tv_sec < 0 ? (struct timespec){0, 0} : left;
}

static int read_limit(const struct remote_call *call, struct timespec *limit)
{
    if (!call->args[4])
        return 0;
    if (remote_read(limit, (const void *)call->args[4], sizeof *limit))
        return -EFAULT;
    return limit->tv_sec < 0 || limit->tv_nsec < 0 || limit->tv_nsec >= SECOND ? -EINVAL : 0;
}

static long receive_all(struct remote_call *call, struct timespec *limit, long *done)
{
    long count = message_count(call), result = 0, flags = call->args[3] & ~MSG_WAITFORONE;
    struct timespec end = sum(now(), *limit);
    while (*done < count && (result = one_message(call, SYS_recvmsg, *done, flags)) >= 0) {
        ++*done;
        if (call->args[3] & MSG_WAITFORONE)
            flags |= MSG_DONTWAIT;
        if (!call->args[4])
            continue;
        *limit = left_until(end);
        if (!limit->tv_sec && !limit->tv_nsec)
            break;
    }
    return result;
}

long emulate_recvmmsg(struct remote_call *call)
{
    struct timespec limit = {0};
    long done = 0, result = read_limit(call, &limit);
    if (result)
        return result;
    if (!message_count(call))
        return no_message(call);
    result = receive_all(call, &limit, &done);
    if (done && call->args[4] && remote_write((void *)call->args[4], &limit, sizeof limit))
        return -EFAULT;
    return done ? done : result;
}
