/* ask.c - see ask.h. */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "driver/agent.h"
#include "driver/ask.h"
#include "driver/blocked.h"
#include "driver/unblock.h"

#define FREE_DESCRIPTORS 6 /* that the handler needs for a moment */
#define END_INTERVAL     10000
#define WORD_INTERVAL    10 /* milliseconds between two looks at what the process has reported */
#define LENT_DESCRIPTORS 8  /* by which it may exceed the soft limit (restart/ckpt.c) */

/* --- checks: nothing is touched --- */

/* A tracer such as strace stops it for moments; a stop that is one lasts. */
static bool stays_stopped(pid_t pid, struct control_process *process)
{
    const struct timespec moment = {.tv_nsec = 5000000};
    for (int looks = 0; process->state == 'T' || process->state == 't'; looks++) {
        if (looks == 20)
            return true;
        nanosleep(&moment, NULL);
        control_process(pid, process);
    }
    return false;
}

static int check_process(struct ask *a, struct failure *f)
{
    int pid = (int)a->pid;
    a->pidfd = (int)syscall(SYS_pidfd_open, a->pid, 0);
    if (a->pidfd < 0 || control_process(a->pid, &a->process))
        return fail(f, -ESRCH, "there is no process %d", pid);
    if (geteuid() != 0 && a->process.uid != geteuid())
        return fail(f, -EPERM, "process %d belongs to another user (%u)", pid,
                    (unsigned)a->process.uid);
    if (a->process.state == 'Z' || a->process.state == 'X')
        return fail(f, -ESRCH, "process %d has ended", pid);
    if (stays_stopped(a->pid, &a->process))
        return fail(f, -EBUSY,
                    "process %d is stopped: no %s now; continue it first (kill -CONT %d)", pid,
                    a->what, pid);
    return 0;
}

static int find_shadow(struct ask *a, struct failure *f)
{
    int pid = (int)a->pid;
    int error = agent_find_shadow(a->pid, &a->control, &a->status);
    if (!error)
        return 0;
    a->control.fd = -1;
    if (error == -ESRCH)
        return fail(f, error, "process %d has ended", pid);
    if (control_has_agent(a->pid))
        return fail(f, error,
                    "the shadow of process %d is gone; a raw signal still takes a checkpoint; to "
                    "get a shadow: "
                    "gdb-hijack release %d, then gdb-hijack %d",
                    pid, pid, pid);
    return fail(f, error, "process %d is not hijacked; gdb-hijack %d makes it checkpointable", pid,
                pid);
}

static int check_handler(struct ask *a, struct failure *f)
{
    int signal = a->status.status.signal;
    if (signal >= 1 && signal <= 64 && a->process.caught & 1ULL << (signal - 1))
        return 0;
    return fail(f, -ENOENT,
                "process %d does not handle signal %d any more (it has executed another program, "
                "or was released): "
                "the signal would kill it",
                (int)a->pid, signal);
}

/* How many files the process can have open in the handler. prlimit(2) wants more rights than
 * /proc/PID/limits; RLIM_INFINITY when it is not to be known. */
static rlim_t limit_of(pid_t pid)
{
    char path[64], line[256];
    unsigned long long soft, hard;
    rlim_t limit = RLIM_INFINITY;
    snprintf(path, sizeof path, "/proc/%d/limits", (int)pid);
    FILE *limits = fopen(path, "re");
    while (limits && fgets(line, sizeof line, limits))
        if (sscanf(line, "Max open files %llu %llu", &soft, &hard) == 2)
            limit = hard - soft < LENT_DESCRIPTORS ? hard : soft + LENT_DESCRIPTORS;
    if (limits)
        fclose(limits);
    return limit;
}

