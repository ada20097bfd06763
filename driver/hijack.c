/* hijack.c - see hijack.h: the steps of a hijack. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/agent.h"
#include "driver/arch.h"
#include "driver/files.h"
#include "driver/load.h"
#include "driver/inspect.h"
#include "driver/masks.h"
#include "driver/preflight.h"
#include "driver/remote_io.h"
#include "driver/replace.h"
#include "driver/steps.h"
#include "driver/tdesc.h"
#include "driver/text.h"
#include "driver/undo.h"
#include "shadow/control.h"
#include "stubs/entry.h"

struct hijack {
    const struct hijack_options *options;
    struct hijack_result *result;
    struct steps steps;
    struct target target;
    struct replace *replace;
    taddr island;
    char library[FILES_PATH_MAX];
    struct tdesc_syscalls syscalls; /* names, for the user */
    struct hijack_params params;
    struct hijack_record record;
};

/* --- before the target is touched --- */

static int refuse_unfit(struct hijack *h, struct failure *f)
{
    struct preflight_options options = {.trust_seccomp = h->options->trust_seccomp,
                                        .remote_io = h->options->remote_io,
                                        .signal = h->options->signal,
                                        .library = h->library};
    struct findings findings = {0};
    int code = files_find(LOAD_LIBRARY, h->library, f);
    if (code == 0)
        code = preflight_process(h->options->pid, &options, &findings, f);
    const struct finding *worst = code == 0 ? findings_worst(&findings, FINDING_REFUSE) : NULL;
    if (worst)
        code = fail(f, -EPERM, "%s", worst->text);
    findings_free(&findings);
    return code;
}

/* Bytes of the island: whole pages. */
static uint64_t island_size(const struct hijack *h)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    return (replace_island_size(h->replace) + page - 1) & ~(page - 1);
}

/* The island's place: free memory that every entry jump reaches. */
static int place_island(struct hijack *h, struct failure *f)
{
    const struct object *libc = objects_libc(h->target.objects);
    uint64_t size = island_size(h);
    if (!libc)
        return fail(f, -ENOENT, "process %d has no C library mapped any more",
                    (int)h->options->pid);
    /* from any byte of libc to any byte of the island */
    uint64_t reach = jump_reach - (libc->text_end - libc->text_start) - size;
    if (!maps_gap(&h->target.maps, libc->text_start, size, reach, &h->island))
        return fail(f, -ENOMEM,
                    "process %d has no %" PRIu64 " KiB of free address space within reach of %s",
                    (int)h->options->pid, size / 1024, libc->path);
    return replace_place(h->replace, h->island, f);
}

static int plan_replacement(struct hijack *h, struct failure *f)
{
    const struct object *libc = objects_libc(h->target.objects);
    if (!libc)
        return fail(f, -ENOENT, "process %d has no C library that we know (glibc or musl)",
                    (int)h->options->pid);
    int code = replace_plan(h->target.objects, libc, &h->replace, f);
    if (code < 0)
        return code;
    if (replace_count_slots(h->replace) > HIJACK_MAX_PATCHES)
        return fail(f, -E2BIG, "%s has more functions than the record holds", libc->path);
    h->result->patched = replace_count_slots(h->replace);
    h->result->refused = replace_refused(h->replace);
    coverage_count(h->target.objects, libc, h->replace, COVERAGE_MOST, &h->result->coverage);
    return place_island(h, f);
}

/* A variable of the C library's, which glibc may keep in its dynamic linker. (Not looked for in
 * every object: the symbols of a large executable take long.) */
static bool find_symbol(const struct objects *objects, const char *name, taddr *address)
{
    const struct object *linker = objects_named(objects, "ld-");
    const struct object *libc = objects_libc(objects);
    return (linker && object_symbol(objects, linker, name, address)) ||
           (libc && object_symbol(objects, libc, name, address));
}

/* Reads the C library's own account of its restartable-sequence area (glibc >= 2.35 keeps it in
 * the dynamic linker), which the kernel does not give away. */
static void find_rseq(struct hijack *h)
{
    taddr offset, size;
    uint32_t registered = 0;
    if (!find_symbol(h->target.objects, "__rseq_offset", &offset) ||
        !find_symbol(h->target.objects, "__rseq_size", &size) ||
        proc_read_memory(h->options->pid, size, &registered, sizeof registered) < 0 ||
        !registered ||
        proc_read_memory(h->options->pid, offset, &h->params.rseq_offset,
                         sizeof h->params.rseq_offset) < 0)
        return;
    /* newer glibc tells the part of the 32 bytes that is in use */
    h->params.rseq_size = registered < 32 ? 32 : registered;
    h->params.rseq_signature = RSEQ_SIG;
}

