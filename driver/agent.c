/* agent.c - see agent.h. */
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "driver/agent.h"

#define AGENT_NAME "libhijack.so"

static bool agent_symbol(const struct target *target, const char *name, taddr *address)
{
    const struct object *agent = objects_named(target->objects, AGENT_NAME);
    return agent && object_symbol(target->objects, agent, name, address);
}

bool agent_loaded(const struct target *target)
{
    return objects_named(target->objects, AGENT_NAME) != NULL;
}

/* --- loading
 * ------------------------------------------------------------------------------------------------------
 */

/* A function of the C library, or of the libdl that glibc had before 2.34. */
static int libc_function(const struct target *target, const char *name, taddr *address,
                         struct failure *f)
{
    const struct object *libc = objects_libc(target->objects),
                        *libdl = objects_named(target->objects, "libdl");
    if ((libc && object_symbol(target->objects, libc, name, address)) ||
        (libdl && object_symbol(target->objects, libdl, name, address)))
        return 0;
    return fail(f, -ENOENT, "process %d has no %s: its C library cannot load a library at run time",
                (int)target->info.pid, name);
}

/* What dlerror() says in the target. */
static int loader_refused(struct target *target, const char *library, struct failure *f)
{
    char text[512];
    taddr dlerror_address;
    uint64_t string = 0;
    int code = libc_function(target, "dlerror", &dlerror_address, f);
    if (code == 0)
        code = target_call(target, &string, f, dlerror_address, (uint64_t[6]){0});
    if (code == 0 && string)
        code = inferior_read_string(target->inferior, string, text, sizeof text, f);
    if (code < 0)
        return code;
    return fail(f, -ELIBACC, "process %d cannot load \"%s\": %s", (int)target->info.pid, library,
                string ? text : "no reason given");
}

static int call_dlopen(struct target *target, const char *library, int flags, uint64_t *handle,
                       struct failure *f)
{
    taddr function, path;
    int code = libc_function(target, "dlopen", &function, f);
    if (code == 0)
        code = target_string(target, library, &path, f);
    if (code == 0)
        code = target_call(target, handle, f, function, (uint64_t[6]){path, (uint64_t)flags});
    return code;
}

int agent_load(struct target *target, const char *library, struct failure *f)
{
    uint64_t handle;
    int code = call_dlopen(target, library, RTLD_NOW | RTLD_LOCAL, &handle, f);
    if (code == 0 && handle == 0)
        return loader_refused(target, library, f);
    if (code == 0)
        code = target_look_again(target, f);
    if (code < 0)
        return code;
    struct hijack_record record;
    if (!agent_loaded(target))
        return fail(f, -ELIBACC, "process %d says it loaded \"%s\", but its maps do not show it",
                    (int)target->info.pid, library);
    code = agent_read_record(target, &record, f);
    record.handle = handle;
    record.scratch = target->scratch;
    record.scratch_size = TARGET_SCRATCH;
    return code < 0 ? code : agent_write_record(target, &record, false, f);
}

int agent_unload(struct target *target, struct failure *f)
{
    struct hijack_record record;
    taddr function;
    char path[HIJACK_PATH_MAX];
    uint64_t result = 0, again = 0;
    int code = agent_read_record(target, &record, f);
    if (code == 0)
        code = libc_function(target, "dlclose", &function, f);
    if (code < 0)
        return code;
    /* A driver killed between dlopen and the record: the handle is asked for again, and closed
     * twice. */
    if (!record.handle) {
        strncpy(path, objects_named(target->objects, AGENT_NAME)->path, sizeof path - 1);
        path[sizeof path - 1] = '\0';
        code = call_dlopen(target, path, RTLD_LAZY | RTLD_NOLOAD, &again, f);
        record.handle = again;
    }
    for (int i = 0; code == 0 && record.handle && i < (again ? 2 : 1); i++)
        code = target_call(target, &result, f, function, (uint64_t[6]){record.handle});
    if (code == 0)
        code = target_look_again(target, f);
    if (code < 0)
        return code;
    if (agent_loaded(target))
        return fail(f, -EBUSY, "process %d keeps %s loaded (dlclose says %d)",
                    (int)target->info.pid, AGENT_NAME, (int)result);
    return 0;
}

/* --- its variables and functions
 * ----------------------------------------------------------------------------------- */

static int no_symbol(const char *name, struct failure *f)
{
    return fail(f, -ENOENT, "the %s in the target has no %s: it is of another version", AGENT_NAME,
                name);
}

int agent_read_record(struct target *target, struct hijack_record *record, struct failure *f)
{
    taddr address;
    if (!agent_symbol(target, "hijack_record", &address))
        return no_symbol("hijack_record", f);
    int code = inferior_read(target->inferior, address, record, sizeof *record, f);
    if (code == 0 &&
        (record->version != HIJACK_RECORD_VERSION || record->patch_count > HIJACK_MAX_PATCHES))
        return fail(
            f, -EPROTO,
            "the %s in process %d is of another version; use the gdb-hijack that hijacked it",
            AGENT_NAME, (int)target->info.pid);
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