static int check_descriptors(struct ask *a, struct failure *f)
{
    char path[64];
    rlim_t limit = limit_of(a->pid), used = 0;
    struct dirent *entry;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)a->pid);
    DIR *directory = opendir(path);
    while (directory && (entry = readdir(directory)))
        used += entry->d_name[0] != '.' && strtoull(entry->d_name, NULL, 10) < limit;
    if (directory)
        closedir(directory);
    if (used + FREE_DESCRIPTORS <= limit)
        return 0;
    return fail(f, -EMFILE,
                "process %d has %llu of at most %llu descriptors open and a %s needs %d for a "
                "moment; raise "
                "its limit: prlimit --pid %d --nofile=%llu",
                (int)a->pid, (unsigned long long)used, (unsigned long long)limit, a->what,
                FREE_DESCRIPTORS, (int)a->pid, (unsigned long long)limit + 64);
}

int ask_open(struct ask *ask, pid_t pid, const char *what, struct failure *f)
{
    static int (*const checks[])(struct ask *, struct failure *) = {
        check_process, find_shadow, check_handler, check_descriptors};
    int error = 0;
    memset(ask, 0, sizeof *ask);
    ask->pid = pid;
    ask->what = what;
    ask->pidfd = ask->control.fd = -1;
    for (size_t i = 0; !error && i < sizeof checks / sizeof *checks; i++)
        error = checks[i](ask, f);
    return error;
}

void ask_close(struct ask *ask)
{
    control_close(&ask->control);
    if (ask->pidfd >= 0)
        close(ask->pidfd);
    ask->pidfd = -1;
}

/* --- the request --- */

/* While its I/O is remote, the stubs see to every mask, and block all signals for their work. */
static int reach_threads(struct ask *a, struct failure *f)
{
    const struct frame_status *status = &a->status.status;
    return status->remote || status->busy ? 0 : unblock_threads(a->pid, status->signal, f);
}

int ask_leave(struct ask *a, struct frame_request *request, struct failure *f)
{
    int pid = (int)a->pid, error = reach_threads(a, f);
    if (error)
        return error;
    a->counted = agent_peek(a->pid, "ckpt_reports", &a->reports, sizeof a->reports) == 0;
    if (blocked_for(a->pid, &request->blocked_ns, &request->switches))
        request->blocked_ns = 0;
    error = control_ask(&a->control, FRAME_REQUEST, request, sizeof *request, NULL);
    if (error == -EBUSY)
        return fail(f, error, "another %s of process %d is under way", a->what, pid);
    if (error)
        return fail_errno(f, error, "the shadow of process %d did not take the request", pid);
    /* A release, or an exec, may have come between. */
    if (control_process(a->pid, &a->process) || (error = check_handler(a, f)))
        return error ? error : fail(f, -ESRCH, "process %d has ended", pid);
    /* The pidfd was opened before the shadow's word was compared with /proc: it is the process
     * meant. */
    if (syscall(SYS_pidfd_send_signal, a->pidfd, a->status.status.signal, NULL, 0) < 0)
        return fail_errno(f, -errno, "cannot signal process %d", pid);
    return 0;
}

bool ask_has_ended(const struct ask *ask, int milliseconds)
{
    struct pollfd polled = {ask->pidfd, POLLIN, 0};
    return ask->pidfd >= 0 && poll(&polled, 1, milliseconds) > 0;
}

/* --- the report --- */

static int check_report(const struct frame_report *r)
{
    return frame_check_text(r->step, sizeof r->step) || frame_check_text(r->text, sizeof r->text) ||
                   frame_check_text(r->path, sizeof r->path)
               ? -EBADMSG
               : 0;
}

/* Without its shadow the process goes on, in its own time: what it has to report stands in its
 * memory then. False: it has ended, has not begun within so many intervals (-1: it has), or that
 * cannot be read. */
static bool await_word(struct ask *a, int limit)
{
    uint32_t now = a->reports;
    for (; a->counted && now == a->reports && limit && !ask_has_ended(a, WORD_INTERVAL);
         limit -= limit > 0)
        a->counted = agent_peek(a->pid, "ckpt_reports", &now, sizeof now) == 0;
    return a->counted && now != a->reports &&
           agent_peek(a->pid, "ckpt_report", &a->report, sizeof a->report) == 0 &&
           check_report(&a->report) == 0;
}

