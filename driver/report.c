/* report.c - see report.h. */
#include <inttypes.h>
#include <stdio.h>

#include "driver/report.h"
#include "shadow/control.h"

void report_step(void *context, const struct hijack_step *step)
{
    struct report *report = context;
    if (report->count < REPORT_MAX_STEPS)
        report->steps[report->count++] = *step;
    if (!report->quiet && !report->json)
        fprintf(stderr, "  %-11s %6.1f ms   %s\n", step->name, (double)step->ns / 1e6,
                step->detail);
}

void report_dialogue(void *unused, char direction, const char *line, size_t size)
{
    enum { SHOWN = 240 };
    (void)unused;
    fprintf(stderr, "    %c %.*s%s\n", direction, size > SHOWN ? SHOWN : (int)size, line,
            size > SHOWN ? "..." : "");
}

void report_failure(const struct failure *f)
{
    fprintf(stderr, "gdb-hijack: %s\n", f->text);
}

static const char *outcome_name(enum hijack_outcome outcome)
{
    switch (outcome) {
    case HIJACK_DONE:
        return "done";
    case HIJACK_REFUSED:
        return "refused";
    case HIJACK_ROLLED_BACK:
        return "rolled back";
    default:
        return "lost";
    }
}

static void report_coverage(const struct coverage *c)
{
    printf(
        ", \"coverage\": {\"patched\": %zu, \"local\": %zu, \"net_only\": %zu, \"uncovered\": %zu, "
        "\"left_out_bytes\": %" PRIu64 "}",
        c->patched, c->local, c->net_only, c->uncovered, c->left_out);
}

void report_json(const struct report *report, const char *command, pid_t pid,
                 enum hijack_outcome outcome, const struct hijack_result *result,
                 const struct failure *f)
{
    char text[8192];
    printf("{\"schema\": %d, \"command\": \"%s\", \"pid\": %d, \"outcome\": \"%s\"", REPORT_SCHEMA,
           command, (int)pid, outcome_name(outcome));
    if (outcome != HIJACK_DONE)
        printf(", \"error\": %s", control_json(text, sizeof text, f->text));
    if (result->shadow)
        printf(", \"shadow\": %d, \"signal\": %d, \"patched\": %zu, \"refused\": %zu",
               (int)result->shadow, result->signal, result->patched, result->refused);
    if (result->shadow)
        report_coverage(&result->coverage);
    printf(", \"still_ms\": %.3f, \"steps\": [", (double)result->still_ns / 1e6);
    for (size_t i = 0; i < report->count; i++) {
        const struct hijack_step *step = &report->steps[i];
        printf("%s{\"name\": \"%s\", \"ms\": %.3f, \"detail\": %s}", i ? ", " : "", step->name,
               (double)step->ns / 1e6, control_json(text, sizeof text, step->detail));
    }
    printf("]}\n");
}
