/* cmd_checkpoint.c - `gdb-hijack checkpoint PID`: where the image goes, the request (ask.h), what
 * came of it. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/ask.h"
#include "driver/commands.h"
#include "driver/options.h"
#include "driver/failure.h"

#define SCHEMA         1
#define DEFAULT_STATUS 85 /* of a program that left: `job && next` must not go on */
#define END_TIMEOUT    60 /* seconds for a program that leaves to be gone */

struct arguments {
    pid_t pid;
    const char *file;
    bool leave, portable, status_given, json, quiet;
    int exit_status, timeout;
};

/* A checkpoint under way. */
struct work {
    const struct arguments *a;
    struct ask ask;
    struct frame_request request;
    struct stat older; /* the file of the image's name before; st_ino 0: none */
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

/* --- where the image goes --- */

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

/* The path as this command must say it: the process writes the image, and may have another root. */
static const char *seen(const struct work *w, const char *path, char *out, size_t size)
{
    struct stat ours, its;
    char root[32];
    snprintf(root, sizeof root, "/proc/%d/root", (int)w->a->pid);
    bool same = stat("/", &ours) || stat(root, &its) ||
                (ours.st_dev == its.st_dev && ours.st_ino == its.st_ino);
    snprintf(out, size, "%s%s", same ? "" : root, path);
    return out;
}

static const char *directory_of(const struct work *w, char *out, size_t size)
{
    snprintf(out, size, "%s", *w->request.path ? w->request.path : w->ask.status.status.directory);
    char *slash = strrchr(out, '/');
    if (*w->request.path && slash)
        slash[slash == out] = 0;
    return out;
}

/* As the process, which will write the image: root becomes its user for the question. */
static int can_write(const struct work *w, const char *directory)
{
    int status;
    if (geteuid() == w->ask.process.uid)
        return faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) ? -errno : 0;
    pid_t child = fork();
    if (child == 0) {
        if (setgroups(0, NULL) ||
            setresgid(w->ask.process.gid, w->ask.process.gid, w->ask.process.gid) ||
            setresuid(w->ask.process.uid, w->ask.process.uid, w->ask.process.uid))
            _exit(EPERM);
        _exit(access(directory, W_OK | X_OK) ? errno : 0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return 0; /* the process will find out */
    return -WEXITSTATUS(status);
}

static int check_path(struct work *w)
{
    static char directory[FRAME_PATH], here[FRAME_PATH + 32];
    int error = choose_path(w);
    if (error)
        return error;
    directory_of(w, directory, sizeof directory);
    seen(w, directory, here, sizeof here);
    struct stat st;
    bool other = stat(here, &st) == 0 && !S_ISDIR(st.st_mode);
    error = other ? -ENOTDIR : can_write(w, here);
    if (error)
        return fail_errno(&w->f, error,
                          "process %d (user %u) cannot write an image into directory '%s'%s",
                          (int)w->a->pid, (unsigned)w->ask.process.uid, directory,
                          w->a->file ? "" : "; name another place with -o");
    if (*w->request.path && lstat(seen(w, w->request.path, here, sizeof here), &w->older))
        w->older = (struct stat){0};
    /* What an image may replace is an older image: no directory, device, link. */
    st = w->older;
    if (st.st_ino && !S_ISREG(st.st_mode))
        return fail(&w->f, -EEXIST, "'%s' is %s, not a file that an image could replace",
                    w->request.path,
                    S_ISDIR(st.st_mode)   ? "a directory"
                    : S_ISLNK(st.st_mode) ? "a symbolic link"
                                          : "a device, pipe or socket");
    return 0;
}

/* The process itself cannot tell: its root is "/" to it. That of a mount namespace is to us, too.
 */
static int check_root(struct work *w)
{
    char path[32], root[FRAME_PATH] = "";
    snprintf(path, sizeof path, "/proc/%d/root", (int)w->a->pid);
    if (readlink(path, root, sizeof root - 1) <= 0 || strcmp(root, "/") == 0)
        return 0;
    return fail(&w->f, -ENOTSUP,
                "process %d has another root directory ('%s') than this command, which a restart "
                "cannot enter; run gdb-hijack within it",
                (int)w->a->pid, root);
}

/* --- the checkpoint --- */

/* Up to the signal. What a process that ends meanwhile makes of it has one name. */
static int order(struct work *w)
{
    w->request.flags = (w->a->leave ? FRAME_LEAVE : 0) | (w->a->portable ? FRAME_PORTABLE : 0);
    w->request.exit_status = w->a->exit_status;
    int error = ask_open(&w->ask, w->a->pid, "checkpoint", &w->f);
    if (!error)
        error = check_root(w);
    if (!error)
        error = check_path(w);
    if (!error)
        error = ask_leave(&w->ask, &w->request, &w->f);
    if (error && ask_has_ended(&w->ask, 0))
        return fail(&w->f, -ESRCH, "process %d has ended", (int)w->a->pid);
    return error;
}

/* A name leads to another file than before only once the image in it is complete. */
static void tell_of_image(struct work *w)
{
    static char here[FRAME_PATH + 32];
    struct stat now;
    size_t used = strlen(w->f.text);
    if (*w->request.path && lstat(seen(w, w->request.path, here, sizeof here), &now) == 0 &&
        now.st_ino != w->older.st_ino)
        snprintf(w->f.text + used, sizeof w->f.text - used, "; the image '%s' is complete",
                 w->request.path);
}

static enum ask_outcome await_end(struct work *w)
{
    enum ask_outcome outcome = ask_await(&w->ask, w->a->timeout, &w->f);
    if (outcome == ASK_LOST)
        tell_of_image(w);
    if (outcome != ASK_DONE || !w->a->leave || ask_has_ended(&w->ask, END_TIMEOUT * 1000))
        return outcome;
    fail(&w->f, -EBUSY, "the image '%s' is written but process %d has not ended",
         w->ask.report.path, (int)w->a->pid);
    return ASK_ROLLED_BACK;
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
    const struct frame_report *r = &w->ask.report;
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

static void print_json(const struct work *w, enum ask_outcome outcome)
{
    static const char *const names[] = {"done", "refused", "", "rolled back", "lost"};
    static char text[6 * FRAME_PATH];
    const struct frame_report *r = &w->ask.report;
    printf("{\"schema\": %d, \"command\": \"checkpoint\", \"pid\": %d, \"outcome\": \"%s\"", SCHEMA,
           (int)w->a->pid, names[outcome]);
    if (outcome != ASK_DONE)
        printf(", \"error\": %s", control_json(text, sizeof text, w->f.text));
    if (*r->step)
        printf(", \"step\": %s", control_json(text, sizeof text, r->step));
    if (outcome == ASK_DONE) {
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
    enum ask_outcome outcome = ASK_REFUSED;
    w.a = a;
    if (!order(&w))
        outcome = await_end(&w);
    ask_close(&w.ask);
    if (outcome != ASK_DONE)
        fprintf(stderr, "gdb-hijack: %s\n", w.f.text);
    if (a->json)
        print_json(&w, outcome);
    else if (outcome == ASK_DONE)
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
    struct arguments a = {.exit_status = DEFAULT_STATUS, .timeout = ASK_TIMEOUT};
    argp_err_exit_status = EXIT_USAGE;
    return argp_parse(&argp, argc, argv, 0, NULL, &a) ? EXIT_USAGE : run(&a);
}
