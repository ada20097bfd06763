/* mi_process.c - starting and reaping gdb. */
#include "gdbmi/mi_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX   64
#define ENVIRONMENT_MAX 8

/* gdb's ends of the three channels. */
struct far_ends {
    int in, out, err;
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Moves a descriptor out of the way of 0 to 2, which may be closed in this process. */
static int above_standard(int fd)
{
    int high = fd > 2 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3);

    if (high != fd)
        close(fd);
    return high;
}

static int open_pipe(int *near, int *far)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) != 0)
        return -errno;
    *near = above_standard(fds[0]);
    *far = above_standard(fds[1]);
    return *near < 0 || *far < 0 ? -errno : 0;
}

static int open_socket(int *near, int *far)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return -errno;
    *near = above_standard(fds[0]);
    *far = above_standard(fds[1]);
    return *near < 0 || *far < 0 ? -errno : 0;
}

static int open_channels(struct mi_process *p, struct far_ends *far)
{
    int error = open_socket(&p->in, &far->in);

    if (!error)
        error = open_pipe(&p->out, &far->out);
    if (!error)
        error = open_pipe(&p->err, &far->err);
    return error;
}

/* LC_ALL=C: messages in English. Left out, with all else: DEBUGINFOD_URLS (gdb would ask the
 * network), PYTHON* and whatever secrets an environment holds. */
static void fill_environment(char **to)
{
    static const char *const kept[] = {"PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH"};
    static char locale[] = "LC_ALL=C", terminal[] = "TERM=dumb";
    size_t n = 0;

    for (char **e = environ; e && *e; e++) {
        for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
            size_t size = strlen(kept[i]);

            if (n < ENVIRONMENT_MAX - 3 && strncmp(*e, kept[i], size) == 0 && (*e)[size] == '=')
                to[n++] = *e;
        }
    }
    to[n++] = locale;
    to[n++] = terminal;
    to[n] = NULL;
}

static int fill_arguments(char **to, const char *gdb, const char *const *more)
{
    const char *const first[] = {gdb, "-nx", "-q", "--interpreter=mi3", "-iex", "set mi-async on"};
    size_t n = 0;

    for (; n < sizeof first / sizeof *first; n++)
        to[n] = (char *)(uintptr_t)first[n];
    for (; more && *more; more++) {
        if (n == ARGUMENTS_MAX - 1)
            return -E2BIG;
        to[n++] = (char *)(uintptr_t)*more;
    }
    to[n] = NULL;
    return 0;
}

/* Descriptors from 3 up are closed even where whoever started us left them without close-on-exec.
 */
static int spawn(pid_t *pid, char **argv, char **envp, const struct far_ends *far)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int error;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    error = posix_spawn_file_actions_adddup2(&files, far->in, 0) ||
            posix_spawn_file_actions_adddup2(&files, far->out, 1) ||
            posix_spawn_file_actions_adddup2(&files, far->err, 2) ||
            posix_spawn_file_actions_addclosefrom_np(&files, 3) ||
            posix_spawnattr_setsigmask(&attributes, &none) ||
            posix_spawnattr_setsigdefault(&attributes, &all) ||
            posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                                      POSIX_SPAWN_SETSIGDEF);
    error = error ? ENOMEM : posix_spawnp(pid, argv[0], &files, &attributes, argv, envp);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return -error;
}

/* The pidfd tells of gdb's end even when something that gdb started keeps its pipes open. */
static int open_handle(struct mi_process *p)
{
    int error;

    p->handle = (int)syscall(SYS_pidfd_open, p->pid, 0);
    if (p->handle >= 0)
        return 0;
    error = -errno;
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    p->pid = 0;
    return error;
}

int mi_process_start(struct mi_process *p, const char *gdb, const char *const *more)
{
    char *argv[ARGUMENTS_MAX], *envp[ENVIRONMENT_MAX];
    struct far_ends far = {-1, -1, -1};
    int error;

    *p = (struct mi_process){.handle = -1, .in = -1, .out = -1, .err = -1};
    fill_environment(envp);
    error = fill_arguments(argv, gdb, more);
    if (!error)
        error = open_channels(p, &far);
    if (!error)
        error = spawn(&p->pid, argv, envp, &far);
    if (!error)
        error = open_handle(p);
    close_fd(&far.in);
    close_fd(&far.out);
    close_fd(&far.err);
    if (error)
        mi_process_close(p);
    return error;
}

void mi_process_reap(struct mi_process *p, char *how, size_t size)
{
    int status;
    pid_t reaped;

    do
        reaped = waitpid(p->pid, &status, 0);
    while (reaped < 0 && errno == EINTR);
    if (reaped < 0) /* SIGCHLD is ignored in this process, or someone else has reaped it */
        snprintf(how, size, "ended");
    else if (WIFSIGNALED(status))
        snprintf(how, size, "was killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(how, size, "exited with status %d", WEXITSTATUS(status));
    p->pid = 0;
}

void mi_process_close(struct mi_process *p)
{
    close_fd(&p->in);
    close_fd(&p->out);
    close_fd(&p->err);
    close_fd(&p->handle);
    p->pid = 0;
}
