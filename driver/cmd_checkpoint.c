/*
 * cmd_checkpoint.c - `gdb-hijack checkpoint PID`: leaves a request with the process's shadow,
 * raises the checkpoint signal, waits for the report.
 *
 * A signal kills a process that does not handle it. So before it is raised: the process is the one
 * that the shadow watches (pidfd, pid and start time), it is ours, and a handler is installed
 * (SigCgt; an exec takes it away).
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <dirent.h>
#include <unistd.h>

#include "driver/agent.h"
#include "driver/blocked.h"
#include "driver/commands.h"
#include "driver/options.h"
#include "driver/failure.h"
#include "shadow/control.h"

#define SCHEMA           1
#define DEFAULT_STATUS   85 /* of a program that left: `job && next` must not go on */
#define DEFAULT_TIMEOUT  10 /* seconds for the checkpoint to begin */
#define END_TIMEOUT      60 /* seconds for a program that leaves to be gone */
#define FREE_DESCRIPTORS 6  /* that the checkpoint needs for a moment */
#define LENT_DESCRIPTORS 8  /* by which it may exceed the soft limit (restart/ckpt.c) */

enum outcome { DONE = 0, REFUSED = 1, ROLLED_BACK = 3, LOST = 4 };

struct arguments {
    pid_t pid;
    const char *file;
    bool leave, portable, status_given, json, quiet;
    int exit_status, timeout;
};

/* A checkpoint under way. */
struct work {
    const struct arguments *a;
    int pidfd;
    struct control_process process;
    struct control control;
    struct control_status status;
    struct frame_request request;
    struct frame_report report;
    struct failure f;
};

/* --- options --- */

enum { KEY_JSON = 256, KEY_EXIT, KEY_STATUS, KEY_TIMEOUT, KEY_PORTABLE };

