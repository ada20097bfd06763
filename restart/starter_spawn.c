/*
 * starter_spawn.c - a shadow for this process, as stubs/spawn.c makes one for a program: by an
 * intermediate child without exit signal, so that no child and no pending SIGCHLD is left to the
 * program that this process becomes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "restart/starter_fds_plan.h"

#define START_TIMEOUT 10 /* seconds */

/* Both ends may stand below 3, where the shadow's descriptors go: they are moved first. */
static void become_shadow(int socket, const char *path, const char *program, int error_pipe)
{
    char *argv[] = {(char *)"hijack-shadow", (char *)path, NULL};
    char *envp[] = {NULL};
    int errors = fcntl(error_pipe, F_DUPFD_CLOEXEC, 3);
    int talk = fcntl(socket, F_DUPFD_CLOEXEC, 3);
    if (errors >= 0 && talk >= 0 && dup2(talk, 0) == 0) {
        close_range(1, 2, 0);
        close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
        execve(program, argv, envp);
    }
    int error = errno;
    _exit(write(errors, &error, sizeof error) == sizeof error ? 1 : 2);
}

/* fork(2) without exit signal and without libc's handlers: __WCLONE finds the child, nobody is told
 * of its end. */
static pid_t fork_silently(void)
{
    return (pid_t)syscall(SYS_clone, 0, 0, 0, 0, 0);
}

static pid_t fork_shadow(int socket, const struct hijack_params *params, const char *program,
                         int pipe_end)
{
    pid_t shadow = 0;
    int pids[2], status;
    if (pipe2(pids, O_CLOEXEC) < 0)
        return -errno;
    pid_t middle = fork_silently();
    if (middle == 0) {
        shadow = fork_silently();
        if (shadow == 0)
            become_shadow(socket, params->socket, program, pipe_end);
        _exit(write(pids[1], &shadow, sizeof shadow) != sizeof shadow);
    }
    close(pids[1]);
    if (middle < 0 || read(pids[0], &shadow, sizeof shadow) != sizeof shadow)
        shadow = -ECHILD;
    close(pids[0]);
    if (middle > 0)
        waitpid(middle, &status, __WCLONE);
    return shadow;
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

/* The exec failed when its reason is in the pipe; the pipe's end means that it worked. */
static int exec_error(int fd)
{
    int error;
    return read(fd, &error, sizeof error) == sizeof error ? -error : 0;
}

static long spawn_over(int sockets[2], int errors[2], const struct hijack_params *params,
                       const char *program)
{
    struct timeval limit = {.tv_sec = START_TIMEOUT};
    setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    pid_t shadow = fork_shadow(sockets[1], params, program, errors[1]);
    close(sockets[1]);
    close(errors[1]);
    int error = shadow < 0 ? shadow : exec_error(errors[0]);
    if (!error)
        error = introduce(sockets[0], params);
    return error ? error : shadow;
}

long starter_spawn_shadow(const struct hijack_params *params, const char *program)
{
    int sockets[2], errors[2];
    if (getpid() == 1)
        return -ECHILD; /* it would be a child of the program: stubs/spawn.c */
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return -errno;
    if (pipe2(errors, O_CLOEXEC) < 0) {
        close(sockets[0]);
        close(sockets[1]);
        return -errno;
    }
    long shadow = spawn_over(sockets, errors, params, program);
    close(sockets[0]);
    close(errors[0]);
    return shadow;
}
