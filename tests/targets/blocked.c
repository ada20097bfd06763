/*
 * blocked.c - blocks in one system call; an EINTR or an early return is the failure.
 *
 * Usage: blocked CALL [SECONDS [LATE]]. The program forks: the parent, which nobody touches, does
 * what ends the call once $STOP exists; the child blocks. With SECONDS the call is given that
 * timeout instead, and must return then: not earlier, and not later than LATE seconds after (for a
 * process is stopped for a while, and machines are slow). The child also checks that its signal
 * mask and dispositions are as it set them. $READY holds the child's process id; the program's
 * status is the child's.
 */
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/targets/target.h"

static int pipe_end[2], pair[2], listener, epoll, semaphores, futex_word;
static pid_t blocked;
static double timeout;      /* 0: until the parent ends it */
static double late;         /* seconds that the call may return after its time */
static volatile long woken; /* SIGUSR1s handled */
static struct sockaddr_un name = {.sun_family = AF_UNIX};

static struct timespec interval(double seconds)
{
    return (struct timespec){(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
}

static struct timespec forever_or(double seconds)
{
    return interval(seconds > 0 ? seconds : 100000);
}

static int timeout_ms(void)
{
    return timeout > 0 ? (int)(timeout * 1000) : -1;
}

/* --- what ends a call, in the parent --- */

static void end_by_pipe(void)
{
    CHECK(write(pipe_end[1], "x", 1) == 1, "parent: write: %s", strerror(errno));
}

static void end_by_socket(void)
{
    CHECK(send(pair[1], "x", 1, 0) == 1, "parent: send: %s", strerror(errno));
}

static void end_by_connect(void)
{
    int s = socket(AF_UNIX, SOCK_STREAM, 0);

    CHECK(!connect(s, (struct sockaddr *)&name, sizeof name), "parent: connect: %s",
          strerror(errno));
}

static void end_by_semaphore(void)
{
    struct sembuf up = {0, 1, 0};

    CHECK(!semop(semaphores, &up, 1), "parent: semop: %s", strerror(errno));
}

static void end_by_signal(void)
{
    kill(blocked, SIGUSR1);
}

static void end_by_queued_signal(void)
{
    sigqueue(blocked, SIGRTMIN + 3, (union sigval){.sival_int = 4711});
}

/* --- the calls; each returns 0 when it ended as it should --- */

static int expect(int right)
{
    return right ? 0 : -1;
}

static int call_read(void)
{
    char byte = 0;

    return expect(read(pipe_end[0], &byte, 1) == 1 && byte == 'x');
}

static int call_nanosleep(void)
{
    struct timespec time = forever_or(timeout);

    return expect(timeout > 0 ? !nanosleep(&time, NULL) : nanosleep(&time, NULL) < 0 && woken);
}

static int call_clock_nanosleep(void)
{
    struct timespec until, time = forever_or(timeout);

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += time.tv_sec;
    until.tv_nsec += time.tv_nsec;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    return expect(timeout > 0 ? !errno : errno == EINTR && woken);
}

/* Some signals; not the ones that may take a checkpoint, which a program that blocks them keeps
 * out. */
static sigset_t mask_in_call(void)
{
    sigset_t mask;

    sigemptyset(&mask);
    for (int n = 1; n < 50; n++)
        if (n != SIGUSR1)
            sigaddset(&mask, n);
    return mask;
}

static int call_poll(void)
{
    struct pollfd fd = {pipe_end[0], POLLIN, 0};

    return expect(poll(&fd, 1, timeout_ms()) == (timeout > 0 ? 0 : 1));
}

static int call_ppoll(void)
{
    struct pollfd fd = {pipe_end[0], POLLIN, 0};
    struct timespec time = forever_or(timeout);
    sigset_t mask = mask_in_call();

    return expect(ppoll(&fd, 1, &time, &mask) == (timeout > 0 ? 0 : 1));
}

static int call_select(void)
{
    struct timeval time = {(time_t)timeout,
                           (suseconds_t)((timeout - (double)(time_t)timeout) * 1e6)};
    fd_set set;

    FD_ZERO(&set);
    FD_SET(pipe_end[0], &set);
    return expect(select(pipe_end[0] + 1, &set, NULL, NULL, timeout > 0 ? &time : NULL) ==
                  (timeout > 0 ? 0 : 1));
}

static int call_pselect(void)
{
    struct timespec time = forever_or(timeout);
    sigset_t mask = mask_in_call();
    fd_set set;

    FD_ZERO(&set);
    FD_SET(pipe_end[0], &set);
    return expect(pselect(pipe_end[0] + 1, &set, NULL, NULL, &time, &mask) ==
                  (timeout > 0 ? 0 : 1));
}

static int call_epoll_wait(void)
{
    struct epoll_event event = {0};
    int got = epoll_wait(epoll, &event, 1, timeout_ms());

    return expect(timeout > 0 ? got == 0 : got == 1 && event.data.u64 == 4711);
}

static int call_futex(void)
{
    struct timespec time = forever_or(timeout);
    long got = syscall(SYS_futex, &futex_word, 128 /* FUTEX_WAIT | FUTEX_PRIVATE_FLAG */, 0, &time,
                       NULL, 0);

    return expect(timeout > 0 ? got < 0 && errno == ETIMEDOUT : got < 0 && woken);
}

static int call_wait4(void)
{
    int status;
    pid_t parent = getpid(), child = fork();

    if (!child) {
        while (!stop_asked() && getppid() == parent)
            rest(5);
        _exit(7);
    }
    return expect(waitpid(-1, &status, 0) == child && WIFEXITED(status) &&
                  WEXITSTATUS(status) == 7);
}

static int call_semtimedop(void)
{
    struct sembuf down = {0, -1, 0};
    struct timespec time = forever_or(timeout);
    int got = semtimedop(semaphores, &down, 1, &time);

    return expect(timeout > 0 ? got < 0 && errno == EAGAIN : got == 0);
}

static int call_sigtimedwait(void)
{
    struct timespec time = forever_or(timeout);
    siginfo_t info;
    sigset_t mask;
    int got;

    sigemptyset(&mask);
    sigaddset(&mask, SIGRTMIN + 3);
    got = sigtimedwait(&mask, &info, &time);
    return expect(timeout > 0 ? got < 0 && errno == EAGAIN
                              : got == SIGRTMIN + 3 && info.si_value.sival_int == 4711);
}

static int call_recv(void)
{
    char byte = 0;
    ssize_t got = recv(pair[0], &byte, 1, 0);

    return expect(timeout > 0 ? got < 0 && errno == EAGAIN : got == 1 && byte == 'x');
}

static int call_accept(void)
{
    return expect(accept(listener, NULL, NULL) >= 0);
}

static int call_pause(void)
{
    return expect(pause() < 0 && errno == EINTR && woken);
}

static int call_sigsuspend(void)
{
    sigset_t mask = mask_in_call();

    return expect(sigsuspend(&mask) < 0 && errno == EINTR && woken);
}

static const struct {
    const char *name;
    int (*call)(void);
    void (*end)(void);
} calls[] = {
    {"read", call_read, end_by_pipe},
    {"nanosleep", call_nanosleep, end_by_signal},
    {"clock_nanosleep", call_clock_nanosleep, end_by_signal},
    {"poll", call_poll, end_by_pipe},
    {"ppoll", call_ppoll, end_by_pipe},
    {"select", call_select, end_by_pipe},
    {"pselect", call_pselect, end_by_pipe},
    {"epoll_wait", call_epoll_wait, end_by_pipe},
    {"futex", call_futex, end_by_signal},
    {"wait4", call_wait4, NULL},
    {"semtimedop", call_semtimedop, end_by_semaphore},
    {"sigtimedwait", call_sigtimedwait, end_by_queued_signal},
    {"recv", call_recv, end_by_socket},
    {"accept", call_accept, end_by_connect},
    {"pause", call_pause, end_by_signal},
    {"sigsuspend", call_sigsuspend, end_by_signal},
};

/* --- set-up --- */

static void on_wake(int signal)
{
    (void)signal;
    woken++;
}

static void make_objects(void)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 4711};

