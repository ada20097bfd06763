/* files.c - see files.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/files.h"

/* Where this program itself is, with the final slash. */
static int own_directory(char path[FILES_PATH_MAX], struct failure *f)
{
    ssize_t n = readlink("/proc/self/exe", path, FILES_PATH_MAX - 1);
    if (n < 0)
        return fail_errno(f, -errno, "cannot read /proc/self/exe");
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash)
        return fail(f, -ENOENT, "/proc/self/exe is \"%s\", in no directory", path);
    slash[1] = '\0';
    return 0;
}

int files_find(const char *name, char path[FILES_PATH_MAX], struct failure *f)
{
    static const char *const places[] = {"", HIJACK_LIBEXECDIR "/"};
    char own[FILES_PATH_MAX], candidate[2 * FILES_PATH_MAX];
    int code = own_directory(own, f);
    for (size_t i = 0; code == 0 && i < sizeof places / sizeof *places; i++) {
        snprintf(candidate, sizeof candidate, "%s%s%s", own, places[i], name);
        if (realpath(candidate, path) && access(path, R_OK) == 0)
            return 0;
    }
    return code ? code
                : fail(f, -ENOENT,
                       "cannot find %s in %s or in " HIJACK_LIBEXECDIR
                       " from there: install gdb-hijack again",
                       name, own);
}
