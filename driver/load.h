/*
 * load.h - getting the in-target library into the target: two loaders behind one interface.
 *
 *   map     maps the object ourselves, with system calls of the server. Takes no lock of libc's and
 * allocates nothing, so it works at any moment and with any C library, and leaves no trace in the
 * heap or the loader's lists. dlopen  calls dlopen in the target (the paper's way). Debuggers then
 * know the library. Needs a safe point, and a C library that unloads (musl's dlclose does not).
 *
 * Called while the target is served (target.h). The library imports nothing (stubs/raw.h), so
 * mapping it is all there is to do but for relocations against its own base.
 */
#ifndef DRIVER_LOAD_H
#define DRIVER_LOAD_H

#include <stdbool.h>

#include "driver/target.h"
#include "stubs/record.h"

#define LOAD_LIBRARY "libhijack.so"
/* Whether a file of that name, with its directory, is the library's. */
bool load_is_library(const char *path);

struct loader {
    const char *name;
    enum safepoint_purpose purpose; /* where the target must be stopped */
    /* Loads `library` (absolute path) and sets in *record what unloading needs. */
    int (*load)(struct target *target, const char *library, struct hijack_record *record,
                struct failure *f);
    int (*unload)(struct target *target, const struct hijack_record *record, struct failure *f);
};

extern const struct loader loader_map, loader_dlopen;

/* Closes the descriptor that a load left in the target when the library could not be mapped, if
 * there is one. */
int load_close_left_open(struct target *target, struct failure *f);

/* By name; NULL: no such loader. */
const struct loader *load_named(const char *name);
/* The one that loaded what the record describes. */
const struct loader *load_recorded(const struct hijack_record *record);

#endif
