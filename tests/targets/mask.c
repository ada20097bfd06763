/*
 * mask.c - peculiar process state, set once and verified at the end: what a checkpoint has to
 * restore, row by row.
 *
 * Signal mask and dispositions, pending signals with their values, alternate stack, interval timer,
 * umask, working directory, limits, name, nice value, timer slack. Usage: mask DIRECTORY
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "tests/targets/target.h"

#define LAST_SIGNAL 61 /* the ones above are left to the checkpoint signal */
#define NAME        "mask (a) b"
#define NICE        3

static char alternate[65536];
static char directory[4096];

static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    differs("signal %d came", signal);
}

static int blocked(int n)
{
    return n % 3 == 1 || n == SIGRTMIN + 5;
}

static int settable(int n)
{
    return n != SIGKILL && n != SIGSTOP && (n < 32 || n >= SIGRTMIN);
}

/* The one signal in the sa_mask of signal n's handler. */
static int masked_by(int n)
{
    int other = 1 + n % LAST_SIGNAL;

    return settable(other) ? other : SIGUSR1;
}

/* Handler, ignored, default in turn; flags and sa_mask depend on the number. */
static struct sigaction action_of(int n)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    if (n % 4 < 2) {
        action.sa_sigaction = on_signal;
        action.sa_flags = SA_SIGINFO | (n % 2 ? SA_RESTART : SA_ONSTACK) | (n % 5 ? 0 : SA_NODEFER);
        sigaddset(&action.sa_mask, masked_by(n));
    } else if (n % 4 == 2) {
        action.sa_handler = SIG_IGN;
    }
    return action;
}

static void set_signals(void)
{
    sigset_t mask;

    sigemptyset(&mask);
    for (int n = 1; n <= LAST_SIGNAL; n++) {
        struct sigaction action = action_of(n);

        if (!settable(n))
            continue;
        if (sigaction(n, &action, NULL))
            cannot("sigaction");
        if (blocked(n))
            sigaddset(&mask, n);
    }
    sigprocmask(SIG_SETMASK, &mask, NULL);
    for (int value = 1; value <= 3; value++)
        sigqueue(getpid(), SIGRTMIN + 5, (union sigval){.sival_int = value});
    raise(SIGHUP); /* 1: blocked */
}

static void check_dispositions(void)
{
    for (int n = 1; n <= LAST_SIGNAL; n++) {
        struct sigaction expected = action_of(n), now;

        if (!settable(n) || sigaction(n, NULL, &now))
            continue;
        CHECK(now.sa_handler == expected.sa_handler, "signal %d: other handler", n);
        if (expected.sa_flags & SA_SIGINFO) {
            CHECK((now.sa_flags & 0x5fffffff & ~0x04000000) == (expected.sa_flags & 0x5fffffff),
                  "signal %d: flags %#x", n, (unsigned)now.sa_flags);
            CHECK(sigismember(&now.sa_mask, masked_by(n)) == 1, "signal %d: mask", n);
        }
    }
}

static void check_mask(void)
{
    sigset_t mask;

    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int n = 1; n <= 64; n++)
        if (settable(n))
            CHECK(sigismember(&mask, n) == (n <= LAST_SIGNAL && blocked(n)),
                  "signal %d in the mask: %d", n, sigismember(&mask, n));
}

/* Queued signals come in order, with their values and their sender. */
static void check_pending(pid_t sender)
{
    static const struct timespec now;
    siginfo_t info;
    sigset_t mask;

    sigemptyset(&mask);
    sigaddset(&mask, SIGRTMIN + 5);
    for (int value = 1; value <= 3; value++) {
        int got = sigtimedwait(&mask, &info, &now);

        CHECK(got == SIGRTMIN + 5 && info.si_code == SI_QUEUE && info.si_value.sival_int == value &&
                  info.si_pid == sender,
              "queued signal %d: %d, code %d, value %d, sender %d", value, got,
              got > 0 ? info.si_code : 0, got > 0 ? info.si_value.sival_int : 0,
              got > 0 ? (int)info.si_pid : 0);
    }
    CHECK(sigtimedwait(&mask, &info, &now) < 0, "one queued signal too many");
    sigemptyset(&mask);
    sigaddset(&mask, SIGHUP);
    CHECK(sigtimedwait(&mask, &info, &now) == SIGHUP, "SIGHUP is no longer pending");
}

