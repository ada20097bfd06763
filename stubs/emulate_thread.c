/*
 * emulate_thread.c - threads begin and end while I/O is remote.
 *
 * A new thread has no net of its own (syscall user dispatch is not inherited), and it begins where
 * its creator's system call returns: inside our handler, on a stack that has no frame of ours. So
 * the creator prepares one: a copy of its own signal frame, on the new stack, that leads behind the
 * program's system call with the result 0. The new thread arms its net and leaves through it.
 *
 * Processes are refused: their descriptors would have to be others' at home.
 */
#include <errno.h>
#include <linux/sched.h>
#include <sys/stat.h>

#include "stubs/emulate.h"
#include "stubs/entry.h"
#include "stubs/mem.h"
#include "stubs/net.h"
#include "stubs/raw.h"
#include "stubs/thread.h"

#define THREAD   (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)
#define RED_ZONE 128
#define START    512 /* bytes of stack for the thread's first steps */

/* The top of the stack that the thread begins with, below its frame; or -errno. */
static long prepare(const struct remote_call *call, uintptr_t top, uintptr_t *frame)
{
    ucontext_t context = *call->frame;
    size_t state = net_state_size(&context), size = net_frame_size;
    uintptr_t at = ((top - RED_ZONE - state) & ~63UL), below = (at - size) & ~63UL;
    if (!top || state == 0)
        return -EINVAL;
    if (remote_write((void *)at, context.uc_mcontext.fpregs, state))
        return -EFAULT;
    net_thread_context(&context, top, at);
    memcpy(&context.uc_sigmask, call->mask, sizeof *call->mask);
    if (remote_write((void *)below, &context, size))
        return -EFAULT;
    *frame = below;
    return (long)(below - START);
}

/* From the first further thread on, cancellation points must be libc's. */
static void expect_threads(void)
{
    if (!__atomic_exchange_n(&remote.threaded, 1, __ATOMIC_ACQ_REL))
        entry_switch(ENTRY_STUBS_THREADED);
}

long emulate_clone(struct remote_call *call)
{
    long args[CALL_ARGS];
    uintptr_t frame;
    if ((call->args[0] & THREAD) != THREAD || !call->frame)
        return -ENOSYS;
    expect_threads();
    memcpy(args, call->args, sizeof args);
    args[1] = prepare(call, (uintptr_t)args[1], &frame);
    return args[1] < 0 && args[1] > -4096 ? args[1] : net_clone(call->number, args, frame);
}

long emulate_clone3(struct remote_call *call)
{
    struct clone_args clone = {0};
    size_t size = (size_t)call->args[1];
    uintptr_t frame;
    if (size < 64 || size > sizeof clone)
        return size < 64 ? -EINVAL : -E2BIG;
    if (remote_read(&clone, (const void *)call->args[0], size))
        return -EFAULT;
    if ((clone.flags & THREAD) != THREAD || !call->frame)
        return -ENOSYS;
    expect_threads();
    long top = prepare(call, clone.stack + clone.stack_size, &frame);
    if (raw_failed(top))
        return top;
    if ((uintptr_t)top <= clone.stack)
        return -ENOMEM;
    clone.stack_size = (uintptr_t)top - clone.stack;
    const long args[CALL_ARGS] = {(long)&clone, (long)size};
    return net_clone(call->number, args, frame);
}

/* Besides itself; the number of links of the directory tells. */
static int has_other_threads(void)
{
    struct stat st;
    return raw(SYS_stat, "/proc/self/task", &st) == 0 && st.st_nlink > 3;
}

/* The last thread's end is the process's. */
long emulate_exit(struct remote_call *call)
{
    if (!has_other_threads())
        emulate_quit(call);
    remote_thread_end();
    return raw(SYS_exit, call->args[0]);
}

/* A thread that unmaps its own stack can only be about to end: musl's detached threads do so. */
int emulate_is_own_stack(const struct remote_call *call)
{
    uintptr_t start = (uintptr_t)call->args[0], here = (uintptr_t)call->frame;
    return here - start < (uintptr_t)call->args[1];
}

_Noreturn void emulate_end_thread(struct remote_call *call)
{
    remote_thread_end();
    net_end_thread((uintptr_t)call->args[0], (size_t)call->args[1]);
}
