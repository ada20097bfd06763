/*
 * home.c - at home nothing shows: once $STOP exists (the program has been hijacked by then) it does
 * what a program does with descriptors, processes and threads, and each must have the effect at
 * once that it has without a hijack.
 *
 * Usage: home DIRECTORY
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/targets/target.h"

extern char **environ;
static const char *directory;
static int lowest; /* the lowest free descriptor, before the hijack */

static const char *path(const char *file)
{
    static char name[4096];

    snprintf(name, sizeof name, "%s/%s", directory, file);
    return name;
}

static int status_of(pid_t child)
{
    int status;

    if (waitpid(child, &status, 0) != child)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* In a child, with a limit: does a read of `fd` give end-of-file? */
static pid_t reader_of(int fd, int ours)
{
    pid_t child = fork();
    char byte;

    if (child)
        return child;
    close(ours);
    alarm(5);
    _exit(read(fd, &byte, 1) == 0 ? 0 : 1);
}

/* --- descriptors --- */

static void lowest_number(void)
{
    int fd = open("/dev/null", O_RDONLY), second = dup(fd);

    CHECK(fd == lowest && second == lowest + 1, "lowest free descriptors: %d, %d instead of %d, %d",
          fd, second, lowest, lowest + 1);
    close(fd);
    close(second);
}

static void pipe_end_of_file(void)
{
    int end[2];
    pid_t child;

    if (pipe(end))
        cannot("pipe");
    child = reader_of(end[0], end[1]);
    close(end[1]);
    CHECK(status_of(child) == 0, "close: the reader of a pipe gets no end of file");
    close(end[0]);
}

static void socket_end_of_file(void)
{
    int end[2];
    pid_t child;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, end))
        cannot("socketpair");
    child = reader_of(end[0], end[1]);
    close(end[1]);
    CHECK(status_of(child) == 0, "close: the peer of a socket gets no end of file");
    close(end[0]);
}

static void dup2_over(void)
{
    int end[2], null = open("/dev/null", O_RDONLY);
    pid_t child;

    if (pipe(end))
        cannot("pipe");
    child = reader_of(end[0], end[1]);
    CHECK(dup2(null, end[1]) == end[1], "dup2: %s", strerror(errno));
    CHECK(status_of(child) == 0, "dup2 over a pipe: its reader gets no end of file");
    close(end[0]);
    close(end[1]);
    close(null);
}

static int lock_is_free(void)
{
    int fd = open(path("lock"), O_RDWR | O_CREAT, 0600), free = !flock(fd, LOCK_EX | LOCK_NB);

    close(fd);
    return free;
}

static void flock_freed_by_close(void)
{
    int fd = open(path("lock"), O_RDWR | O_CREAT, 0600);

    CHECK(!flock(fd, LOCK_EX), "flock: %s", strerror(errno));
    CHECK(!lock_is_free(), "flock: not held");
    close(fd);
    CHECK(lock_is_free(), "close: the flock is still held");
}

static void flock_freed_by_kill(void)
{
    int told[2];
    char byte;
    pid_t child;

    if (pipe(told))
        cannot("pipe");
    child = fork();
    if (!child) {
        int fd = open(path("lock"), O_RDWR | O_CREAT, 0600);

        _exit(flock(fd, LOCK_EX) || write(told[1], "", 1) != 1 || pause());
    }
    CHECK(read(told[0], &byte, 1) == 1, "read: %s", strerror(errno));
    kill(child, SIGKILL);
    CHECK(status_of(child) == 1000 + SIGKILL, "kill: other status");
    CHECK(lock_is_free(), "kill: the flock of a child is still held");
    close(told[0]);
    close(told[1]);
}

#ifdef SYS_close_range
enum { CLOEXEC = 1 << 2 }; /* CLOSE_RANGE_CLOEXEC, which musl lacks */

/* Where the C library has the function, that; musl has none. */
extern int close_range(unsigned first, unsigned last, int flags) __attribute__((weak));