static void set_others(const char *where)
{
    struct itimerval timer = {{7, 250000}, {5000, 0}};
    struct rlimit files = {123, 456}, core = {0, 0};
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};

    if (chdir(where) || !getcwd(directory, sizeof directory) ||
        setitimer(ITIMER_VIRTUAL, &timer, NULL) || setitimer(ITIMER_REAL, &timer, NULL) ||
        setrlimit(RLIMIT_NOFILE, &files) || setrlimit(RLIMIT_CORE, &core) ||
        sigaltstack(&stack, NULL) || prctl(PR_SET_NAME, NAME) ||
        setpriority(PRIO_PROCESS, 0, NICE) || prctl(PR_SET_TIMERSLACK, 123456))
        cannot("state");
    umask(0137);
}

static void check_timer(int which, const char *what, double passed)
{
    struct itimerval t;
    double left;

    getitimer(which, &t);
    left = (double)t.it_value.tv_sec + (double)t.it_value.tv_usec / 1e6;
    CHECK(left <= 5000.1 && left >= 5000 - passed - 60, "%s: %.3f s left", what, left);
    CHECK(t.it_interval.tv_sec == 7 && t.it_interval.tv_usec == 250000, "%s: interval %ld.%06ld",
          what, (long)t.it_interval.tv_sec, (long)t.it_interval.tv_usec);
}

static void check_limit(int which, const char *what, rlim_t soft, rlim_t hard)
{
    struct rlimit r;

    getrlimit(which, &r);
    CHECK(r.rlim_cur == soft && r.rlim_max == hard, "%s: %lu, %lu", what, (unsigned long)r.rlim_cur,
          (unsigned long)r.rlim_max);
}

static void check_others(double passed)
{
    char name[17] = "", here[4096] = "";
    stack_t stack;
    mode_t mask = umask(0);

    CHECK(mask == 0137, "umask %o", (unsigned)mask);
    CHECK(getcwd(here, sizeof here) && !strcmp(here, directory), "working directory %s", here);
    sigaltstack(NULL, &stack);
    CHECK(stack.ss_sp == alternate && stack.ss_size == sizeof alternate && !stack.ss_flags,
          "alternate stack: %p, %zu bytes, flags %d", stack.ss_sp, stack.ss_size, stack.ss_flags);
    check_timer(ITIMER_VIRTUAL, "ITIMER_VIRTUAL", passed);
    check_timer(ITIMER_REAL, "ITIMER_REAL", passed);
    check_limit(RLIMIT_NOFILE, "RLIMIT_NOFILE", 123, 456);
    check_limit(RLIMIT_CORE, "RLIMIT_CORE", 0, 0);
    prctl(PR_GET_NAME, name);
    CHECK(!strcmp(name, NAME), "name \"%s\"", name);
    CHECK(getpriority(PRIO_PROCESS, 0) == NICE, "nice value %d", getpriority(PRIO_PROCESS, 0));
    CHECK(prctl(PR_GET_TIMERSLACK) == 123456, "timer slack %d", prctl(PR_GET_TIMERSLACK));
}

int main(int argc, char **argv)
{
    pid_t sender = getpid();
    double begun = seconds_now();

    set_others(argc > 1 ? argv[1] : "/");
    set_signals();
    ready();
    do
        rest(5);
    while (!stop_asked());
    check_mask();
    check_dispositions();
    check_pending(sender);
    check_others(seconds_now() - begun);
    return finish();
}
