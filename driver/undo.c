/* undo.c - see undo.h. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/agent.h"
#include "driver/interrupt.h"
#include "driver/remote_io.h"
#include "driver/masks.h"
#include "driver/steps.h"
#include "driver/text.h"
#include "driver/undo.h"
#include "gdbmi/mi_fault.h"

/* The record as the target's memory has it; read before gdb is there. */
static int peek_record(const struct target *target, struct hijack_record *record)
{
    taddr address;
    const struct object *agent = objects_named(target->objects, LOAD_LIBRARY);
    if (!agent || !object_symbol(target->objects, agent, "hijack_record", &address))
        return -ENOENT;
    int code = proc_read_memory(target->info.pid, address, record, sizeof *record);
    return code < 0 ? code : record->version == HIJACK_RECORD_VERSION ? 0 : -EPROTO;
}

/* Where the target must be stopped for undoing: the loader says. Unknown when loading was cut
 * short; then `otherwise`. And not where a thread is to be given the checkpoint signal, which will
 * have no handler any more. */
static void set_purpose(struct target *target, enum safepoint_purpose otherwise)
{
    struct hijack_record record;
    struct hijack_params params;
    bool recorded = peek_record(target, &record) == 0 && (record.handle || record.library_size);
    target->purpose = recorded ? load_recorded(&record)->purpose : otherwise;
    if (agent_peek(target->info.pid, "hijack_params", &params, sizeof params) == 0)
        target->own_signal = params.signal;
}

/* By what on the stack the library is known to be at work, or to be gone back to: return addresses
 * of stubs and net; a stub that goes on at home (stubs/entry.h) or the way to a handler
 * (stubs/actions.h), or a handler of the program's that came upon either. */
static const struct {
    const char *begin, *end; /* end NULL: one address */
} ways_back[] = {
    {"hijack_in_stub", NULL},
    {"hijack_in_net", NULL},
    {"hijack_at_home", "hijack_at_home_end"},
    {"hijack_in_mask", "hijack_in_mask_end"}, /* of older libraries: a part of that */
    {"actions_relay", "actions_relay_end"},
};

static bool leads_back(const struct target *target, const taddr *places, size_t count)
{
    const struct object *agent = objects_named(target->objects, LOAD_LIBRARY);
    for (size_t n = 0; agent && n < sizeof ways_back / sizeof *ways_back; n++) {
        taddr begin, end;
        if (!object_symbol(target->objects, agent, ways_back[n].begin, &begin))
            continue;
        end = begin + 1;
        if (ways_back[n].end && !object_symbol(target->objects, agent, ways_back[n].end, &end))
            continue;
        for (size_t i = 1; i < count; i++)
            if (places[i] - begin < end - begin)
                return true;
    }
    return false;
}

int undo_unsafe(void *context, const struct target *target, const taddr *places, size_t count,
                char reason[SAFEPOINT_REASON])
{
    struct hijack_record record;
    const struct object *holder = objects_holding(target->objects, places[0]);
    (void)context;
    if (holder && holder == objects_named(target->objects, LOAD_LIBRARY)) {
        snprintf(reason, SAFEPOINT_REASON, "taking a checkpoint");
        return 1;
    }
    if (peek_record(target, &record) < 0)
        return 0;
    if (leads_back(target, places, count)) {
        snprintf(reason, SAFEPOINT_REASON, "in a call that waits in our code");
        return 1;
    }
    for (size_t i = 0; i < count; i++)
        if (places[i] - record.island < record.island_size) {
            snprintf(reason, SAFEPOINT_REASON, "in a replaced function's first instructions");
            return 1;
        }
    return 0;
}

/* --- the single steps back --- */

static int undo_start(struct target *target, struct hijack_record *record, struct failure *f)
{
    int64_t result;
    if (!record->started)
        return 0;
    int code = agent_call(target, "hijack_stop", &result, f);
    if (code == 0 && result < 0)
        return fail_errno(f, (int)result, "cannot take the checkpoint signal's handler out");
    record->started = 0;
    return code < 0 ? code : agent_write_record(target, record, false, f);
}

/* Only what is really there: the record may be ahead of a mapping that never came about. */
static int unmap(struct target *target, taddr address, uint64_t size, struct failure *f)
{
    const struct mapping *mapping = maps_find(&target->maps, address);
    bool there = mapping && mapping->start == address && mapping->end == address + size;
    int64_t result = 0;
    int code =
        there ? target_syscall(target, &result, f, SYS_munmap, (uint64_t[6]){address, size}) : 0;
    return code == 0 && result < 0 ? fail_errno(f, (int)result, "cannot unmap memory of the hijack")
                                   : code;
}

