/*
 * spawn.c - hijack_start_shadow(): the shadow is forked off the program, and the program does not
 * notice.
 *
 * Mechanism: clone(CLONE_VM) makes an intermediate child without an exit signal, which clones
 * (CLONE_VM | CLONE_VFORK) the shadow-to-be, waits in there until that has become another program,
 * and ends. We reap the intermediate child by its number; __WCLONE finds it, the program's own
 * wait() cannot, and there is no SIGCHLD. The shadow goes to init or the nearest subreaper. Nothing
 * is copied but the descriptor table, so the cost does not grow with the program.
 *
 * RULES: both children run on stacks of their own in our memory and touch nothing else of it but
 * `job`; every signal is blocked; CLONE_UNTRACED keeps a debugger from following. The first clone
 * has no CLONE_VFORK because a tracer would get an event at its end; waiting for the child does the
 * same service.
 */
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/wait.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "stubs/agent.h"
#include "stubs/frame.h"
#include "stubs/mem.h"
#include "stubs/raw.h"
#include "stubs/record.h"
#include "stubs/spawn.h"

#define STACK_SIZE    8192
#define START_TIMEOUT 10 /* seconds; the shadow answers within a millisecond */

static struct {
    int socket;          /* the shadow's end */
    volatile long error; /* of clone or of exec */
    volatile long pid;   /* of the shadow */
} job;

static char intermediate_stack[STACK_SIZE] __attribute__((aligned(16)));
static char shadow_stack[STACK_SIZE] __attribute__((aligned(16)));

/* Descriptor 0 becomes our end of the talk; nothing else is inherited, and no environment either.
 */
static long become_shadow(void *unused)
{
    (void)unused;
    char *argv[] = {(char *)"hijack-shadow", hijack_params.socket, NULL};
    char *envp[] = {NULL};
    long result = job.socket == 0 ? raw(SYS_fcntl, 0, F_SETFD, 0) : raw(SYS_dup3, job.socket, 0, 0);
    if (!raw_failed(result))
        result = raw(SYS_close_range, 1, ~0U, 0);
    if (!raw_failed(result))
        result = raw(SYS_execve, hijack_params.shadow, argv, envp);
    job.error = result;
    return 1;
}

static long intermediate(void *unused)
{
    long pid = spawn_clone(CLONE_VM | CLONE_VFORK | CLONE_UNTRACED, shadow_stack + STACK_SIZE,
                           become_shadow, unused);
    if (raw_failed(pid))
        job.error = pid;
    job.pid = pid;
    return 0;
}

/* An orphan goes to the nearest living ancestor that reaps; that must not be the program itself. */
static int would_be_ours(void)
{
    int subreaper = 0;
    raw(SYS_prctl, PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0);
    return subreaper || raw(SYS_getpid) == 1;
}

static long clone_shadow(void)
{
    int status;
    job.error = 0;
    long pid =
        spawn_clone(CLONE_VM | CLONE_UNTRACED, intermediate_stack + STACK_SIZE, intermediate, NULL);
    if (raw_failed(pid))
        return pid;
    long reaped;
    do
        reaped = raw(SYS_wait4, pid, &status, __WCLONE, NULL);
    while (reaped == -EINTR);
    if (raw_failed(reaped))
        return reaped;
    return job.error ? job.error : job.pid;
}

static void fill_start(struct frame_start *start)
{
    memset(start, 0, sizeof *start);
    memcpy(start->key, hijack_params.key, sizeof start->key);
    start->start_time = hijack_params.start_time;
    start->pid = hijack_params.pid;
    start->signal = hijack_params.signal;
    start->dumpable = (int)raw(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
    mem_copy_string(start->directory, hijack_params.directory, sizeof start->directory);
}

/* Tells the shadow who it works for and waits until it listens. */
static long introduce(int fd)
{
    static struct {
        struct frame_header header;
        struct frame_start start;
    } frame;
    struct timeval limit = {.tv_sec = START_TIMEOUT};
    raw(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    frame_header(&frame.header, FRAME_START, frame_session(hijack_params.key), 1,
                 sizeof frame.start);
    fill_start(&frame.start);
    long sent = raw(SYS_sendto, fd, &frame, sizeof frame, MSG_NOSIGNAL, NULL, 0);
    memset(frame.start.key, 0, sizeof frame.start.key);
    if (raw_failed(sent))
        return sent;
    struct frame_header reply;
    long got = raw(SYS_recvfrom, fd, &reply, sizeof reply, 0, NULL, NULL);
    if (raw_failed(got))
        return got;
    int error = frame_check(&reply, (size_t)got);
    return error ? error : reply.status;
}

HIJACK_EXPORT long hijack_start_shadow(void)
{
    int pair[2];
    if (would_be_ours())
        return -ECHILD;
    long result = raw(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
    if (raw_failed(result))
        return result;
    job.socket = pair[1];
    result = clone_shadow();
    raw(SYS_close, pair[1]);
    if (!raw_failed(result)) {
        hijack_record.shadow = (int32_t)result; /* the mutator may be killed before it could */
        long error = introduce(pair[0]);
        if (error < 0)
            result = error;
    }
    raw(SYS_close, pair[0]);
    return result;
}