/* errno, for the stubs. Without it calls go through libc, and the net catches them there. */
static void find_errno(struct hijack *h)
{
    taddr location;
    if (find_symbol(h->target.objects, "__errno_location", &location))
        h->params.errno_location = location;
}

static int fill_params(struct hijack *h, struct failure *f)
{
    struct hijack_params *p = &h->params;
    const struct proc_info *info = &h->target.info;
    char error[512];
    p->version = HIJACK_AGENT_VERSION;
    p->size = sizeof *p;
    p->pid = info->innermost_pid;
    p->start_time = info->start_time;
    p->signal = preflight_signal(info, h->options->signal);
    h->result->signal = p->signal;
    find_rseq(h);
    find_errno(h);
    if (strlen(h->options->directory) >= sizeof p->directory)
        return fail_errno(f, -ENAMETOOLONG, "the current directory");
    strcpy(p->directory, h->options->directory);
    int code = control_new_key(p->key);
    if (code < 0)
        return fail_errno(f, code, "cannot make a key");
    code = control_socket_path(info->effective_uid, info->effective_gid, p->key, p->socket, error,
                               sizeof error);
    if (code < 0)
        return fail(f, code, "%s", error);
    return files_find("hijack-shadow", p->shadow, f);
}

static int prepare(struct hijack *h, struct failure *f)
{
    int code = target_start_gdb(&h->target, h->options->pid, h->options->trace, f);
    if (code == 0)
        code = refuse_unfit(h, f);
    if (code == 0)
        code = target_look(&h->target, f);
    h->target.patience_ms = h->options->safe_point_ms;
    if (code == 0 && agent_loaded(&h->target))
        code = fail(f, -EEXIST,
                    "process %d is hijacked already (or a hijack was cut short): gdb-hijack "
                    "release %d first",
                    (int)h->options->pid, (int)h->options->pid);
    if (code == 0)
        code = plan_replacement(h, f);
    if (code == 0)
        code = fill_params(h, f);
    if (code == 0)
        code = target_await_gdb(&h->target, f);
    return code < 0 ? code
                    : tdesc_syscalls_load(inferior_data_directory(h->target.inferior),
                                          arch.gdb_name, &h->syscalls, f);
}

/* --- the steps --- */

/* GDB must see the architecture that we were built for. */
static int check_architecture(struct hijack *h, struct failure *f)
{
    struct tdesc description;
    const char *xml = inferior_description(h->target.inferior, f);
    if (!xml)
        return f->code;
    int code = tdesc_parse(xml, strlen(xml), &description, f);
    if (code < 0)
        return code;
    if (strcmp(description.architecture, arch.gdb_name) != 0)
        code = fail(f, -ENOTSUP, "process %d is a program for %s; this gdb-hijack is for %s",
                    (int)h->options->pid, description.architecture, arch.gdb_name);
    tdesc_free(&description);
    return code;
}

static int step_attach(struct hijack *h, struct failure *f)
{
    int code = target_attach(&h->target, f);
    if (code == 0)
        code = check_architecture(h, f);
    if (code == 0)
        steps_end(&h->steps, "%s, %zu thread%s, gdb %s", arch.name, h->target.threads.count,
                  h->target.threads.count == 1 ? "" : "s",
                  inferior_gdb_version(h->target.inferior));
    return code;
}

/* Inside a function's first instructions a thread would go on in the middle of the jump. */
static int unsafe_to_patch(void *context, const struct target *target, const taddr *places,
                           size_t count, char reason[SAFEPOINT_REASON])
{
    const struct object *libc = objects_libc(target->objects);
    for (size_t i = 0; libc && i < count; i++) { /* without one the process is ending */
        if (places[i] < libc->text_start || places[i] >= libc->text_end)
            continue; /* most words are no addresses of libc */
        const struct replace_patch *patch = replace_covers_pc(context, places[i]);
        if (!patch)
            continue;
        snprintf(reason, SAFEPOINT_REASON, "in the first instructions of %s", patch->name);
        return 1;
    }
    return 0;
}

static int find_place(void *context, struct failure *f)
{
    struct hijack *h = context;
    h->target.purpose = h->options->loader->purpose;
    int code = target_find_safe_point(&h->target, h->options->safe_point_ms, unsafe_to_patch,
                                      h->replace, f);
    if (code == 0 && agent_loaded(&h->target))
        code = fail(f, -EEXIST, "process %d was hijacked by another gdb-hijack meanwhile",
                    (int)h->options->pid);
    return code;
}

