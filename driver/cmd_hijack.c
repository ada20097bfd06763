/* cmd_hijack.c - `gdb-hijack hijack PID` and `gdb-hijack release PID`: options in, steps and result
 * out. */
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/commands.h"
#include "driver/options.h"
#include "driver/load.h"
#include "driver/remote_io.h"
#include "driver/report.h"
#include "stubs/frame.h"
#include "stubs/policy.h"

struct arguments {
    struct hijack_options options;
    struct report report;
    bool release;
    char policy[FRAME_PATH];
};

enum {
    KEY_JSON = 256,
    KEY_TRUST_SECCOMP,
    KEY_WAIT,
    KEY_LOADER,
    KEY_REMOTE_IO,
    KEY_IO,
    KEY_LOCAL_IO
};

static const struct argp_option hijack_options_table[] = {
    {"dry-run", 'n', NULL, 0, "check everything, touch nothing", 0},
    {"quiet", 'q', NULL, 0, "print nothing but errors", 0},
    {"verbose", 'v', NULL, 0, "show the dialogue with gdb", 0},
    {"json", KEY_JSON, NULL, 0, "print the result as JSON", 0},
    {"interactive", 'i', NULL, 0, "wait after each step, to look at the process with gdb", 0},
    {"signal", 's', "NUMBER", 0,
     "the signal that takes a checkpoint (default: the highest free one up to 63)", 0},
    {"wait", KEY_WAIT, "SECONDS", 0, "how long to look for a safe point (default 10)", 0},
    {"trust-seccomp", KEY_TRUST_SECCOMP, NULL, 0, "hijack in spite of a seccomp filter", 0},
    {"loader", KEY_LOADER, "map|dlopen", 0,
     "map the library ourselves (default), or call dlopen in the process", 0},
    {"remote-io", KEY_REMOTE_IO, NULL, 0,
     "from now on its shadow does its I/O; also for a process that is hijacked already", 0},
    {"io", KEY_IO, "PATTERN=remote|buffer|local", 0,
     "files of that name: each call at home (default); writes behind and reads ahead, as only this "
     "program uses them; on the host where the program is. With --remote-io",
     0},
    {"local-io", KEY_LOCAL_IO, NULL, 0,
     "the I/O of a process hijacked with --remote-io comes home again", 0},
    {0},
};

static const struct argp_option release_options_table[] = {
    {"dry-run", 'n', NULL, 0, "check everything, touch nothing", 0},
    {"quiet", 'q', NULL, 0, "print nothing but errors", 0},
    {"verbose", 'v', NULL, 0, "show the dialogue with gdb", 0},
    {"json", KEY_JSON, NULL, 0, "print the result as JSON", 0},
    {"wait", KEY_WAIT, "SECONDS", 0, "how long to look for a safe point (default 10)", 0},
    {0},
};

