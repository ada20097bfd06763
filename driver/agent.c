/* agent.c - see agent.h. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "driver/agent.h"
#include "stubs/entry.h"

/* --- loading --- */

/* The first mapping of the library's file, or NULL: also of one whose loading was cut short. Who
 * maps the file to read it has no executable one. */
static const struct mapping *first_mapping(const struct target *target)
{
    const struct mapping *first = NULL;
    for (size_t i = 0; i < target->maps.count; i++) {
        const struct mapping *m = &target->maps.at[i];
        if (!load_is_library(m->path))
            continue;
        if (!first || m[-1].end != m->start || m[-1].inode != m->inode)
            first = m;
        if (m->execute)
            return first;
    }
    return NULL;
}

static bool agent_symbol(const struct target *target, const char *name, taddr *address)
{
    const struct object *agent = objects_named(target->objects, LOAD_LIBRARY);
    return agent && object_symbol(target->objects, agent, name, address);
}

bool agent_loaded(const struct target *target)
{
    return first_mapping(target) != NULL;
}

int agent_load(struct target *target, const struct loader *loader, const char *library,
               struct hijack_record *record, struct failure *f)
{
    int code = loader->load(target, library, record, f);
    if (code == 0)
        code = target_look_again(target, f);
    if (code < 0)
        return code;
    if (!objects_named(target->objects, LOAD_LIBRARY))
        return fail(f, -ELIBACC, "\"%s\" was loaded into process %d, but its maps do not show it",
                    library, (int)target->info.pid);
    uint64_t handle = record->handle;
    code = agent_read_record(target, record, f);
    record->handle = handle;
    return code < 0 ? code : agent_write_record(target, record, false, f);
}

/* Loading was cut short before the record said how. */
static int unload_unrecorded(struct target *target, struct failure *f)
{
    struct hijack_record record = {.library = first_mapping(target)->start};
    int code = 0;
    if (target->purpose == SAFEPOINT_FOR_LIBC) {
        code = loader_dlopen.unload(target, &record, f);
        if (code == 0)
            code = target_look_again(target, f);
    }
    if (code < 0 || !agent_loaded(target))
        return code;
    return loader_map.unload(target, &record, f);
}

/* A mapping that is not writable yet means that loading ended before the data was there; a record
 * without a way of unloading, that it ended before that was written. Nothing else was done then. */
bool agent_cut_short(struct target *target)
{
    struct hijack_record record;
    taddr address;
    if (!agent_symbol(target, "hijack_record", &address))
        return true;
    const struct mapping *mapping = maps_find(&target->maps, address);
    if (!mapping || !mapping->write ||
        proc_read_memory(target->info.pid, address, &record, sizeof record) < 0)
        return true;
    return record.version == 0 || /* memory that was not written */
           (record.version == HIJACK_RECORD_VERSION && !record.handle && !record.library_size);
}

int agent_unload(struct target *target, struct failure *f)
{
    struct hijack_record record;
    int code;
    if (agent_cut_short(target)) {
        code = unload_unrecorded(target, f);
    } else {
        code = agent_read_record(target, &record, f);
        if (code == 0)
            code = load_recorded(&record)->unload(target, &record, f);
    }
    if (code == 0)
        code = target_look_again(target, f);
    if (code < 0 || !agent_loaded(target))
        return code;
    return fail(f, -EBUSY,
                "process %d keeps " LOAD_LIBRARY " loaded: its C library does not unload",
                (int)target->info.pid);
}

/* --- its variables and functions --- */

static int no_symbol(const char *name, struct failure *f)
{
    return fail(f, -ENOENT, "the %s in the target has no %s: it is of another version",
                LOAD_LIBRARY, name);
}

/* What it holds, not all that it could: gdb tells a byte by two letters. */
int agent_read_record(struct target *target, struct hijack_record *record, struct failure *f)
{
    enum {
        patches = offsetof(struct hijack_record, patches),
        unblocked = offsetof(struct hijack_record, unblocked)
    };
    taddr address;
    if (!agent_symbol(target, "hijack_record", &address))
        return no_symbol("hijack_record", f);
    memset(record, 0, sizeof *record);
    int code = inferior_read(target->inferior, address, record, patches, f);
    if (code == 0 &&
        (record->version != HIJACK_RECORD_VERSION || record->patch_count > HIJACK_MAX_PATCHES ||
         record->unblocked_count > HIJACK_MAX_UNBLOCKED))
        return fail(
            f, -EPROTO,
            "the %s in process %d is of another version; use the gdb-hijack that hijacked it",
            LOAD_LIBRARY, (int)target->info.pid);
    if (code == 0 && record->patch_count)
        code = inferior_read(target->inferior, address + patches, record->patches,
                             record->patch_count * sizeof *record->patches, f);
    if (code == 0 && record->unblocked_count)
        code = inferior_read(target->inferior, address + unblocked, record->unblocked,
                             record->unblocked_count * sizeof *record->unblocked, f);
    return code;
}

