/* emulate_io.c - calls about descriptors that are several calls at home, or another one. */
#include <errno.h>
#include <sys/socket.h>
#include <time.h>

#include "stubs/emulate.h"
#include "stubs/mem.h"
#include "stubs/raw.h"
#include "stubs/thread.h"

/* The shadow keeps its own descriptors out of the range. */
long emulate_close_range(struct remote_call *call)
{
    return remote_forward(call, call->number, call->args);
}

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

/* The pages are here: what the program gives away is written, what it takes is read. */
long emulate_vmsplice(struct remote_call *call)
{
    const long flags[CALL_ARGS] = {call->args[0], F_GETFL};
    long mode = remote_forward(call, SYS_fcntl, flags);
    if (mode < 0)
        return mode;
    return remote_forward(call, (mode & O_ACCMODE) == O_RDONLY ? SYS_readv : SYS_writev,
                          call->args);
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

long emulate_sendmmsg(struct remote_call *call)
{
    long count = call->args[2] < MESSAGES_MOST ? call->args[2] : MESSAGES_MOST, done = 0,
         result = 0;
    for (; done < count; done++)
        if ((result = one_message(call, SYS_sendmsg, done, call->args[3])) < 0)
            break;
    return done ? done : result;
}

static int64_t milliseconds(const struct timespec *t)
{
    return t->tv_sec * 1000 + t->tv_nsec / 1000000;
}

static int64_t now(void)
{
    struct timespec t;
    raw(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
    return milliseconds(&t);
}

/* The time limit is looked at after each message, as the kernel does (recvmmsg(2), BUGS). */
long emulate_recvmmsg(struct remote_call *call)
{
    long count = call->args[2] < MESSAGES_MOST ? call->args[2] : MESSAGES_MOST, done = 0,
         result = 0;
    long flags = call->args[3] & ~MSG_WAITFORONE;
    struct timespec limit;
    if (call->args[4] && remote_read(&limit, (const void *)call->args[4], sizeof limit))
        return -EFAULT;
    int64_t end = call->args[4] ? now() + milliseconds(&limit) : INT64_MAX;
    while (done < count && (result = one_message(call, SYS_recvmsg, done, flags)) >= 0) {
        done++;
        if (call->args[3] & MSG_WAITFORONE)
            flags |= MSG_DONTWAIT;
        if (call->args[4] && now() >= end)
            break;
    }
    return done ? done : result;
}
