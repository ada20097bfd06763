/* load_dlopen.c - the loader that calls dlopen in the target (load.h). */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "driver/load.h"

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
        code = target_call_libc(target, &string, f, dlerror_address, (uint64_t[6]){0});
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
        code = target_call_libc(target, handle, f, function, (uint64_t[6]){path, (uint64_t)flags});
    return code;
}

static int load(struct target *target, const char *library, struct hijack_record *record,
                struct failure *f)
{
    int code = call_dlopen(target, library, RTLD_NOW | RTLD_LOCAL, &record->handle, f);
    return code == 0 && record->handle == 0 ? loader_refused(target, library, f) : code;
}

/* A mutator killed between dlopen and the record leaves no handle: it is asked for again, and
 * closed twice. */
static int unload(struct target *target, const struct hijack_record *record, struct failure *f)
{
    const struct object *library = objects_named(target->objects, LOAD_LIBRARY);
    uint64_t handle = record->handle, result;
    taddr function;
    int code = libc_function(target, "dlclose", &function, f);
    if (code == 0 && !record->handle && library)
        code = call_dlopen(target, library->path, RTLD_LAZY | RTLD_NOLOAD, &handle, f);
    for (int i = 0; code == 0 && handle && i < (record->handle ? 1 : 2); i++)
        code = target_call_libc(target, &result, f, function, (uint64_t[6]){handle});
    return code;
}

const struct loader loader_dlopen = {"dlopen", SAFEPOINT_FOR_LIBC, load, unload};