int agent_write_record(struct target *target, const struct hijack_record *record, bool patches,
                       struct failure *f)
{
    taddr address;
    size_t fixed = offsetof(struct hijack_record, patches);
    if (!agent_symbol(target, "hijack_record", &address))
        return no_symbol("hijack_record", f);
    int code = 0;
    if (patches)
        code = inferior_write(target->inferior, address + fixed, record->patches,
                              record->patch_count * sizeof *record->patches, f);
    return code < 0 ? code : inferior_write(target->inferior, address, record, fixed, f);
}

int agent_write_unblocked(struct target *target, const struct hijack_record *record,
                          struct failure *f)
{
    taddr address;
    if (!record->unblocked_count)
        return 0;
    if (!agent_symbol(target, "hijack_record", &address))
        return no_symbol("hijack_record", f);
    return inferior_write(target->inferior, address + offsetof(struct hijack_record, unblocked),
                          record->unblocked, record->unblocked_count * sizeof *record->unblocked,
                          f);
}

int agent_write_params(struct target *target, const struct hijack_params *params, struct failure *f)
{
    taddr address;
    if (!agent_symbol(target, "hijack_params", &address))
        return no_symbol("hijack_params", f);
    return inferior_write(target->inferior, address, params, sizeof *params, f);
}

int agent_read_params(struct target *target, struct hijack_params *params, struct failure *f)
{
    taddr address;
    if (!agent_symbol(target, "hijack_params", &address))
        return no_symbol("hijack_params", f);
    return inferior_read(target->inferior, address, params, sizeof *params, f);
}

int agent_call(struct target *target, const char *function, int64_t *result, struct failure *f)
{
    taddr address;
    uint64_t value;
    if (!agent_symbol(target, function, &address))
        return no_symbol(function, f);
    int code = target_call(target, &value, f, address, (uint64_t[6]){0});
    *result = (int64_t)value;
    return code;
}

int agent_write_homes(struct target *target, const taddr homes[FUNCTIONS], taddr *stubs,
                      struct failure *f)
{
    taddr address;
    if (!agent_symbol(target, "entry_stubs", stubs) ||
        !agent_symbol(target, "entry_homes", &address))
        return no_symbol("entry_homes", f);
    return inferior_write(target->inferior, address, homes, FUNCTIONS * sizeof *homes, f);
}

/* --- from outside --- */

int agent_peek(pid_t pid, const char *name, void *to, size_t size)
{
    struct maps maps;
    struct objects *objects = NULL;
    struct failure ignored;
    taddr address;
    if (maps_read(pid, &maps, &ignored) < 0)
        return -ESRCH;
    int code = objects_open(pid, &maps, &objects, &ignored);
    const struct object *agent = code < 0 ? NULL : objects_named(objects, LOAD_LIBRARY);
    if (!agent || !object_symbol(objects, agent, name, &address))
        code = -ENOENT;
    else
        code = proc_read_memory(pid, address, to, size);
    objects_free(objects);
    maps_free(&maps);
    return code;
}

static int peek_params(pid_t pid, struct hijack_params *params)
{
    int code = agent_peek(pid, "hijack_params", params, offsetof(struct hijack_params, policy));
    bool known = params->version >= HIJACK_AGENT_OLDEST && params->version <= HIJACK_AGENT_VERSION;
    return code < 0 ? code : known ? 0 : -EPROTO;
}

int agent_find_shadow(pid_t pid, struct control *c, struct control_status *status)
{
    static struct hijack_params params;
    int code = control_find(pid, c, status);
    if (code != -ENOENT || !control_has_agent(pid) || peek_params(pid, &params) < 0)
        return code;
    return control_find_at(pid, params.socket, c, status) == 0 ? 0 : code;
}
