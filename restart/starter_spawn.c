/*
 * starter_spawn.c - a shadow for this process, as stubs/spawn.c makes one for a program: by an
 * intermediate child without exit signal, so that no child and no pending SIGCHLD is left to the
 * program that this process becomes. With --keep-ids the parent makes it (starter_family.h): inside
 * the program's pid namespace it would end with that.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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

/* --- by the process that stays outside --- */

struct request {
    char socket[CONTROL_SOCKET];
    char program[PATH_MAX];
};

union rights {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
};

static long ask_parent(int parent)
{
    struct request request = {{0}, {0}};
    union rights rights = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
                                      .cmsg_level = SOL_SOCKET,
                                      .cmsg_type = SCM_RIGHTS}};
    struct iovec part = {&request, sizeof request};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof rights};
    long shadow;
    if (strlen(job.path) >= sizeof request.socket || strlen(job.program) >= sizeof request.program)
        return -ENAMETOOLONG;
    strcpy(request.socket, job.path);
    strcpy(request.program, job.program);
    memcpy(CMSG_DATA(&rights.header), &job.socket, sizeof job.socket);
    if (sendmsg(parent, &message, MSG_NOSIGNAL) < 0)
        return -errno;
    ssize_t got = recv(parent, &shadow, sizeof shadow, 0);
    return got == sizeof shadow ? shadow : -EPIPE;
}

int starter_spawn_serve(int requests)
{
    struct request request;
    union rights rights;
    struct iovec part = {&request, sizeof request};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof rights};
    ssize_t got = recvmsg(requests, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *with = got == sizeof request ? CMSG_FIRSTHDR(&message) : NULL;
    if (!with || with->cmsg_type != SCM_RIGHTS)
        return -EPIPE;
    memcpy(&job.socket, CMSG_DATA(with), sizeof job.socket);
    job.path = request.socket, job.program = request.program;
    long shadow = getpid() == 1 ? -ECHILD : fork_shadow();
    close(job.socket);
    send(requests, &shadow, sizeof shadow, MSG_NOSIGNAL);
    return 0;
}

/* --- for this process --- */

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

long starter_spawn_shadow(const struct hijack_params *params, const char *program,
                          const int *parent)
{
    int sockets[2];
    struct timeval limit = {.tv_sec = START_TIMEOUT};
    if (getpid() == 1 && !parent)
        return -ECHILD; /* it would be a child of the program: stubs/spawn.c */
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return -errno;
    setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    job.socket = sockets[1], job.path = params->socket, job.program = program;
    long shadow = parent ? ask_parent(*parent) : fork_shadow();
    close(sockets[1]);
    int error = shadow < 0 ? (int)shadow : introduce(sockets[0], params);
    close(sockets[0]);
    return error ? error : shadow;
}