static long close_these(unsigned first, unsigned last, int flags)
{
    return close_range ? close_range(first, last, flags)
                       : syscall(SYS_close_range, first, last, flags);
}

/* In this process: what is in the range, with its effects on others, and nothing else. */
static void close_range_some(void)
{
    int below = open("/dev/null", O_RDONLY), pipe_end[2], above;
    pid_t child;

    if (pipe(pipe_end))
        cannot("pipe");
    child = reader_of(pipe_end[0], pipe_end[1]);
    above = dup(below);
    CHECK(!close_these((unsigned)pipe_end[0], (unsigned)above - 1, 0), "close_range: %s",
          strerror(errno));
    CHECK(status_of(child) == 0, "close_range: the reader of a pipe gets no end of file");
    CHECK(fcntl(pipe_end[0], F_GETFD) < 0 && fcntl(pipe_end[1], F_GETFD) < 0,
          "close_range: still open");
    CHECK(!close_these((unsigned)below, (unsigned)above, CLOEXEC) &&
              fcntl(below, F_GETFD) == FD_CLOEXEC && fcntl(above, F_GETFD) == FD_CLOEXEC,
          "close_range: not marked, or closed");
    CHECK(!close_these((unsigned)below, ~0U, 0) && fcntl(below, F_GETFD) < 0 &&
              fcntl(above, F_GETFD) < 0 && fcntl(2, F_GETFD) >= 0,
          "close_range to the last: still open, or too much closed");
}

static void close_range_all(void)
{
    pid_t child = fork();

    if (!child) {
        int fd;

        close_these(3, ~0U, 0);
        fd = open("/dev/null", O_RDONLY);
        _exit(fd == 3 ? 0 : 1);
    }
    CHECK(status_of(child) == 0, "close_range: descriptors left");
}
#endif

/* --- processes --- */

static void fork_and_ids(void)
{
    pid_t parent = getpid(), child = fork();

    if (!child)
        _exit(getppid() == parent && getpid() != parent && getpid() == (pid_t)syscall(SYS_getpid)
                  ? 0
                  : 1);
    CHECK(status_of(child) == 0, "fork: wrong ids");
}

static void exec_in_child(void)
{
    int end[2];
    pid_t child;

    if (pipe2(end, O_CLOEXEC))
        cannot("pipe2");
    child = fork();
    if (!child) {
        execl("/bin/sh", "sh", "-c", "exit 23", (char *)NULL);
        _exit(1);
    }
    close(end[1]);
    CHECK(read(end[0], &(char){0}, 1) == 0, "exec: close-on-exec did not close");
    CHECK(status_of(child) == 23, "exec: other status");
    close(end[0]);
}

static void spawn(void)
{
    char name[] = "sh", option[] = "-c", command[] = "exit 24";
    char *arguments[] = {name, option, command, NULL};
    pid_t child;
    int error = posix_spawn(&child, "/bin/sh", NULL, NULL, arguments, environ);

    CHECK(!error && status_of(child) == 24, "posix_spawn: %s", strerror(error));
}

static void shell(void)
{
    char line[16] = "";
    int status = system("exit 25");
    FILE *output = popen("echo hello", "r");

    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 25, "system: %#x", (unsigned)status);
    CHECK(output && fgets(line, sizeof line, output) && !strcmp(line, "hello\n"), "popen: \"%s\"",
          line);
    CHECK(!output || pclose(output) == 0, "pclose");
}

static void daemonise(void)
{
    int end[2];
    pid_t child, told = 0;

    if (pipe(end))
        cannot("pipe");
    child = fork();
    if (!child) {
        if (daemon(0, 0))
            _exit(1);
        told = getpid();
        _exit(write(end[1], &told, sizeof told) != sizeof told || getsid(0) == 0);
    }
    close(end[1]);
    CHECK(status_of(child) == 0, "daemon: the first parent's status");
    CHECK(read(end[0], &told, sizeof told) == sizeof told && told != child,
          "daemon: it did not speak");
    close(end[0]);
}