    if (pipe(pipe_end) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ||
        (epoll = epoll_create1(0)) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, pipe_end[0], &event))
        cannot("descriptors");
    if ((semaphores = semget(IPC_PRIVATE, 1, 0600)) < 0)
        cannot("semget");
    snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "hijack-test-%d",
             (int)getpid()); /* abstract */
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&name, sizeof name) ||
        listen(listener, 1))
        cannot("listen");
}

static void set_signals(sigset_t *mask)
{
    struct sigaction wake = {.sa_handler = on_wake}, ignore = {.sa_handler = SIG_IGN};

    for (int n = 1; n < 62; n++)
        signal(n, SIG_DFL); /* a shell starts background jobs with SIGINT ignored */
    sigaction(SIGUSR1, &wake, NULL);
    sigaction(SIGWINCH, &ignore, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    sigemptyset(mask);
    sigaddset(mask, SIGUSR2);
    sigaddset(mask, SIGVTALRM);
    sigaddset(mask, SIGRTMIN + 3);
    sigprocmask(SIG_SETMASK, mask, NULL);
}

/* Numbers up to 61: the last ones are left to the checkpoint signal. */
static void check_signals(const sigset_t *set)
{
    struct sigaction action;
    sigset_t now;

    sigprocmask(SIG_SETMASK, NULL, &now);
    for (int n = 1; n < 65; n++)
        CHECK(sigismember(&now, n) == sigismember(set, n), "signal %d in the mask: %d", n,
              sigismember(&now, n));
    for (int n = 1; n < 62; n++)
        if (!sigaction(n, NULL, &action))
            CHECK(action.sa_handler == (n == SIGUSR1                    ? on_wake
                                        : n == SIGWINCH || n == SIGPIPE ? SIG_IGN
                                                                        : SIG_DFL),
                  "signal %d: other disposition", n);
}

static void check_time(double took)
{
    if (timeout > 0)
        CHECK(took > timeout - 0.002 && took < timeout + late,
              "returned after %.3f s instead of %.3f", took, timeout);
    else
        CHECK(stop_asked(), "returned after %.3f s, before anything happened", took);
}

static int block(const char *what, int (*call)(void))
{
    sigset_t mask;
    double begun;
    int saved;

    set_signals(&mask);
    ready();
    begun = seconds_now();
    errno = 0;
    if (call()) {
        saved = errno;
        differs("%s: wrong result: %s", what, strerror(saved));
    }
    check_time(seconds_now() - begun);
    check_signals(&mask);
    return finish();
}

/* For the timeout of a socket the option must be there before the call. */
static void set_socket_timeout(void)
{
    struct timespec t = forever_or(timeout);
    struct timeval limit = {t.tv_sec, t.tv_nsec / 1000};

    if (setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit))
        cannot("SO_RCVTIMEO");
}