static int undo_replace(struct target *target, struct hijack_record *record, struct failure *f)
{
    int code = text_unpatch(target, record, f);
    if (code < 0)
        return code;
    record->patch_count = 0;
    code = unmap(target, record->island, record->island_size, f);
    record->island_size = 0;
    return code < 0 ? code : agent_write_record(target, record, false, f);
}

/* A forked child has its parent's record, and must leave the parent its shadow. */
static bool is_own(const struct target *target, const struct hijack_params *params)
{
    return params->pid == target->info.innermost_pid &&
           params->start_time == target->info.start_time;
}

/* Pids are used again, by other shadows, too: the socket that it was told to listen on is its own.
 */
static bool listens_on(pid_t shadow, const char *socket)
{
    char path[64], line[sizeof(struct hijack_params)];
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)shadow);
    FILE *file = fopen(path, "re");
    size_t size = file ? fread(line, 1, sizeof line - 1, file) : 0;
    if (file)
        fclose(file);
    line[size] = '\0';
    size_t name = strlen(line) + 1;
    return name < size && strcmp(line + name, socket) == 0;
}

/* The shadow of this process, and nobody else. */
static void end_shadow(struct target *target, pid_t shadow)
{
    struct hijack_params params;
    struct proc_info info;
    struct failure ignored;
    if (shadow > 0 && agent_read_params(target, &params, &ignored) == 0 &&
        is_own(target, &params) && proc_read(shadow, &info, &ignored) == 0 &&
        strcmp(info.name, "hijack-shadow") == 0 && listens_on(shadow, params.socket))
        kill(shadow, SIGTERM);
}

/* target_go() will do it. */
static int order_masks(struct target *target, const struct hijack_record *record, struct failure *f)
{
    struct hijack_params params;
    if (!record->unblocked_count)
        return 0;
    int code = agent_read_params(target, &params, f);
    if (code == 0)
        masks_order(target, params.signal, true, record, 0);
    return code;
}

int undo_all(struct target *target, struct failure *f)
{
    struct hijack_record record;
    if (!agent_loaded(target))
        return load_close_left_open(target, f);
    if (agent_cut_short(target))
        return agent_unload(target, f);
    int code = agent_read_record(target, &record, f);
    if (code == 0)
        code = order_masks(target, &record, f);
    if (code == 0)
        code = undo_start(target, &record, f);
    if (code == 0)
        code = undo_replace(target, &record, f);
    if (code == 0)
        end_shadow(target, record.shadow);
    return code < 0 ? code : agent_unload(target, f);
}

/* --- after a failure --- */

static bool ended(const struct target *target)
{
    return proc_ended(target->info.pid, target->info.start_time);
}

/* The server never asked for a request, so nothing was done. */
static int undo_entering(struct target *target, struct failure *f)
{
    struct failure ignored;
    if (!target->sent) { /* nothing is left of it; a gdb that is dead has let it go */
        if (inferior_attached(target->inferior))
            target_let_go(target, &ignored);
        return 0;
    }
    int code = target_take_server_out(target, f);
    return code < 0 ? code : target_let_go(target, f);
}

/* While calls go to the net nothing can be called in the target. */
static bool is_remote(pid_t pid)
{
    return remote_io_mode(pid) > 0;
}

static int refuse_remote(const struct target *target, struct failure *f)
{
    return is_remote(target->info.pid)
               ? fail(f, -EAGAIN,
                      "the I/O of process %d has gone to its shadow meanwhile; try "
                      "again",
                      (int)target->info.pid)
               : 0;
}

/* Of the target that is held: where it may be served. */
static int find_place(void *context, struct failure *f)
{
    struct target *target = context;
    int code = target_find_safe_point(target, HIJACK_SAFE_POINT_MS, undo_unsafe, NULL, f);
    return code < 0 ? code : refuse_remote(target, f);
}

static int undo_with_new_gdb(struct target *target, struct failure *f)
{
    char detail[256];
    if (is_remote(target->info.pid) &&
        remote_io_end(target->info.pid, detail, sizeof detail, f) != ASK_DONE)
        return f->code;
    set_purpose(target, target->purpose);
    int code = target_retake(target, HIJACK_SAFE_POINT_MS, undo_unsafe, NULL, f);
    if (code == 0)
        code = refuse_remote(target, f);
    if (code == 0)
        code = target_serve(target, find_place, target, f);
    if (code == 0)
        code = undo_all(target, f);
    return code < 0 ? code : target_go(target, f);
}

