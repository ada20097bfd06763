/* load.c - see load.h. */
#include <string.h>

#include "driver/load.h"

bool load_is_library(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && strcmp(slash + 1, LOAD_LIBRARY) == 0;
}

const struct loader *load_named(const char *name)
{
    static const struct loader *const loaders[] = {&loader_map, &loader_dlopen};
    for (size_t i = 0; i < sizeof loaders / sizeof *loaders; i++)
        if (strcmp(loaders[i]->name, name) == 0)
            return loaders[i];
    return NULL;
}

const struct loader *load_recorded(const struct hijack_record *record)
{
    return record->library_size ? &loader_map : &loader_dlopen;
}
