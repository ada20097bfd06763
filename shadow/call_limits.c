/* call_limits.c - the limits that hold where the I/O is done: see call.h. */
#include <string.h>
#include <sys/syscall.h>

#include "shadow/call.h"

static bool is_own(const struct plan *p)
{
    return p->args[0] == 0 || (pid_t)p->args[0] == executor.pid;
}

static int64_t limit_files(struct plan *p, int in, int out)
{
    struct rlimit new, old;
    if (p->args[in] && !decode_has(p, in))
        return -EFAULT;
    if (p->args[in])
        memcpy(&new, p->in[in], sizeof new);
    int error = place_limit(&executor, p->args[in] ? &new : NULL, &old);
    if (!error && out && p->args[out] && !decode_has(p, out))
        return -EFAULT;
    if (!error && out && p->args[out])
        memcpy(p->out[out], &old, sizeof old);
    return error;
}

bool call_limits(struct plan *p, int64_t *result)
{
    bool simple = p->request.number == SYS_setrlimit;
    if (!simple && (p->request.number != SYS_prlimit64 || !is_own(p)))
        return false;
    uint64_t resource = simple ? p->args[0] : p->args[1];
    if (!simple)
        p->args[0] = 0;
    *result = -EINVAL; /* all others hold where the program is */
    if (resource == RLIMIT_NOFILE)
        *result = simple ? limit_files(p, 1, 0) : limit_files(p, 2, 3);
    return resource != RLIMIT_FSIZE;
}