static void no_other_children(void)
{
    pid_t pid = waitpid(-1, NULL, WNOHANG | __WALL);

    CHECK(pid == -1 && errno == ECHILD, "waitpid: a child %d that nobody here made", (int)pid);
}

/* --- threads --- */

static void *return_argument(void *argument)
{
    return argument;
}

static void threads(void)
{
    pthread_t thread;
    void *result = NULL;

    for (long n = 1; n <= 50; n++) {
        CHECK(!pthread_create(&thread, NULL, return_argument, (void *)n), "pthread_create");
        CHECK(!pthread_join(thread, &result) && result == (void *)n, "pthread_join: %p", result);
    }
}

/* --- cancellation: in calls that would never return --- */

static int end[2], listener;
static pid_t sleeper;
static char fifo[4096];

static void *in_read(void *unused)
{
    char byte;

    return read(end[0], &byte, 1) ? unused : unused;
}

static void *in_nanosleep(void *unused)
{
    nanosleep(&(struct timespec){1000, 0}, NULL);
    return unused;
}

static void *in_poll(void *unused)
{
    poll(&(struct pollfd){.fd = end[0], .events = POLLIN}, 1, -1);
    return unused;
}

static void *in_accept(void *unused)
{
    accept(listener, NULL, NULL);
    return unused;
}

static void *in_waitpid(void *unused)
{
    waitpid(sleeper, NULL, 0);
    return unused;
}

static void *in_open(void *unused)
{
    open(fifo, O_RDONLY);
    return unused;
}

static const struct {
    const char *name;
    void *(*call)(void *);
} points[] = {
    {"read", in_read},     {"nanosleep", in_nanosleep}, {"poll", in_poll},
    {"accept", in_accept}, {"waitpid", in_waitpid},     {"open of a fifo", in_open},
};

/* Each is a cancellation point, before it blocks and while it does. */
static void cancel_in(const char *name, void *(*call)(void *))
{
    pthread_t thread;
    void *result = NULL;

    for (int n = 0; n < 10; n++) {
        CHECK(!pthread_create(&thread, NULL, call, NULL), "pthread_create");
        rest(n % 2);
        CHECK(!pthread_cancel(thread), "pthread_cancel");
        CHECK(!pthread_join(thread, &result) && result == PTHREAD_CANCELED,
              "%s: the cancelled thread returned %p", name, result);
    }
}

static void cancellation(void)
{
    struct sockaddr_un any = {.sun_family = AF_UNIX};

    snprintf(fifo, sizeof fifo, "%s", path("fifo"));
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (pipe(end) || (mkfifo(fifo, 0600) && errno != EEXIST) || listener < 0 ||
        bind(listener, (struct sockaddr *)&any, sizeof any.sun_family) || listen(listener, 1))
        cannot("cancellation");
    sleeper = fork();
    if (!sleeper)
        _exit(pause());
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        cancel_in(points[i].name, points[i].call);
    kill(sleeper, SIGKILL);
    CHECK(status_of(sleeper) == 1000 + SIGKILL, "the child that was waited for");
    close(end[0]);
    close(end[1]);
    close(listener);
}

static void exercise(void)
{
    alarm(60); /* a call that hangs is a failure too */
    lowest_number();
    pipe_end_of_file();
    socket_end_of_file();
    dup2_over();
    flock_freed_by_close();
    flock_freed_by_kill();
#ifdef SYS_close_range
    close_range_some();
    close_range_all();
#endif
    fork_and_ids();
    exec_in_child();
    spawn();
    shell();
    daemonise();
    no_other_children();
    threads();
    cancellation();
    lowest_number();
}

int main(int argc, char **argv)
{
    directory = argc > 1 ? argv[1] : "/tmp";
    lowest = dup(0);
    close(lowest);
    ready();
    do
        rest(5);
    while (!stop_asked());
    exercise();
    return finish();
}