static int has_ended(void)
{
    siginfo_t info = {.si_pid = 0};

    return waitid(P_PID, (id_t)blocked, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid;
}

static int end_and_wait(void (*end)(void))
{
    int status;

    while (timeout <= 0 && !stop_asked() && !has_ended())
        rest(5);
    if (end && timeout <= 0 && stop_asked())
        end();
    if (waitpid(blocked, &status, 0) != blocked)
        cannot("waitpid");
    semctl(semaphores, 0, IPC_RMID);
    CHECK(!WIFSIGNALED(status), "killed by signal %d", WTERMSIG(status));
    return WIFEXITED(status) && !differences ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
    size_t n = 0, count = sizeof calls / sizeof *calls;

    while (argc > 1 && n < count && strcmp(calls[n].name, argv[1]))
        n++;
    if (argc < 2 || n == count) {
        for (n = 0; n < count; n++)
            puts(calls[n].name);
        return 2;
    }
    timeout = argc > 2 ? atof(argv[2]) : 0;
    late = argc > 3 ? atof(argv[3]) : 1;
    make_objects();
    set_socket_timeout();
    blocked = fork();
    if (blocked < 0)
        cannot("fork");
    return blocked ? end_and_wait(calls[n].end) : block(calls[n].name, calls[n].call);
}
