/* files.c - see files.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driver/files.h"

int files_find(const char *name, char path[FILES_PATH_MAX], struct failure *f)
{
    ssize_t n = readlink("/proc/self/exe", path, FILES_PATH_MAX - 64);
    if (n < 0)
        return fail_errno(f, -errno, "cannot read /proc/self/exe");
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    snprintf(slash + 1, FILES_PATH_MAX - (size_t)(slash + 1 - path), "%s", name);
    if (access(path, R_OK) == 0)
        return 0;
    snprintf(path, FILES_PATH_MAX, "%s/%s", HIJACK_LIBEXECDIR, name);
    if (access(path, R_OK) == 0)
        return 0;
    return fail(f, -ENOENT, "cannot find %s beside gdb-hijack or in %s: install gdb-hijack again",
                name, HIJACK_LIBEXECDIR);
}
