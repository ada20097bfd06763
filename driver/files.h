/*
 * files.h - where gdb-hijack's companions are: beside it in the build tree, else in the libexec
 * directory, which is found from where gdb-hijack itself is: so the build tree works, and an
 * installation does wherever it was put or moved to.
 */
#ifndef DRIVER_FILES_H
#define DRIVER_FILES_H

#include "driver/failure.h"

#define FILES_PATH_MAX 4096

/* The absolute path of "libhijack.so", "hijack-shadow", "hijack-starter" or "gdb-blank". -ENOENT:
 * not installed. */
int files_find(const char *name, char path[FILES_PATH_MAX], struct failure *f);

#endif
