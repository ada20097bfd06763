/* refused.c - the calls that are refused while I/O is remote: each with the errno of its row. Run
 * plainly, the row itself is the expectation. The arguments make no sense, should one be made. */
#include <sys/syscall.h>

#include "surface.h"

struct refused {
    const char *name;
    int how, error, number;
};

#define REFUSED_FORWARD(x) 0
#define REFUSED_LOCAL(x)   0
#define REFUSED_EMULATE(x) 0
#define REFUSED_REFUSE(x)  x
static const struct refused rows[] = {
#define SYSCALL(name, how, detail, ...) {#name, CALL_##how, REFUSED_##how(detail), __NR_##name},
#include "stubs/calls.def"
};

static long try_call(const struct refused *row)
{
    long result = syscall(row->number, -1, -1, -1, -1, -1, -1);
    if (result == 0 && (row->number == SYS_fork || row->number == SYS_vfork))
        _exit(0);
    return result;
}

static void each_row(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].how != CALL_REFUSE)
            continue;
        long result = -1;
        errno = rows[i].error;
        if (is_remote)
            result = try_call(&rows[i]);
        show("%s = %ld %d", rows[i].name, result, errno);
    }
}

static void no_such_call(void)
{
    show("400: %ld %d", syscall(400), errno); /* numbers that no x86-64 kernel has */
    show("1000: %ld %d", syscall(1000), errno);
    show("-1: %ld %d", syscall(-1), errno);
}

const struct surface_case refused_cases[] = {
    {"refused", each_row},
    {"unknown", no_such_call},
    {NULL, NULL},
};