static const struct argp_option options[] = {
    {"output", 'o', "FILE", 0,
     "the image (default: hijack.PID.STARTTIME.ckpt where the hijack was ordered)", 0},
    {"exit", KEY_EXIT, NULL, 0, "the program ends once the image is safely on disk", 0},
    {"exit-status", KEY_STATUS, "N", 0, "its exit status then (default 85)", 0},
    {"portable", KEY_PORTABLE, NULL, 0,
     "carry the mapped files in the image: it restarts where none of them exists", 0},
    {"timeout", KEY_TIMEOUT, "SECONDS", 0,
     "how long to wait for the checkpoint to begin (default 10)", 0},
    {"json", KEY_JSON, NULL, 0, "print the result as JSON", 0},
    {"quiet", 'q', NULL, 0, "print nothing but errors", 0},
    {0},
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 'o':
        a->file = argument;
        return 0;
    case 'q':
        a->quiet = true;
        return 0;
    case KEY_JSON:
        a->json = true;
        return 0;
    case KEY_EXIT:
        a->leave = true;
        return 0;
    case KEY_PORTABLE:
        a->portable = true;
        return 0;
    case KEY_STATUS:
        a->exit_status = option_number(state, "exit status", argument, 0, 255);
        a->status_given = true;
        return 0;
    case KEY_TIMEOUT:
        a->timeout = option_number(state, "timeout", argument, 1, 86400);
        return 0;
    case ARGP_KEY_ARG:
        a->pid = option_pid(state, argument);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which process?");
        return 0;
    case ARGP_KEY_SUCCESS:
        if (a->status_given && !a->leave)
            argp_error(state, "--exit-status means nothing without --exit");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* --- checks: nothing is touched --- */

static int check_process(struct work *w)
{
    int pid = (int)w->a->pid;
    w->pidfd = (int)syscall(SYS_pidfd_open, w->a->pid, 0);
    if (w->pidfd < 0 || control_process(w->a->pid, &w->process))
        return fail(&w->f, -ESRCH, "there is no process %d", pid);
    if (geteuid() != 0 && w->process.uid != geteuid())
        return fail(&w->f, -EPERM, "process %d belongs to another user (%u)", pid,
                    (unsigned)w->process.uid);
    if (w->process.state == 'Z' || w->process.state == 'X')
        return fail(&w->f, -ESRCH, "process %d has ended", pid);
    if (w->process.state == 'T' || w->process.state == 't')
        return fail(
            &w->f, -EBUSY,
            "process %d is stopped and cannot take a checkpoint; continue it first (kill -CONT %d)",
            pid, pid);
    return 0;
}

static int find_shadow(struct work *w)
{
    int pid = (int)w->a->pid;
    int error = agent_find_shadow(w->a->pid, &w->control, &w->status);
    if (!error)
        return 0;
    w->control.fd = -1;
    if (error == -ESRCH)
        return fail(&w->f, error, "process %d has ended", pid);
    if (control_has_agent(w->a->pid))
        return fail(&w->f, error,
                    "the shadow of process %d is gone; a raw signal still takes a checkpoint; to "
                    "get a shadow: "
                    "gdb-hijack release %d, then gdb-hijack %d",
                    pid, pid, pid);
    return fail(&w->f, error, "process %d is not hijacked; gdb-hijack %d makes it checkpointable",
                pid, pid);
}

static int check_handler(struct work *w)
{
    int signal = w->status.status.signal;
    if (signal >= 1 && signal <= 64 && w->process.caught & 1ULL << (signal - 1))
        return 0;
    return fail(&w->f, -ENOENT,
                "process %d does not handle signal %d any more (it has executed another program, "
                "or was released): "
                "the signal would kill it",
                (int)w->a->pid, signal);
}

/* How many files the process can have open during a checkpoint. prlimit(2) wants more rights than
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

static int check_descriptors(struct work *w)
{
    char path[64];
    rlim_t limit = limit_of(w->a->pid), used = 0;
    struct dirent *entry;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)w->a->pid);
    DIR *directory = opendir(path);
    while (directory && (entry = readdir(directory)))
        used += entry->d_name[0] != '.' && strtoull(entry->d_name, NULL, 10) < limit;
    if (directory)
        closedir(directory);
    if (used + FREE_DESCRIPTORS <= limit)
        return 0;
    return fail(&w->f, -EMFILE,
                "process %d has %llu of at most %llu descriptors open and a checkpoint needs %d "
                "for a moment; raise "
                "its limit: prlimit --pid %d --nofile=%llu",
                (int)w->a->pid, (unsigned long long)used, (unsigned long long)limit,
                FREE_DESCRIPTORS, (int)w->a->pid, (unsigned long long)limit + 64);
}

/* Relative to where this command runs, as the user sees it. */
static int choose_path(struct work *w)
{
    char *to = w->request.path;
    size_t size = sizeof w->request.path;
    const char *file = w->a->file;
    if (!file)
        return 0;
    if (!*file)
        return fail(&w->f, -ENOENT, "an empty file name");
    if (file[0] != '/' && !getcwd(to, size))
        return fail_errno(&w->f, -errno, "cannot find the current directory");
    size_t used = strlen(to);
    if ((size_t)snprintf(to + used, size - used, "%s%s", used ? "/" : "", file) >= size - used)
        return fail(&w->f, -ENAMETOOLONG, "the file name is too long");
    return 0;
}

static const char *directory_of(const struct work *w, char *out, size_t size)
{
    snprintf(out, size, "%s", *w->request.path ? w->request.path : w->status.status.directory);
    char *slash = strrchr(out, '/');
    if (*w->request.path && slash)
        slash[slash == out] = 0;
    return out;
}

/* As the process, which will write the image: root becomes its user for the question. */
static int can_write(const struct work *w, const char *directory)
{
    int status;
    if (geteuid() == w->process.uid)
        return faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) ? -errno : 0;
    pid_t child = fork();
    if (child == 0) {
        if (setgroups(0, NULL) || setresgid(w->process.gid, w->process.gid, w->process.gid) ||
            setresuid(w->process.uid, w->process.uid, w->process.uid))
            _exit(EPERM);
        _exit(access(directory, W_OK | X_OK) ? errno : 0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return 0; /* the process will find out */
    return -WEXITSTATUS(status);
}

static int check_path(struct work *w)
{
    static char directory[FRAME_PATH];
    int error = choose_path(w);
    if (error)
        return error;
    directory_of(w, directory, sizeof directory);
    struct stat st;
    bool other = stat(directory, &st) == 0 && !S_ISDIR(st.st_mode);
    error = other ? -ENOTDIR : can_write(w, directory);
    if (error)
        return fail_errno(&w->f, error,
                          "process %d (user %u) cannot write an image into directory '%s'%s",
                          (int)w->a->pid, (unsigned)w->process.uid, directory,
                          w->a->file ? "" : "; name another place with -o");
    /* What an image may replace is an older image: no directory, device, link. */
    if (*w->request.path && lstat(w->request.path, &st) == 0 && !S_ISREG(st.st_mode))
        return fail(&w->f, -EEXIST, "'%s' is %s, not a file that an image could replace",
                    w->request.path,
                    S_ISDIR(st.st_mode)   ? "a directory"
                    : S_ISLNK(st.st_mode) ? "a symbolic link"
                                          : "a device, pipe or socket");
    return 0;
}

static int check(struct work *w)
{
    static int (*const checks[])(struct work *) = {check_process, find_shadow, check_handler,
                                                   check_descriptors, check_path};
    int error = 0;
    for (size_t i = 0; !error && i < sizeof checks / sizeof *checks; i++)
        error = checks[i](w);
    return error;
}

/* --- the checkpoint --- */

static int leave_request(struct work *w)
{
    int pid = (int)w->a->pid;
    w->request.flags = (w->a->leave ? FRAME_LEAVE : 0) | (w->a->portable ? FRAME_PORTABLE : 0);
    w->request.exit_status = w->a->exit_status;
    if (blocked_for(w->a->pid, &w->request.blocked_ns, &w->request.switches))
        w->request.blocked_ns = 0;
    int error = control_ask(&w->control, FRAME_REQUEST, &w->request, sizeof w->request, NULL);
    if (error == -EBUSY)
        return fail(&w->f, error, "another checkpoint of process %d is under way", pid);
    if (error)
        return fail_errno(&w->f, error, "the shadow of process %d did not take the request", pid);
    /* A release, or an exec, may have come between. */
    if (control_process(w->a->pid, &w->process) || (error = check_handler(w)))
        return error ? error : fail(&w->f, -ESRCH, "process %d has ended", pid);
    /* The pidfd was opened before the shadow's word was compared with /proc: it is the process
     * meant. */
    if (syscall(SYS_pidfd_send_signal, w->pidfd, w->status.status.signal, NULL, 0) < 0)
        return fail_errno(&w->f, -errno, "cannot signal process %d", pid);
    return 0;
}

static bool has_ended(const struct work *w, int milliseconds)
{
    struct pollfd polled = {w->pidfd, POLLIN, 0};
    return w->pidfd >= 0 && poll(&polled, 1, milliseconds) > 0;
}

/* Up to the signal. What a process that ends meanwhile makes of it has one name. */
static int order(struct work *w)
{
    int error = check(w);
    if (!error)
        error = leave_request(w);
    if (error && has_ended(w, 0))
        return fail(&w->f, -ESRCH, "process %d has ended", (int)w->a->pid);
    return error;
}

/* What a wait that brought no frame means. */
static enum outcome explain_silence(struct work *w, int error)
{
    int pid = (int)w->a->pid;
    if (has_ended(w, 0)) {
        fail(&w->f, -ESRCH, "process %d has ended during the checkpoint", pid);
        return LOST;
    }
    if (error == -EAGAIN) {
        fail(&w->f, error,
             "process %d did not begin within %d seconds (an uninterruptible wait?); the request "
             "is withdrawn",
             pid, w->a->timeout);
        return REFUSED;
    }
    fail(&w->f, error, "the shadow of process %d ended during the checkpoint (%s)", pid,
         frame_error(error));
    return ROLLED_BACK;
}

/* Before "write" nothing has been touched; "checkpoint" is the shadow's word for a broken off one.
 */
static bool is_rolled_back(const struct frame_report *r)
{
    return !strcmp(r->step, "write") || !strcmp(r->step, "checkpoint");
}

static enum outcome judge(struct work *w)
{
    struct frame_report *r = &w->report;
    int pid = (int)w->a->pid;
    if (!r->error && w->a->leave && !has_ended(w, END_TIMEOUT * 1000)) {
        fail(&w->f, -EBUSY, "the image '%s' is written but process %d has not ended", r->path, pid);
        return ROLLED_BACK;
    }
    if (!r->error)
        return DONE;
    if (r->error == -ESRCH && has_ended(w, 0)) {
        fail(&w->f, r->error, "process %d: %s", pid, r->text);
        return LOST;
    }
    if (*r->text)
        fail(&w->f, r->error, "no checkpoint of process %d (%s): %s", pid, r->step, r->text);
    else
        fail_errno(&w->f, r->error, "no checkpoint of process %d (%s)", pid, r->step);
    return is_rolled_back(r) ? ROLLED_BACK : REFUSED;
}

static int check_report(struct work *w, const struct control_frame *frame)
{
    struct frame_report *r = &w->report;
    if (frame->header.length != sizeof *r)
        return -EBADMSG;
    memcpy(r, frame->payload, sizeof *r);
    return frame_check_text(r->step, sizeof r->step) || frame_check_text(r->text, sizeof r->text) ||
                   frame_check_text(r->path, sizeof r->path)
               ? -EBADMSG
               : 0;
}

/* Only its beginning has a time limit: how long it takes is a matter of size. */
static enum outcome await_report(struct work *w)
{
    static struct control_frame frame;
    int wait = w->a->timeout * 1000, type;
    while ((type = control_next(&w->control, &frame, wait)) == FRAME_TAKEN)
        wait = -1;
    if (type == FRAME_REPORT)
        type = check_report(w, &frame) ? -EBADMSG : type;
    return type == FRAME_REPORT ? judge(w) : explain_silence(w, type < 0 ? type : -EPROTO);
}

/* --- result --- */

static const char *size_text(uint64_t bytes, char out[32])
{
    static const char *const units[] = {"bytes", "KB", "MB", "GB", "TB"};
    double size = (double)bytes;
    size_t unit = 0;
    for (; size >= 1000 && unit + 1 < sizeof units / sizeof *units; unit++)
        size /= 1000;
    snprintf(out, 32, unit ? "%.1f %s" : "%.0f %s", size, units[unit]);
    return out;
}

static void print_text(const struct work *w)
{
    const struct frame_report *r = &w->report;
    char size[32], files[32];
    if (*r->text)
        fprintf(stderr, "gdb-hijack: warning: %s\n", r->text);
    if (w->a->quiet)
        return;
    printf("%s: %s", r->path, size_text(r->bytes, size));
    if (w->a->portable)
        printf(" (%s of mapped files)", size_text(r->carried, files));
    printf(", process %d stood still for %.1f ms\n", (int)w->a->pid, (double)r->nanoseconds / 1e6);
    if (w->a->leave)
        printf("process %d has ended (status %d); to go on with it: gdb-hijack restart %s\n",
               (int)w->a->pid, w->a->exit_status, r->path);
}

static void print_json(const struct work *w, enum outcome outcome)
{
    static const char *const names[] = {"done", "refused", "", "rolled back", "lost"};
    static char text[6 * FRAME_PATH];
    const struct frame_report *r = &w->report;
    printf("{\"schema\": %d, \"command\": \"checkpoint\", \"pid\": %d, \"outcome\": \"%s\"", SCHEMA,
           (int)w->a->pid, names[outcome]);
    if (outcome != DONE)
        printf(", \"error\": %s", control_json(text, sizeof text, w->f.text));
    if (*r->step)
        printf(", \"step\": %s", control_json(text, sizeof text, r->step));
    if (outcome == DONE) {
        printf(", \"image\": %s", control_json(text, sizeof text, r->path));
        printf(", \"portable\": %s, \"carried\": %llu", w->a->portable ? "true" : "false",
               (unsigned long long)r->carried);
        printf(", \"bytes\": %llu, \"still_ms\": %.3f, \"ended\": %s", (unsigned long long)r->bytes,
               (double)r->nanoseconds / 1e6, w->a->leave ? "true" : "false");
        if (*r->text)
            printf(", \"warning\": %s", control_json(text, sizeof text, r->text));
    }
    printf("}\n");
}

static int run(const struct arguments *a)
{
    static struct work w;
    enum outcome outcome = REFUSED;
    w.a = a;
    w.pidfd = w.control.fd = -1;
    if (!order(&w))
        outcome = await_report(&w);
    control_close(&w.control);
    if (w.pidfd >= 0)
        close(w.pidfd);
    if (outcome != DONE)
        fprintf(stderr, "gdb-hijack: %s\n", w.f.text);
    if (a->json)
        print_json(&w, outcome);
    else if (outcome == DONE)
        print_text(&w);
    return (int)outcome;
}

int cmd_checkpoint(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "PID",
        .doc = "Writes an image of the hijacked process PID. It goes on running, unless "
               "--exit is given."};
    struct arguments a = {.exit_status = DEFAULT_STATUS, .timeout = DEFAULT_TIMEOUT};
    argp_err_exit_status = EXIT_USAGE;
    return argp_parse(&argp, argc, argv, 0, NULL, &a) ? EXIT_USAGE : run(&a);
}
