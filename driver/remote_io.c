/* remote_io.c - see remote_io.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "driver/agent.h"
#include "driver/calls.h"
#include "driver/preflight.h"
#include "driver/remote_io.h"
#include "driver/steps.h"
#include "stubs/remote.h"

/* --- what there is to see --- */

int remote_io_mode(pid_t pid)
{
    uint32_t mode;
    int code = agent_peek(pid, "remote", &mode, sizeof mode);
    return code < 0 ? code : mode > REMOTE_AWAY ? -EPROTO : (int)mode;
}

int remote_io_refuse_away(pid_t pid, struct failure *f)
{
    if (remote_io_mode(pid) != REMOTE_AWAY)
        return 0;
    return fail(f, -EXDEV,
                "process %d is away from its home; to take it there: gdb-hijack checkpoint %d "
                "--exit, and restart the image at home",
                (int)pid, (int)pid);
}

static int count_one(void *context, int fd, const char *target)
{
    (void)fd, (void)target;
    ++*(unsigned *)context;
    return 0;
}

static unsigned count_descriptors(pid_t pid)
{
    unsigned count = 0;
    proc_descriptors(pid, count_one, &count);
    return count;
}

/* Jumps that lead to a stub while I/O is remote; the other functions go on in libc, to the net. */
static unsigned count_stubs(pid_t pid)
{
    static struct hijack_record record;
    unsigned count = 0;
    if (agent_peek(pid, "hijack_record", &record, sizeof record) < 0 ||
        record.version != HIJACK_RECORD_VERSION || record.patch_count > HIJACK_MAX_PATCHES)
        return 0;
    for (uint32_t i = 0; i < record.patch_count; i++)
        count += record.patches[i].function < FUNCTIONS &&
                 call_has_stub(&call_functions[record.patches[i].function]);
    return count;
}

/* --- asking --- */

static enum ask_outcome change(pid_t pid, uint32_t flag, const char *policy, struct failure *f)
{
    static struct ask ask;
    static struct frame_request request;
    const char *what = flag == FRAME_REMOTE_BEGIN ? "remote I/O" : "way home for the I/O";
    enum ask_outcome outcome = ASK_REFUSED;
    memset(&request, 0, sizeof request);
    request.flags = flag;
    snprintf(request.path, sizeof request.path, "%s", policy ? policy : "");
    int error = ask_open(&ask, pid, what, f);
    if (!error)
        error = ask_leave(&ask, &request, f);
    if (!error)
        outcome = ask_await(&ask, ASK_TIMEOUT, f);
    else if (ask_has_ended(&ask, 0))
        fail(f, -ESRCH, "process %d has ended", (int)pid);
    ask_close(&ask);
    return outcome;
}

enum ask_outcome remote_io_begin(pid_t pid, const char *policy, char *detail, size_t size,
                                 struct failure *f)
{
    unsigned descriptors = count_descriptors(pid);
    enum ask_outcome outcome = change(pid, FRAME_REMOTE_BEGIN, policy, f);
    if (outcome == ASK_DONE)
        snprintf(detail, size, "%u descriptor%s with the shadow, %u jumps to stubs, net armed",
                 descriptors, descriptors == 1 ? "" : "s", count_stubs(pid));
    return outcome;
}

static bool has_shadow(pid_t pid)
{
    static struct control_status status;
    struct control control;
    int error = agent_find_shadow(pid, &control, &status);
    if (!error)
        control_close(&control);
    return error != -ENOENT;
}

/* Its descriptors have gone with its shadow. */
static void explain_no_shadow(pid_t pid, struct failure *f)
{
    fail(
        f, -EPIPE,
        "the shadow of process %d is gone, and with it the descriptors of the program, whose calls "
        "fail now (EIO); what remains is its memory, which gdb can look at, and its newest image: "
        "kill %d, then gdb-hijack restart IMAGE",
        (int)pid, (int)pid);
}

enum ask_outcome remote_io_end(pid_t pid, char *detail, size_t size, struct failure *f)
{
    enum ask_outcome outcome = change(pid, FRAME_REMOTE_END, NULL, f);
    if (outcome == ASK_DONE) {
        unsigned descriptors = count_descriptors(pid);
        snprintf(detail, size, "%u descriptor%s at home, jumps to libc, net gone", descriptors,
                 descriptors == 1 ? "" : "s");
    } else if (outcome != ASK_LOST && remote_io_mode(pid) > REMOTE_OFF && !has_shadow(pid)) {
        explain_no_shadow(pid, f);
    }
    return outcome;
}

/* --- a process that is hijacked already --- */

/* What stands against it, before anything is asked. */
static int check(const struct hijack_options *options, struct failure *f)
{
    struct findings findings = {0};
    int pid = (int)options->pid, mode = remote_io_mode(options->pid);
    if (mode < 0)
        return fail(f, mode, "process %d is not hijacked, or closed to you", pid);
    if (options->local_io)
        return mode == REMOTE_OFF
                   ? fail(f, -EALREADY, "process %d does its I/O itself already", pid)
                   : remote_io_refuse_away(pid, f);
    if (mode != REMOTE_OFF)
        return fail(f, -EALREADY, "the I/O of process %d is with its shadow already", pid);
    int code = preflight_remote(options->pid, &findings, f);
    const struct finding *worst = code ? NULL : findings_worst(&findings, FINDING_REFUSE_REMOTE);
    if (worst)
        code = fail(f, -EPERM, "%s", worst->text);
    findings_free(&findings);
    return code;
}

enum hijack_outcome remote_io_run(const struct hijack_options *options, struct failure *f)
{
    struct steps steps = {.options = options};
    char detail[256];
    if (check(options, f) < 0)
        return HIJACK_REFUSED;
    if (options->dry_run)
        return HIJACK_DONE;
    if (steps_begin(&steps, options->local_io ? "local" : "remote", f) < 0)
        return HIJACK_ROLLED_BACK;
    enum ask_outcome outcome =
        options->local_io
            ? remote_io_end(options->pid, detail, sizeof detail, f)
            : remote_io_begin(options->pid, options->policy, detail, sizeof detail, f);
    if (outcome == ASK_DONE)
        steps_end(&steps, "%s", detail);
    return (enum hijack_outcome)outcome;
}
