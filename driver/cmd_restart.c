/* cmd_restart.c - `gdb-hijack restart IMAGE`: this process becomes the starter, and the starter the
 * program. */
#include <errno.h>
#include <unistd.h>

#include "driver/commands.h"
#include "driver/files.h"
#include "driver/report.h"

int cmd_restart(int argc, char **argv)
{
    char path[FILES_PATH_MAX];
    struct failure f;
    (void)argc;
    if (files_find("hijack-starter", path, &f) == 0) {
        execv(path, argv);
        fail_errno(&f, -errno, "cannot run \"%s\"", path);
    }
    report_failure(&f);
    return HIJACK_REFUSED;
}
