/* starter_guard.c - see starter_family.h: the guard, which makes the namespace, and its init. */
#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "restart/starter.h"
#include "restart/starter_family.h"
#include "restart/starter_namespaces.h"

#define ENDED 0 /* in place of a signal's number */

/* --- the parent's side --- */

int guard_saw(const struct family *f, int signal)
{
    int32_t asked = signal, answer;
    if (send(f->watch, &asked, sizeof asked, MSG_NOSIGNAL) != sizeof asked ||
        recv(f->watch, &answer, sizeof answer, 0) != sizeof answer)
        return -EPIPE;
    return answer;
}

void guard_dismiss(const struct family *f)
{
    int32_t ended = ENDED;
    if (send(f->watch, &ended, sizeof ended, MSG_NOSIGNAL) != sizeof ended)
        syscall(SYS_pidfd_send_signal, f->init, SIGTERM, NULL, 0);
}

/* --- init --- */

static bool orphans_left(void)
{
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG | __WALL)) > 0)
        ;
    return pid == 0;
}

/* SIGTERM from outside says that the program has ended; one from inside has a sender's number, and
 * one to the program's group does not come to us. */
static _Noreturn void init_run(void)
{
    sigset_t waited;
    siginfo_t info;
    bool ended = false;
    prctl(PR_SET_NAME, "hijack-init");
    setpgid(0, 0);
    close_range(0, ~0u, 0);
    sigemptyset(&waited);
    sigaddset(&waited, SIGCHLD);
    sigaddset(&waited, SIGTERM);
    while (orphans_left() || !ended)
        if (sigwaitinfo(&waited, &info) == SIGTERM && info.si_pid == 0)
            ended = true;
    _exit(0);
}

/* --- the guard --- */

static int32_t take(int signal)
{
    static const struct timespec now = {0, 0};
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, signal);
    return sigtimedwait(&one, NULL, &now) == signal;
}

/* A stop signal undoes SIGCONT where it comes, and the other way round; one that came to the parent
 * alone has not done so here. */
static void undo(int signal)
{
    static const int stops[] = {SIGTSTP, SIGTTIN, SIGTTOU};
    for (unsigned i = 0; i < sizeof stops / sizeof *stops; i++)
        if (signal == SIGCONT)
            take(stops[i]);
        else if (signal == stops[i])
            take(SIGCONT);
}

/* Until the parent is gone, or says that the program is. */
static int serve(int fd)
{
    int32_t asked;
    while (recv(fd, &asked, sizeof asked, 0) == sizeof asked) {
        if (asked == ENDED)
            return ENDED;
        int32_t answer = take(asked);
        undo(asked);
        send(fd, &answer, sizeof answer, MSG_NOSIGNAL);
    }
    return SIGKILL;
}

/* `first` is process 1 of the namespace. */
static _Noreturn void guard(int fd, pid_t first, pid_t program)
{
    prctl(PR_SET_NAME, "hijack-guard");
    starter_close_but(&fd, 1);
    if (serve(fd) != ENDED)
        kill(first, SIGKILL);
    else if (first != program)
        kill(first, SIGTERM);
    _exit(0);
}

/* The parent's child, not ours. */
static pid_t clone_program(pid_t id)
{
    struct clone_args args = {.flags = CLONE_PARENT, .set_tid = (uintptr_t)&id, .set_tid_size = 1};
    long pid = syscall(SYS_clone3, &args, sizeof args);
    return pid < 0 ? -errno : (pid_t)pid;
}

static int explain(struct image *image, int error)
{
    int id = image->process->pid;
    if (error == -EINVAL)
        return image_fail(image, error,
                          "the program's process id %d cannot be had here: ids end below it "
                          "(sysctl kernel.pid_max), or the kernel is older than Linux 5.5",
                          id);
    return image_fail(image, error,
                      "the program's process id %d cannot be had here: %s (it takes "
                      "CAP_CHECKPOINT_RESTORE in the pid namespace)",
                      id, strerror(-error));
}

static _Noreturn void give_up(struct image *image, const struct family *f, int error)
{
    struct guard_word word = {.error = error};
    snprintf(word.text, sizeof word.text, "%.*s", (int)sizeof word.text - 1, image->error);
    send(f->watch, &word, sizeof word, MSG_NOSIGNAL);
    _exit(1);
}

/* The first process of a pid namespace is its process 1. */
int guard_run(struct image *image, struct family *f, const sigset_t *mask)
{
    struct guard_word word = {0};
    const pid_t id = image->process->pid;
    pid_t first = 0;
    int error = namespaces_unshare(image, CLONE_NEWPID | CLONE_NEWNS);
    if (error)
        give_up(image, f, error);
    if (id != 1 && (first = fork()) == 0)
        init_run();
    if (first < 0)
        give_up(image, f, image_fail(image, -errno, "cannot make a process: %s", strerror(errno)));
    word.program = clone_program(id);
    if (word.program == 0) {
        close(f->watch);
        sigprocmask(SIG_SETMASK, mask, NULL);
        return namespaces_proc(image);
    }
    if (word.program < 0 && first > 0)
        kill(first, SIGKILL);
    if (word.program < 0)
        give_up(image, f, explain(image, word.program));
    word.first = first ? first : word.program;
    send(f->watch, &word, sizeof word, MSG_NOSIGNAL);
    close(f->requests);
    guard(f->watch, word.first, word.program);
}
