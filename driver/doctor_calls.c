/* doctor_calls.c - see doctor.h: `gdb-hijack doctor --calls`, from the table of system calls. */
#include <stdio.h>
#include <string.h>

#include "driver/calls.h"
#include "driver/doctor.h"

enum { HOWS = CALL_REFUSE + 1 };

static const char *const how_names[HOWS] = {
    [CALL_FORWARD] = "forwarded",
    [CALL_LOCAL] = "local",
    [CALL_EMULATE] = "emulated",
    [CALL_REFUSE] = "refused",
};

/* "refused: ENOSYS". */
static const char *describe(const struct call *call, char *text, size_t size)
{
    if (call->how != CALL_REFUSE)
        return how_names[call->how];
    snprintf(text, size, "%s: %s", how_names[call->how], strerrorname_np(call->detail));
    return text;
}

static void print_text(void)
{
    int count[HOWS] = {0};
    char text[64];
    for (size_t i = 0; i < calls_count; i++) {
        const struct call *call = &calls[i];
        if (call->how == CALL_UNKNOWN)
            continue;
        count[call->how]++;
        const char *how = describe(call, text, sizeof text);
        printf("%3zu  %-24s%-*s%s\n", i, call->name, *call->why ? 18 : 0, how, call->why);
    }
    printf("%d forwarded to the shadow, which executes them at home; %d local, executed here; %d "
           "emulated, by both; %d refused; any other number: ENOSYS\n",
           count[CALL_FORWARD], count[CALL_LOCAL], count[CALL_EMULATE], count[CALL_REFUSE]);
}

/* The table's texts need no escapes; a unit test holds that. */
static void print_json(void)
{
    const char *separator = "";
    printf("{\"schema\": %d, \"calls\": [", DOCTOR_SCHEMA);
    for (size_t i = 0; i < calls_count; i++) {
        const struct call *call = &calls[i];
        if (call->how == CALL_UNKNOWN)
            continue;
        printf("%s\n{\"number\": %zu, \"name\": \"%s\", \"away\": \"%s\"", separator, i, call->name,
               how_names[call->how]);
        if (call->how == CALL_REFUSE)
            printf(", \"errno\": \"%s\"", strerrorname_np(call->detail));
        printf(", \"why\": \"%s\"}", call->why);
        separator = ",";
    }
    printf("]}\n");
}

void doctor_calls(bool json)
{
    (json ? print_json : print_text)();
}
