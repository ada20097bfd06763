/* cmd_doctor.c - `gdb-hijack doctor [PID]`: prints every reason against a hijack. Touches nothing,
 * never attaches. */
#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "driver/commands.h"
#include "driver/doctor.h"
#include "driver/options.h"
#include "driver/files.h"
#include "driver/preflight.h"

struct arguments {
    pid_t pid; /* 0: this machine */
    bool json, state, calls;
    struct preflight_options options;
};

enum { KEY_JSON = 256, KEY_STATE, KEY_CALLS, KEY_TRUST_SECCOMP };

static const struct argp_option options_table[] = {
    {"json", KEY_JSON, NULL, 0, "print JSON", 0},
    {"state", KEY_STATE, NULL, 0, "print what a checkpoint restores, refuses and leaves out", 0},
    {"calls", KEY_CALLS, NULL, 0,
     "print what becomes of each system call while I/O is remote, and why", 0},
    {"signal", 's', "NUMBER", 0, "the signal that shall take a checkpoint", 0},
    {"trust-seccomp", KEY_TRUST_SECCOMP, NULL, 0, "do not refuse for a seccomp filter", 0},
    {0},
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case KEY_JSON:
        a->json = true;
        return 0;
    case KEY_STATE:
        a->state = true;
        return 0;
    case KEY_CALLS:
        a->calls = true;
        return 0;
    case KEY_TRUST_SECCOMP:
        a->options.trust_seccomp = true;
        return 0;
    case 's':
        a->options.signal = option_number(state, "signal", argument, 1, 64);
        return 0;
    case ARGP_KEY_ARG:
        a->pid = option_pid(state, argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    options_table,
    parse,
    "[PID]",
    "Can process PID be hijacked and checkpointed, here, by me? Without PID: is this machine fit? "
    "Touches nothing."
    "\vExit status: 0 it can be hijacked, 1 it cannot, 2 usage.",
    NULL,
    NULL,
    NULL,
};

/* --- as text --- */

static const char *const severity_names[] = {"note", "warning", "remote-io", "checkpoint",
                                             "refused"};

static bool can_be_remote(const struct findings *findings)
{
    for (size_t i = 0; i < findings->count; i++)
        if (findings->at[i].severity == FINDING_REFUSE_REMOTE)
            return false;
    return !findings_worst(findings, FINDING_REFUSE);
}

static void print_text(const struct arguments *a, const struct findings *findings)
{
    for (size_t i = 0; i < findings->count; i++)
        printf("  %-11s %s\n", severity_names[findings->at[i].severity], findings->at[i].text);
    bool fit = !findings_worst(findings, FINDING_REFUSE);
    if (a->pid && fit)
        printf("its I/O can%s be its shadow's (--remote-io)\n",
               can_be_remote(findings) ? "" : "not");
    if (!a->pid)
        printf("this machine is %s\n", fit ? "fit to hijack processes" : "not fit");
    else if (!fit)
        printf("process %d cannot be hijacked\n", (int)a->pid);
    else if (findings_worst(findings, FINDING_REFUSE_CHECKPOINT))
        printf("process %d can be hijacked, but not be checkpointed as things are now\n",
               (int)a->pid);
    else
        printf("process %d can be hijacked and checkpointed\n", (int)a->pid);
}

/* --- as JSON --- */

/* RFC 8259: quotes, backslashes and control characters escaped; bytes of no known encoding as
 * U+FFFD. */
static void print_json_string(const char *text)
{
    putchar('"');
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else if (*c < 0x20)
            printf("\\u%04x", *c);
        else if (*c >= 0x7f)
            printf("\\ufffd");
        else
            putchar(*c);
    }
    putchar('"');
}

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

static void print_json(const struct arguments *a, const struct findings *findings)
{
    bool fit = !findings_worst(findings, FINDING_REFUSE);
    printf("{\"schema\": %d, ", DOCTOR_SCHEMA);
    if (a->pid)
        printf("\"pid\": %d, ", (int)a->pid);
    printf("\"can_be_hijacked\": %s, \"can_be_checkpointed\": %s, ", truth(fit),
           truth(!findings_worst(findings, FINDING_REFUSE_CHECKPOINT)));
    if (a->pid)
        printf("\"can_be_remote\": %s, ", truth(can_be_remote(findings)));
    printf("\"findings\": [");
    for (size_t i = 0; i < findings->count; i++) {
        printf("%s{\"severity\": \"%s\", \"id\": \"%s\", \"text\": ", i ? ", " : "",
               severity_names[findings->at[i].severity], findings->at[i].id);
        print_json_string(findings->at[i].text);
        putchar('}');
    }
    printf("]}\n");
}

/* --- the table of kernel state --- */

static void print_state(void)
{
#define STATE(identifier, disposition, what, how)                                                  \
    printf("%-10s  %s: %s\n", state_##disposition, what, how);
    static const char *const state_RESTORED = "restored", *const state_REFUSED = "refused",
                             *const state_DOCUMENTED = "left out";
#include "restart/state.def"
#undef STATE
}

int cmd_doctor(int argc, char **argv)
{
    struct arguments a = {0};
    struct findings findings = {0};
    struct failure f;
    char library[FILES_PATH_MAX];
    argp_err_exit_status = EXIT_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    if (a.state) {
        print_state();
        return 0;
    }
    if (a.calls) {
        doctor_calls(a.json);
        return 0;
    }
    if (!files_find("libhijack.so", library, &f))
        a.options.library = library;
    a.options.coverage = true;
    int error = a.pid ? preflight_process(a.pid, &a.options, &findings, &f)
                      : preflight_machine(&findings, &f);
    if (error) {
        fprintf(stderr, "gdb-hijack: %s\n", f.text);
        return 1;
    }
    (a.json ? print_json : print_text)(&a, &findings);
    bool fit = !findings_worst(&findings, FINDING_REFUSE);
    findings_free(&findings);
    return fit ? 0 : 1;
}