/* The shadow is gone, the process is not. */
static void explain_loss(const struct ask *a, int error, bool told, struct failure *f)
{
    int pid = (int)a->pid;
    const struct frame_report *r = &a->report;
    if (told && r->error && *r->text)
        fail(f, error, "the shadow of process %d ended during the %s; the process goes on: %s", pid,
             a->what, r->text);
    else if (told && !r->error && *r->path)
        fail(f, error,
             "the shadow of process %d ended during the %s; the process goes on, the image '%s' is "
             "complete",
             pid, a->what, r->path);
    else
        fail(f, error, "the shadow of process %d ended during the %s (%s)", pid, a->what,
             frame_error(error));
}

/* What a wait of so many milliseconds (-1: the process had begun) that brought no frame means. */
static enum ask_outcome explain_silence(struct ask *a, int error, int wait, struct failure *f)
{
    int pid = (int)a->pid;
    bool told = error != -EAGAIN && await_word(a, wait < 0 ? wait : wait / WORD_INTERVAL);
    if (told && a->report.left) /* it was answered, and ends now */
        ask_has_ended(a, END_INTERVAL);
    if (ask_has_ended(a, 0)) {
        fail(f, -ESRCH, "process %d has ended during the %s", pid, a->what);
        return ASK_LOST;
    }
    if (error == -EAGAIN) {
        fail(f, error,
             "process %d did not begin within %d seconds (an uninterruptible wait?); the request "
             "is withdrawn",
             pid, wait / 1000);
        return ASK_REFUSED;
    }
    explain_loss(a, error, told, f);
    return ASK_ROLLED_BACK;
}

/* The image is there, and the program was to end. */
static bool stayed(const struct frame_report *r)
{
    return !strcmp(r->step, "leave");
}

/* Before "write" nothing has been touched; "checkpoint" is the shadow's word for a broken off one,
 * and a step of remote I/O undoes itself. */
static bool is_rolled_back(const struct frame_report *r)
{
    return stayed(r) || !strcmp(r->step, "write") || !strcmp(r->step, "checkpoint") ||
           !strcmp(r->step, "remote");
}

static enum ask_outcome judge(const struct ask *a, struct failure *f)
{
    const struct frame_report *r = &a->report;
    int pid = (int)a->pid;
    if (!r->error)
        return ASK_DONE;
    if (r->error == -ESRCH && ask_has_ended(a, 0)) {
        fail(f, r->error, "process %d: %s", pid, r->text);
        return ASK_LOST;
    }
    if (stayed(r))
        fail(f, r->error, "process %d goes on: %s", pid, r->text);
    else if (*r->text)
        fail(f, r->error, "no %s of process %d (%s): %s", a->what, pid, r->step, r->text);
    else
        fail_errno(f, r->error, "no %s of process %d (%s)", a->what, pid, r->step);
    return is_rolled_back(r) ? ASK_ROLLED_BACK : ASK_REFUSED;
}

static int take_report(struct frame_report *r, const struct control_frame *frame)
{
    if (frame->header.length != sizeof *r)
        return -EBADMSG;
    memcpy(r, frame->payload, sizeof *r);
    return check_report(r);
}

enum ask_outcome ask_await(struct ask *ask, int timeout, struct failure *f)
{
    static struct control_frame frame;
    int wait = timeout * 1000, type;
    while ((type = control_next(&ask->control, &frame, wait)) == FRAME_TAKEN)
        wait = -1;
    if (type == FRAME_REPORT)
        type = take_report(&ask->report, &frame) ? -EBADMSG : type;
    return type == FRAME_REPORT ? judge(ask, f)
                                : explain_silence(ask, type < 0 ? type : -EPROTO, wait, f);
}
