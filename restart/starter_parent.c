/* starter_parent.c - see starter_family.h: the parent, once the program is under way. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "restart/starter_family.h"
#include "restart/starter_fds_plan.h"

#define STOPS 3
static const int stops[STOPS] = {SIGTSTP, SIGTTIN, SIGTTOU};
static const struct timespec now = {0, 0};

/* --- signals --- */

/* Whoever signals a group holds a lock of the kernel's until all its members have the signal;
 * setpgid(2) takes that lock before it finds that there is no such process. */
static void await_group_signals(void)
{
    setpgid(INT_MAX, 1);
}

/* SIGCONT takes pending stop signals away where it comes, and these SIGCONT: the guard may have had
 * the one that we have taken, until the other came to it. The other comes to us as well. */
static bool undone(int signal)
{
    sigset_t pending;
    await_group_signals();
    sigpending(&pending);
    for (unsigned i = 0; i < STOPS; i++)
        if (signal == stops[i])
            return sigismember(&pending, SIGCONT);
        else if (signal == SIGCONT && sigismember(&pending, stops[i]))
            return true;
    return false;
}

/* Without a guard: what the kernel itself sends, the terminal's signals, goes to groups. */
static bool came_to_group(const struct family *f, const siginfo_t *info)
{
    await_group_signals();
    int saw = guard_saw(f, info->si_signo);
    return saw < 0 ? info->si_code == SI_KERNEL : saw || undone(info->si_signo);
}

/* The sender's number means nothing inside. */
static void send_on(pid_t program, siginfo_t *info)
{
    bool queued = info->si_code < 0 && info->si_code != SI_TKILL;
    if (queued)
        info->si_pid = 0;
    if (!queued || syscall(SYS_rt_sigqueueinfo, program, info->si_signo, info))
        kill(program, info->si_signo);
}

static bool is_childs(const siginfo_t *info)
{
    return info->si_signo == SIGCHLD && info->si_code > 0 && info->si_code != SI_KERNEL;
}

static sigset_t only(int signal)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    return set;
}

/* --- as the program does --- */

/* Has it been continued since it was seen to stop? */
static bool goes_on(pid_t program)
{
    siginfo_t info = {0};
    await_group_signals();
    return waitid(P_PID, (id_t)program, &info, WCONTINUED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == program;
}

/* A SIGCONT that comes from now on takes the pending signal away, so it cannot be missed. Nothing
 * holds back SIGSTOP: that is sent when all is said. */
static void stop_by(pid_t program, int signal)
{
    sigset_t stop = only(signal);
    if (signal != SIGSTOP)
        kill(getpid(), signal);
    if (goes_on(program)) {
        sigtimedwait(&stop, NULL, &now);
        return;
    }
    if (signal == SIGSTOP)
        kill(getpid(), signal);
    sigprocmask(SIG_UNBLOCK, &stop, NULL);
    sigprocmask(SIG_BLOCK, &stop, NULL);
}

static _Noreturn void die_by(int signal)
{
    static const struct rlimit none = {0, 0};
    sigset_t fatal = only(signal);
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    kill(getpid(), signal);
    sigprocmask(SIG_UNBLOCK, &fatal, NULL);
    _exit(128 + signal);
}

static _Noreturn void end_as(const struct family *f, int status)
{
    guard_dismiss(f);
    if (WIFSIGNALED(status))
        die_by(WTERMSIG(status));
    _exit(WEXITSTATUS(status));
}

static void look_at_children(const struct family *f)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
        if (pid != f->program)
            continue;
        if (WIFSTOPPED(status))
            stop_by(pid, WSTOPSIG(status));
        else
            end_as(f, status);
    }
}

static void take_signals(const struct family *f)
{
    siginfo_t info;
    sigset_t all;
    sigfillset(&all);
    while (sigtimedwait(&all, &info, &now) > 0) {
        if (info.si_signo == SIGCHLD) /* one stands for all of its number */
            look_at_children(f);
        if (!is_childs(&info) && !came_to_group(f, &info))
            send_on(f->program, &info);
    }
}

/* --- its life --- */

/* The program's directory is its own affair from the moment on at which it needs us no more. */
static void serve_request(struct family *f)
{
    if (starter_spawn_serve(f->requests) == 0)
        return;
    close(f->requests);
    f->requests = -1;
    if (chdir("/"))
        return;
}

static void keep_only(const struct family *f)
{
    int kept[] = {f->watch, f->requests, f->init};
    starter_close_but(kept, sizeof kept / sizeof *kept);
}

/* What this command has from its caller and the program has not. */
static void settle(const struct family *f)
{
    static const struct itimerval off;
    prctl(PR_SET_NAME, "hijack-parent");
    keep_only(f);
    for (int i = 0; i < 3; i++)
        setitimer(i, &off, NULL);
    for (unsigned i = 0; i < STOPS; i++)
        signal(stops[i], SIG_DFL);
}

_Noreturn void parent_run(struct family *f)
{
    sigset_t all;
    settle(f);
    sigfillset(&all);
    int signals = signalfd(-1, &all, SFD_CLOEXEC);
    for (;;) {
        struct pollfd polled[] = {{signals, POLLIN, 0}, {f->requests, POLLIN, 0}};
        poll(polled, 2, -1);
        if (polled[1].revents)
            serve_request(f);
        take_signals(f);
    }
}