static int step_safe_point(struct hijack *h, struct failure *f)
{
    uint64_t number;
    int code = find_place(h, f);
    if (code == 0)
        code = inferior_register(h->target.inferior, arch.syscall_number, &number, f);
    if (code < 0)
        return code;
    const char *blocked = tdesc_syscall_name(&h->syscalls, (long)number); /* -1: not in one */
    const char *where = *h->target.where ? h->target.where : "the program";
    steps_end(&h->steps, "%s %s", blocked ? "blocked in" : "running in", blocked ? blocked : where);
    return 0;
}

static int step_load(struct hijack *h, struct failure *f)
{
    int code = target_serve(&h->target, find_place, h, f);
    if (code == 0)
        code = agent_load(&h->target, h->options->loader, h->library, &h->record, f);
    if (code == 0)
        steps_end(&h->steps, LOAD_LIBRARY);
    return code;
}

static int no_shadow(const struct hijack *h, int error, struct failure *f)
{
    int pid = (int)h->options->pid;
    if (error == -ECHILD)
        return fail(f, error,
                    "process %d adopts orphans (it is process 1 of its namespace, or a subreaper): "
                    "its shadow would become its child",
                    pid);
    if (error == -EPIPE)
        return fail(f, error,
                    "the shadow of process %d ended at once: are its limits too narrow "
                    "(prlimit -p %d)?",
                    pid, pid);
    return fail_errno(f, error, "process %d cannot start its shadow", pid);
}

static int step_shadow(struct hijack *h, struct failure *f)
{
    int64_t pid;
    int code = agent_write_params(&h->target, &h->params, f);
    if (code == 0)
        code = agent_call(&h->target, "hijack_start_shadow", &pid, f);
    if (code == 0 && pid < 0)
        code = no_shadow(h, (int)pid, f);
    if (code < 0)
        return code;
    h->record.shadow = (int32_t)pid; /* the agent wrote it too, in case we are no more */
    h->result->shadow = (pid_t)pid;
    steps_end(&h->steps, "process %d", (int)pid);
    return 0;
}

static int map_island(struct hijack *h, struct failure *f)
{
    int64_t result;
    int code = target_syscall(&h->target, &result, f, SYS_mmap,
                              (uint64_t[6]){h->island, island_size(h), PROT_READ | PROT_EXEC,
                                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
                                            (uint64_t)-1, 0});
    if (code == 0 && (taddr)result != h->island)
        code = fail_errno(f, result < 0 ? (int)result : -EEXIST, "cannot map the jumps' island");
    return code;
}

/* Lock functions are of use to the stubs only if all come by there. */
static bool locks_refused(const struct hijack *h)
{
    for (size_t i = 0; i < replace_refused(h->replace); i++)
        if (replace_refusal_at(h->replace, i)->row->how == FUNCTION_LOCK)
            return true;
    return false;
}

/* Where stubs go on at home: of several functions of a row any will do. */
static int write_homes(struct hijack *h, taddr *stubs, struct failure *f)
{
    taddr homes[FUNCTIONS] = {0};
    const bool no_locks = locks_refused(h);
    for (size_t i = 0; i < replace_count_slots(h->replace); i++) {
        const struct replace_patch *patch = replace_at(h->replace, i);
        taddr *home = &homes[patch->row - call_functions];
        if (!*home && !(no_locks && patch->row->how == FUNCTION_LOCK))
            *home = patch->slot + JUMP_HOME;
    }
    return agent_write_homes(&h->target, homes, stubs, f);
}

/* The slots of the MASK functions lead to their stubs at home, too. */
static int write_island(struct hijack *h, struct failure *f)
{
    static unsigned char slots[HIJACK_MAX_PATCHES * JUMP_SLOT];
    size_t count = replace_count_slots(h->replace);
    taddr stubs, stub;
    int code = write_homes(h, &stubs, f);
    for (size_t i = 0; code == 0 && i < count; i++) {
        const struct replace_patch *patch = replace_at(h->replace, i);
        unsigned char *slot = slots + (patch->slot - h->island);
        memcpy(slot, patch->slot_bytes, JUMP_SLOT);
        stub = stubs + ENTRY_SIZE * (taddr)(patch->row - call_functions);
        if (patch->row->how == FUNCTION_MASK)
            memcpy(slot + JUMP_SWITCH, &stub, sizeof stub);
    }
    return code < 0 ? code
                    : inferior_write(h->target.inferior, h->island, slots, count * JUMP_SLOT, f);
}

