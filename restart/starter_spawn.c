/*
 * starter_spawn.c - a shadow for this process, as stubs/spawn.c makes one for a program: by an
 * intermediate child without exit signal, so that no child and no pending SIGCHLD is left to the
 * program that this process becomes.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "restart/starter_fds_plan.h"

#define START_TIMEOUT 10 /* seconds */
#define STACK_SIZE    65536

static struct {
    int socket; /* the shadow's end */
    const char *path, *program;
    int error; /* of clone or exec */
    pid_t shadow;
} job;

static char middle_stack[STACK_SIZE] __attribute__((aligned(16)));
static char shadow_stack[STACK_SIZE] __attribute__((aligned(16)));

/* Our end may stand below 3, where the shadow's descriptors go: it is moved first. */
static int become_shadow(void *unused)
{
    char *argv[] = {(char *)"hijack-shadow", (char *)job.path, NULL};
    char *envp[] = {NULL};
    int talk = fcntl(job.socket, F_DUPFD_CLOEXEC, 3);
    (void)unused;
    if (talk >= 0 && dup2(talk, 0) == 0) {
        close_range(1, 2, 0);
        close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
        execve(job.program, argv, envp);
    }
    job.error = errno;
    return 1;
}

/* Shares our memory and waits, as after vfork(2), until that child has another or has ended: a fork
 * would copy the page tables of all the program's memory, and make the program pay for each page at
 * its next write. No exit signal: nobody is told of the end. */
static pid_t spawn(int (*child)(void *), char *stack)
{
    return clone(child, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK, NULL);
}

static int middle(void *unused)
{
    (void)unused;
    job.shadow = spawn(become_shadow, shadow_stack);
    if (job.shadow < 0)
        job.error = errno;
    return 0;
}

static pid_t fork_shadow(void)
{
    int status;
    job.error = 0;
    pid_t child = spawn(middle, middle_stack);
    if (child < 0)
        return -errno;
    while (waitpid(child, &status, __WCLONE) < 0 && errno == EINTR)
        ;
    return job.error ? -job.error : job.shadow;
}

static int introduce(int fd, const struct hijack_params *params)
{
    struct {
        struct frame_header header;
        struct frame_start start;
    } frame = {
        .start = {.start_time = params->start_time, .pid = params->pid, .signal = params->signal}};
    struct frame_header reply;
    frame_header(&frame.header, FRAME_START, frame_session(params->key), 1, sizeof frame.start);
    memcpy(frame.start.key, params->key, sizeof params->key);
    memcpy(frame.start.directory, params->directory, sizeof frame.start.directory);
    frame.start.dumpable = prctl(PR_GET_DUMPABLE);
    if (send(fd, &frame, sizeof frame, MSG_NOSIGNAL) < 0)
        return -errno;
    ssize_t got = recv(fd, &reply, sizeof reply, 0);
    if (got < 0)
        return -errno;
    int error = frame_check(&reply, (size_t)got);
    return error ? error : reply.status;
}

long starter_spawn_shadow(const struct hijack_params *params, const char *program)
{
    int sockets[2];
    struct timeval limit = {.tv_sec = START_TIMEOUT};
    if (getpid() == 1)
        return -ECHILD; /* it would be a child of the program: stubs/spawn.c */
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return -errno;
    setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    job.socket = sockets[1], job.path = params->socket, job.program = program;
    pid_t shadow = fork_shadow();
    close(sockets[1]);
    int error = shadow < 0 ? shadow : introduce(sockets[0], params);
    close(sockets[0]);
    return error ? error : shadow;
}
