/* local.c - see local.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>

#include "stubs/local.h"
#include "stubs/mem.h"
#include "stubs/policy.h"
#include "stubs/raw.h"
#include "stubs/thread.h"

#define FDS 1024 /* higher numbers are never given to files of this host */

static uint8_t is_here[FDS]; /* written by the thread that opens or closes the descriptor */

int local_has(long fd)
{
    return fd >= 0 && fd < FDS && is_here[fd];
}

int local_first(void)
{
    for (int fd = 0; fd < FDS; fd++)
        if (is_here[fd])
            return fd;
    return -1;
}

void local_forget(void)
{
    memset(is_here, 0, sizeof is_here);
}

/* --- numbers --- */

/* Gives descriptor `fd` of ours the number that /dev/null got at home. */
static long place(struct remote_call *call, long fd, long at_home, long cloexec)
{
    const long close[CALL_ARGS] = {at_home};
    long placed = at_home < 0 ? at_home : at_home >= FDS ? -EMFILE : 0;
    if (!placed && fd != at_home)
        placed = raw(SYS_dup3, fd, at_home, cloexec);
    if (fd != at_home)
        raw(SYS_close, fd);
    if (placed < 0) {
        if (at_home >= 0)
            remote_forward(call, SYS_close, close);
        return placed;
    }
    is_here[at_home] = 1;
    return at_home;
}

static long open_here(struct remote_call *call, long number, const long *args, int flags_at)
{
    static const char null[] = "/dev/null";
    long cloexec = args[flags_at] & O_CLOEXEC;
    long fd = remote_local(call, number, args);
    if (fd < 0)
        return fd;
    const long reserve[CALL_ARGS] = {AT_FDCWD, (long)null, O_RDWR | cloexec};
    return place(call, fd, remote_forward(call, SYS_openat, reserve), cloexec);
}

/* A copy has a number that home chooses, as for any other descriptor. */
static long copy(struct remote_call *call, long number, const long *args)
{
    long cloexec = number == SYS_fcntl ? (args[1] == F_DUPFD_CLOEXEC ? O_CLOEXEC : 0)
                                       : (number == SYS_dup3 ? args[2] & O_CLOEXEC : 0);
    long result = remote_forward(call, number, args);
    if (result < 0 || result == args[0])
        return result;
    long ours = raw(SYS_fcntl, args[0], F_DUPFD_CLOEXEC, FDS);
    return ours < 0 ? ours : place(call, ours, result, cloexec);
}

static long close_both(struct remote_call *call, const long *args)
{
    is_here[args[0]] = 0;
    raw(SYS_close, args[0]);
    return remote_forward(call, SYS_close, args);
}

static int is_copy(long number, const long *args)
{
    return number == SYS_dup || number == SYS_dup2 || number == SYS_dup3 ||
           (number == SYS_fcntl && (args[1] == F_DUPFD || args[1] == F_DUPFD_CLOEXEC));
}

/* A number that the call fills at home is no more ours. */
static void give_up_target(long number, const long *args)
{
    if ((number == SYS_dup2 || number == SYS_dup3) && local_has(args[1]) && args[0] != args[1]) {
        raw(SYS_close, args[1]);
        is_here[args[1]] = 0;
    }
    for (long fd = args[0]; number == SYS_close_range && fd <= args[1] && fd < FDS; fd++)
        if (local_has(fd) && !(args[2] & CLOSE_RANGE_CLOEXEC)) {
            raw(SYS_close, fd);
            is_here[fd] = 0;
        }
}

/* --- paths --- */

enum where { NOWHERE, HOME = 1, HERE = 2, BOTH = 3 };

/* Where the call's paths are. Relative ones start from a directory at home. */
static enum where where_paths(const struct call *row, const long *args)
{
    struct remote_thread *t = remote_thread();
    enum where where = NOWHERE;
    for (int i = 0; t && i < CALL_ARGS; i++) {
        if (row->args[i].kind != ARG_PATH || !args[i])
            continue;
        long size = remote_string(t->path, (const void *)args[i], sizeof t->path);
        int ours = size > 0 && t->path[0] == '/' &&
                   policy_of(hijack_params.policy, t->path) == POLICY_LOCAL;
        where |= ours ? HERE : HOME;
    }
    return where;
}

/* The index of an open call's flags; -1: it opens nothing. */
static int opens(long number)
{
    return number == SYS_open ? 1 : number == SYS_openat ? 2 : -1;
}

static int names_ours(const struct call *row, const long *args)
{
    for (int i = 0; i < CALL_ARGS; i++)
        if ((row->args[i].kind == ARG_FD || row->args[i].kind == ARG_DIRFD) && local_has(args[i]))
            return 1;
    return 0;
}

int local_call(struct remote_call *call, const struct call *row, long number, const long *args,
               long *result)
{
    if (!*hijack_params.policy)
        return 0;
    enum where where = where_paths(row, args);
    int ours = names_ours(row, args);
    if (where == BOTH) {
        *result = -EXDEV;
        return 1;
    }
    if (!ours && where != HERE)
        return 0;
    if (ours && number == SYS_close)
        *result = close_both(call, args);
    else if (local_has(args[0]) && is_copy(number, args)) {
        give_up_target(number, args);
        is_here[args[0]] = 0; /* the placeholder is what home copies */
        *result = copy(call, number, args);
        is_here[args[0]] = 1;
    } else if (number == SYS_dup2 || number == SYS_dup3 || number == SYS_close_range) {
        give_up_target(number, args);
        return 0;
    } else if (opens(number) >= 0)
        *result = open_here(call, number, args, opens(number));
    else
        *result = remote_local(call, number, args);
    return 1;
}