/* Adds to the reason of the failure what became of the target. */
static void add(struct failure *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct failure *f, const char *format, ...)
{
    size_t used = strlen(f->text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->text + used, sizeof f->text - used, format, arguments);
    va_end(arguments);
}

/* With the gdb at hand if it lives, else with a new one. */
static int undo_somehow(struct target *target, struct failure *f)
{
    bool at_hand = inferior_attached(target->inferior) && target->served;
    int code = at_hand ? undo_all(target, f) : -EPIPE;
    if (code == 0)
        code = target_go(target, f);
    if (code == 0)
        return 0;
    return (target->answered ? undo_with_new_gdb : undo_entering)(target, f);
}

enum hijack_outcome undo_failed(struct target *target, struct failure *f)
{
    struct failure undoing = {0};
    int pid = (int)target->info.pid;
    interrupt_forget();
    mi_faults_forget(); /* they are injected into the work, not into its undoing */
    int code = ended(target) ? -ESRCH : undo_somehow(target, &undoing);
    if (code < 0 && ended(target)) {
        add(f, "; process %d has ended", pid);
        return HIJACK_LOST;
    }
    if (code < 0)
        add(f, "; the process runs on, but undoing did not finish (%s): try gdb-hijack release %d",
            undoing.text, pid);
    else if (agent_loaded(target)) /* a release that never came to its work */
        add(f, "; nothing was undone, process %d runs on and is hijacked as before", pid);
    else
        add(f, "; everything was undone, the process runs on as before");
    return HIJACK_ROLLED_BACK;
}

/* --- release --- */

/* Its I/O comes home first. */
static enum hijack_outcome release_local(pid_t pid, struct steps *steps, struct failure *f)
{
    char detail[256];
    if (!is_remote(pid))
        return HIJACK_DONE;
    if (steps_begin(steps, "local", f) < 0)
        return HIJACK_REFUSED;
    enum ask_outcome outcome = remote_io_end(pid, detail, sizeof detail, f);
    if (outcome == ASK_DONE)
        steps_end(steps, "%s", detail);
    return (enum hijack_outcome)outcome;
}

static int release_steps(struct target *target, struct steps *steps, struct failure *f)
{
    int code = steps_begin(steps, "attach", f);
    if (code == 0)
        code = target_attach(target, f);
    if (code < 0)
        return code;
    steps_end(steps, "gdb %s", inferior_gdb_version(target->inferior));
    set_purpose(target, SAFEPOINT_FOR_LIBC);
    code = steps_begin(steps, "safe point", f);
    if (code == 0)
        code = find_place(target, f);
    if (code == 0)
        steps_end(steps, "%s%s", *target->where ? "in " : "", target->where);
    return code;
}

static int release_undo(struct target *target, struct steps *steps, struct failure *f)
{
    int code = steps_begin(steps, "undo", f);
    if (code == 0)
        code = target_serve(target, find_place, target, f);
    if (code == 0)
        code = undo_all(target, f);
    if (code < 0)
        return code;
    steps_end(steps, "functions restored, library unloaded, shadow ended");
    code = steps_begin(steps, "detach", f);
    if (code == 0)
        code = target_go(target, f);
    if (code == 0)
        steps_end(steps, "the process stood still for %.1f ms", (double)target->still_ns / 1e6);
    return code;
}

static enum hijack_outcome release_take_steps(struct target *target, struct steps *steps,
                                              struct failure *f)
{
    enum hijack_outcome outcome = release_local(target->info.pid, steps, f);
    if (outcome != HIJACK_DONE)
        return outcome;
    if (release_steps(target, steps, f) < 0)
        return HIJACK_REFUSED;
    if (release_undo(target, steps, f) < 0)
        return undo_failed(target, f);
    return HIJACK_DONE;
}

enum hijack_outcome release_run(const struct hijack_options *options, struct hijack_result *result,
                                struct failure *f)
{
    struct target target = {0};
    struct steps steps = {.options = options};
    enum hijack_outcome outcome = HIJACK_REFUSED;
    int code = remote_io_refuse_away(options->pid, f);
    if (code == 0)
        code = target_open(&target, options->pid, options->trace, f);
    target.patience_ms = options->safe_point_ms;
    if (code == 0 && !agent_loaded(&target))
        code = fail(f, -ENOENT, "process %d is not hijacked", (int)options->pid);
    if (code == 0)
        outcome = options->dry_run ? HIJACK_DONE : release_take_steps(&target, &steps, f);
    if (outcome == HIJACK_REFUSED)
        target_explain_end(options->pid, target.info.start_time, f);
    result->still_ns = target.still_ns;
    target_close(&target);
    return outcome;
}