/* Appends a line to the policy of files. */
static void add_policy(struct arguments *a, const struct argp_state *state, const char *text)
{
    int error = policy_add(a->policy, sizeof a->policy, text);
    if (error == -EINVAL)
        argp_error(state, "--io takes PATTERN=remote, PATTERN=buffer or PATTERN=local, not \"%s\"",
                   text);
    else if (error)
        argp_error(state, "too many --io");
    a->options.policy = a->policy;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 'n':
        a->options.dry_run = true;
        return 0;
    case 'q':
        a->report.quiet = true;
        return 0;
    case 'v':
        a->options.trace = report_dialogue;
        return 0;
    case 'i':
        a->options.interactive = true;
        return 0;
    case 's':
        a->options.signal = option_number(state, "signal", argument, 1, 64);
        return 0;
    case KEY_JSON:
        a->report.json = true;
        return 0;
    case KEY_WAIT:
        a->options.safe_point_ms = 1000 * option_number(state, "wait", argument, 1, 86400);
        return 0;
    case KEY_LOADER:
        a->options.loader = load_named(argument);
        if (!a->options.loader)
            argp_error(state, "no loader \"%s\": map or dlopen", argument);
        return 0;
    case KEY_REMOTE_IO:
        a->options.remote_io = true;
        return 0;
    case KEY_IO:
        add_policy(a, state, argument);
        return 0;
    case KEY_LOCAL_IO:
        a->options.local_io = true;
        return 0;
    case KEY_TRUST_SECCOMP:
        a->options.trust_seccomp = true;
        return 0;
    case ARGP_KEY_ARG:
        a->options.pid = option_pid(state, argument);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which process?");
        return 0;
    case ARGP_KEY_SUCCESS:
        if (a->options.remote_io && a->options.local_io)
            argp_error(state, "--remote-io or --local-io?");
        if (*a->policy && !a->options.remote_io)
            argp_error(state, "--io means nothing without --remote-io");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_result(const struct arguments *a, enum hijack_outcome outcome,
                         const struct hijack_result *result, const struct failure *f)
{
    int pid = (int)a->options.pid;
    if (outcome != HIJACK_DONE)
        report_failure(f);
    if (a->report.json)
        report_json(&a->report, a->release ? "release" : "hijack", a->options.pid, outcome, result,
                    f);
    else if (outcome == HIJACK_DONE && !a->report.quiet && a->options.dry_run)
        printf("process %d can be %s\n", pid, a->release ? "released" : "hijacked");
    else if (outcome == HIJACK_DONE && !a->report.quiet && a->release)
        printf("process %d is released; it is as it was before the hijack\n", pid);
    else if (outcome == HIJACK_DONE && !a->report.quiet && a->options.local_io)
        printf("process %d does its I/O itself again; it is still hijacked\n", pid);
    else if (outcome == HIJACK_DONE && !a->report.quiet && a->options.remote_io)
        printf(
            "the I/O of process %d is with its shadow; to see it: gdb-hijack trace %d; to end it: "
            "gdb-hijack --local-io %d\n",
            pid, pid, pid);
    else if (outcome == HIJACK_DONE && !a->report.quiet)
        printf("process %d is hijacked; to checkpoint it: gdb-hijack checkpoint %d\n", pid, pid);
}

/* For a process that is hijacked already there is only its I/O to be changed. */
static enum hijack_outcome take_command(const struct arguments *a, struct hijack_result *result,
                                        struct failure *f)
{
    const struct hijack_options *options = &a->options;
    if (a->release)
        return release_run(options, result, f);
    if (options->local_io || (options->remote_io && control_has_agent(options->pid)))
        return remote_io_run(options, f);
    return hijack_run(options, result, f);
}

static int run(struct arguments *a)
{
    static char directory[PATH_MAX];
    struct hijack_result result = {0};
    struct failure f = {0};
    enum hijack_outcome outcome = HIJACK_REFUSED;
    if (!getcwd(directory, sizeof directory)) {
        fail_errno(&f, -errno, "cannot find the current directory, where images would go");
    } else {
        a->options.directory = directory;
        a->options.progress = report_step;
        a->options.context = &a->report;
        outcome = take_command(a, &result, &f);
    }
    print_result(a, outcome, &result, &f);
    return (int)outcome;
}

int cmd_hijack(int argc, char **argv)
{
    static const struct argp argp = {.options = hijack_options_table,
                                     .parser = parse,
                                     .args_doc = "PID",
                                     .doc = "Makes the running process PID checkpointable."};
    struct arguments a = {
        .options = {.safe_point_ms = HIJACK_SAFE_POINT_MS, .loader = &loader_map}};
    argp_err_exit_status = EXIT_USAGE;
    return argp_parse(&argp, argc, argv, 0, NULL, &a) ? EXIT_USAGE : run(&a);
}

int cmd_release(int argc, char **argv)
{
    static const struct argp argp = {
        .options = release_options_table,
        .parser = parse,
        .args_doc = "PID",
        .doc = "Undoes the hijack of process PID: it is as it was before."};
    struct arguments a = {.release = true, .options.safe_point_ms = HIJACK_SAFE_POINT_MS};
    argp_err_exit_status = EXIT_USAGE;
    return argp_parse(&argp, argc, argv, 0, NULL, &a) ? EXIT_USAGE : run(&a);
}