static void list_patches(struct hijack *h)
{
    h->record.patch_count = (uint32_t)replace_count_slots(h->replace);
    for (size_t i = 0; i < h->record.patch_count; i++) {
        const struct replace_patch *from = replace_at(h->replace, i);
        struct hijack_patch *to = &h->record.patches[i];
        to->address = from->jump.entry;
        to->size = (uint8_t)jump_entry_size;
        to->function = (uint16_t)(from->row - call_functions);
        memcpy(to->original, from->jump.bytes, jump_entry_size);
        memcpy(to->patched, from->entry, jump_entry_size);
    }
}

/* The record first, then the island, the text last: at each moment what is there works, and can be
 * undone. */
static int step_replace(struct hijack *h, struct failure *f)
{
    char text[COVERAGE_TEXT];
    int code = place_island(h, f); /* the library may have taken the place that was planned */
    if (code == 0)
        code = target_settle(&h->target, unsafe_to_patch, h->replace, f);
    if (code < 0)
        return code;
    list_patches(h);
    h->record.island = h->island;
    h->record.island_size = island_size(h);
    code = agent_write_record(&h->target, &h->record, true, f);
    if (code == 0)
        code = map_island(h, f);
    if (code == 0)
        code = write_island(h, f);
    if (code == 0)
        code = text_patch(&h->target, &h->record, f);
    if (code == 0)
        code = target_look_again(&h->target, f);
    if (code == 0)
        steps_end(&h->steps, "%zu functions patched, %s", h->result->patched,
                  coverage_text(&h->result->coverage, text, sizeof text));
    return code;
}

static int step_start(struct hijack *h, struct failure *f)
{
    int64_t result;
    h->record.started = 1;
    int code = masks_find(&h->target, h->params.signal, &h->record, f);
    if (code >= 0)
        code = agent_write_unblocked(&h->target, &h->record, f);
    if (code == 0)
        code = agent_write_record(&h->target, &h->record, false, f);
    if (code == 0)
        code = agent_call(&h->target, "hijack_start", &result, f);
    if (code == 0 && result < 0)
        code =
            fail_errno(f, (int)result, "cannot install the handler of signal %d", h->params.signal);
    if (code == 0)
        steps_end(&h->steps, "signal %d takes a checkpoint", h->params.signal);
    return code;
}

static int step_detach(struct hijack *h, struct failure *f)
{
    char left[128] = "";
    masks_order(&h->target, h->params.signal, false, &h->record, 0);
    int code = agent_write_record(&h->target, &h->record, false, f);
    if (code == 0)
        code = target_go(&h->target, f);
    if (code == 0)
        steps_end(&h->steps, "the process stood still for %.1f ms%s%s",
                  (double)h->target.still_ns / 1e6,
                  masks_left(&h->target, left, sizeof left) ? "; " : "", left);
    return code;
}

static int step_remote(struct hijack *h, struct failure *f)
{
    char detail[256];
    if (remote_io_begin(h->options->pid, h->options->policy, detail, sizeof detail, f) != ASK_DONE)
        return f->code;
    steps_end(&h->steps, "%s", detail);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(struct hijack *h, struct failure *f);
    bool touches; /* a failure of this step has something to undo */
} steps[] = {
    {"attach", step_attach, false},  {"safe point", step_safe_point, false},
    {"load", step_load, true},       {"shadow", step_shadow, true},
    {"replace", step_replace, true}, {"start", step_start, true},
    {"detach", step_detach, true},   {"remote", step_remote, true},
};

static enum hijack_outcome take_steps(struct hijack *h, struct failure *f)
{
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (steps[i].run == step_remote && !h->options->remote_io)
            continue;
        int code = steps_begin(&h->steps, steps[i].name, f);
        if (code == 0)
            code = steps[i].run(h, f);
        if (code == 0 && h->options->interactive && inferior_attached(h->target.inferior))
            code = inspect_pause(&(struct inspect){&h->target, h->replace}, f);
        if (code < 0)
            return steps[i].touches ? undo_failed(&h->target, f) : HIJACK_REFUSED;
    }
    return HIJACK_DONE;
}

enum hijack_outcome hijack_run(const struct hijack_options *options, struct hijack_result *result,
                               struct failure *f)
{
    static struct hijack h; /* large: the record */
    memset(&h, 0, sizeof h);
    memset(result, 0, sizeof *result);
    h.options = options;
    h.result = result;
    h.steps.options = options;
    enum hijack_outcome outcome = HIJACK_REFUSED;
    if (prepare(&h, f) == 0)
        outcome = options->dry_run ? HIJACK_DONE : take_steps(&h, f);
    if (outcome == HIJACK_REFUSED)
        target_explain_end(options->pid, h.target.info.start_time, f);
    result->still_ns = h.target.still_ns;
    replace_free(h.replace);
    tdesc_syscalls_free(&h.syscalls);
    target_close(&h.target);
    return outcome;
}
