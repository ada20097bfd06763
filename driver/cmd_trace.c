/*
 * cmd_trace.c - `gdb-hijack trace PID`: the remote calls of a program, live, in the form of
 * `strace -ttt -T`, as its shadow tells of them. The program neither notices nor waits.
 */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/agent.h"
#include "driver/calls.h"
#include "driver/commands.h"
#include "driver/failure.h"
#include "driver/options.h"
#include "driver/remote_io.h"
#include "driver/trace.h"

#define SCHEMA 1

struct arguments {
    pid_t pid;
    const char *file; /* NULL: stderr, as strace's */
    bool summary, json;
};

enum { KEY_JSON = 256 };

static const struct argp_option options[] = {
    {"summary-only", 'c', NULL, 0, "print time, calls and errors of each call at the end", 0},
    {"output", 'o', "FILE", 0, "print there instead of on standard error", 0},
    {"json", KEY_JSON, NULL, 0, "print each call as a JSON object on a line, on standard output",
     0},
    {0},
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 'c':
        a->summary = true;
        return 0;
    case 'o':
        a->file = argument;
        return 0;
    case KEY_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_ARG:
        a->pid = option_pid(state, argument);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which process?");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

/* --- the calls --- */

static void print_call(FILE *to, const struct trace_call *c)
{
    const struct wire_traced *t = &c->traced;
    char began[32];
    if (t->lost)
        fprintf(to, "--- %u calls came too fast to be told ---\n", t->lost);
    int column =
        snprintf(began, sizeof began, "%llu.%06llu ", (unsigned long long)(t->began / 1000000000),
                 (unsigned long long)(t->began % 1000000000 / 1000));
    fputs(began, to);
    trace_line(to, c, column);
    fprintf(to, " <%llu.%06llu>\n", (unsigned long long)(t->took / 1000000000),
            (unsigned long long)(t->took % 1000000000 / 1000));
}

/* One argument, or with -1 the result, as a JSON string. */
static void print_json_text(FILE *to, const struct trace_call *c, int index)
{
    static char escaped[6 * 8192];
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    if (!memory)
        return;
    if (index < 0)
        trace_result(memory, c);
    else
        trace_argument(memory, c, index);
    fclose(memory);
    if (size)
        fputs(control_json(escaped, sizeof escaped, text), to);
    free(text);
}

static void print_json(FILE *to, const struct trace_call *c)
{
    const struct wire_traced *t = &c->traced;
    int64_t result = t->reply.result;
    fprintf(to, "{\"schema\": %d, \"time\": %llu.%06llu, \"took_us\": %.3f, \"channel\": %u",
            SCHEMA, (unsigned long long)(t->began / 1000000000),
            (unsigned long long)(t->began % 1000000000 / 1000), (double)t->took / 1e3, t->channel);
    fprintf(to, ", \"lost\": %u, \"call\": \"%s\", \"arguments\": [", t->lost, c->row->name);
    for (int i = 0; i < c->count; i++) {
        fputs(i && trace_is_shown(c, i) ? ", " : "", to);
        print_json_text(to, c, i);
    }
    fprintf(to, "], \"result\": %lld", (long long)(result < 0 ? -1 : result));
    const char *error = result < 0 ? strerrorname_np((int)-result) : NULL;
    if (error)
        fprintf(to, ", \"errno\": \"%s\"", error);
    fputs(", \"text\": ", to);
    print_json_text(to, c, -1);
    fputs("}\n", to);
}

/* --- listening --- */

static int refuse_local(pid_t pid, struct failure *f)
{
    if (remote_io_mode(pid) != 0)
        return 0;
    return fail(f, -ENOENT,
                "process %d does its I/O itself; to see its calls, give that to its shadow: "
                "gdb-hijack --remote-io %d (or use strace)",
                (int)pid, (int)pid);
}

static int find_shadow(pid_t pid, struct control *control, struct failure *f)
{
    static struct control_status status;
    int error = agent_find_shadow(pid, control, &status);
    if (error == -ESRCH)
        return fail(f, error, "there is no process %d", (int)pid);
    if (error)
        return fail(f, error, "process %d is not hijacked, or its shadow is gone", (int)pid);
    return refuse_local(pid, f);
}

/* Until the program ends, its I/O comes home, or the user has seen enough. 0, or -errno. */
static int listen_to(struct control *control, FILE *to, const struct arguments *a,
                     struct trace_sums *sums)
{
    static struct control_frame frame;
    struct trace_call call;
    while (!interrupted) {
        int type = control_next(control, &frame, -1);
        if (type == -EINTR)
            continue;
        if (type != FRAME_TRACED)
            return type == -ENOTCONN || type == -EBADMSG || type == -ECONNRESET ? 0 : type;
        if (trace_read(&call, frame.payload, frame.header.length))
            return -EBADMSG;
        trace_sum(sums, &call);
        if (a->json)
            print_json(to, &call);
        else if (!a->summary)
            print_call(to, &call);
        fflush(to);
    }
    return 0;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

static int run(const struct arguments *a)
{
    struct control control = {.fd = -1};
    struct failure f = {0};
    FILE *to = a->file ? fopen(a->file, "we") : a->json ? stdout : stderr;
    struct trace_sums *sums = calloc(calls_count, sizeof *sums);
    int error = to && sums ? find_shadow(a->pid, &control, &f)
                           : fail_errno(&f, -errno, "cannot write '%s'", a->file ? a->file : "");
    catch_signals();
    if (!error && (error = control_ask(&control, FRAME_TRACE, NULL, 0, NULL)))
        fail_errno(&f, error, "the shadow of process %d does not tell of its calls", (int)a->pid);
    if (!error && (error = listen_to(&control, to, a, sums)))
        fail(&f, error, "the shadow of process %d: %s", (int)a->pid, frame_error(error));
    if (!error && a->summary)
        trace_summary(to, sums);
    if (error)
        fprintf(stderr, "gdb-hijack: %s\n", f.text);
    control_close(&control);
    free(sums);
    if (to && to != stdout && to != stderr)
        fclose(to);
    return error ? 1 : 0;
}

int cmd_trace(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "PID",
        .doc =
            "Prints the remote calls of process PID, as `strace -ttt -T` would, until it ends or "
            "you press Ctrl-C."};
    struct arguments a = {0};
    argp_err_exit_status = EXIT_USAGE;
    return argp_parse(&argp, argc, argv, 0, NULL, &a) ? EXIT_USAGE : run(&a);
}
