/*
 * files.h - where gdb-hijack's companions are: beside it in the build tree, else in the libexec
 * directory it was configured for, so that both the build tree and an installation work.
 */
#ifndef DRIVER_FILES_H
#define DRIVER_FILES_H

#include "driver/failure.h"

#define FILES_PATH_MAX 4096

/* The absolute path of "libhijack.so", "hijack-shadow", "hijack-starter" or "gdb-blank". -ENOENT:
 * not installed. */
int files_find(const char *name, char path[FILES_PATH_MAX], struct failure *f);

#endif
