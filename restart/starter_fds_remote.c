/*
 * starter_fds_remote.c - restart --remote-io: the program's descriptors stay with its shadow, whose
 * executor makes its calls (shadow/execute.h); this process gets none.
 *
 * The executor is the one that the program left, or begins with what the shadow holds. What comes
 * from this command instead - terminals, --fd - takes its number there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "restart/image.h"
#include "restart/starter_fds_plan.h"
#include "stubs/policy.h"
#include "stubs/remote.h"

/* --- is this home? --- */

static bool same_namespace(pid_t pid, const char *name)
{
    char path[64], own[64] = "", other[64] = "";
    snprintf(path, sizeof path, "/proc/self/ns/%s", name);
    if (readlink(path, own, sizeof own - 1) < 0)
        return false;
    snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, name);
    return readlink(path, other, sizeof other - 1) > 0 && !strcmp(own, other);
}

/* Processes have the same numbers here, and this user may do to them what the program's may. */
static bool is_home(const struct starter_fds *f)
{
    static const char *const names[] = {"pid", "user", "mnt", "net", "ipc", "uts"};
    bool same = f->shadow.shadow > 0 && geteuid() == f->o.process->uid;
    for (size_t i = 0; i < sizeof names / sizeof *names && same; i++)
        same = same_namespace(f->shadow.shadow, names[i]);
    return same;
}

int starter_fds_mode(const struct starter_fds *f)
{
    return is_home(f) ? REMOTE_HOME : REMOTE_AWAY;
}

/* --- the shadow executes --- */

static int begin(struct starter_fds *f)
{
    struct frame_remote whose = {.known = f->o.process->pid,
                                 .umask = f->o.process->umask,
                                 .away = starter_fds_mode(f) == REMOTE_AWAY};
    snprintf(whose.directory, sizeof whose.directory, "%s", f->o.process->cwd);
    int error = control_ask(&f->shadow, FRAME_ADOPT, NULL, 0, NULL);
    if (!error)
        error = control_ask(&f->shadow, FRAME_REMOTE, &whose, sizeof whose, NULL);
    if (error == -ESRCH)
        return starter_fds_fail(f, error,
                                "the shadow cannot see this process: it must be in the shadow's "
                                "pid namespace or in one below");
    return error ? starter_fds_fail(f, error, "the shadow cannot make calls for the program: %s",
                                    strerror(-error))
                 : 0;
}

/* The descriptor that this command gives for the entry; -1: the shadow has it. */
static int given(const struct starter_fds *f, uint32_t i)
{
    long from =
        f->plans[i].source == FROM_LEADER ? starter_fds_index(f, entry_at(f, i)->shares) : (long)i;
    return from < 0 || f->plans[from].source == FROM_SHADOW ? -1 : f->plans[from].made;
}

static int place(struct starter_fds *f, struct frame_place *batch, const int *fds)
{
    int error = batch->count
                    ? control_give(&f->shadow, FRAME_PLACE, batch, sizeof *batch, fds, batch->count)
                    : 0;
    batch->count = 0;
    return error ? starter_fds_fail(f, error, "the shadow does not take this command's files: %s",
                                    strerror(-error))
                 : 0;
}

static int place_all(struct starter_fds *f)
{
    static struct frame_place batch;
    int fds[FRAME_BATCH], error = 0;
    for (uint32_t i = 0; i < f->h->count && !error; i++) {
        const struct fds_entry *e = entry_at(f, i);
        int fd = given(f, i);
        if (fd < 0)
            continue;
        batch.at[batch.count].number = e->number;
        batch.at[batch.count].flags = e->flags & FDS_CLOEXEC ? O_CLOEXEC : 0;
        fds[batch.count++] = fd;
        error = batch.count == FRAME_BATCH ? place(f, &batch, fds) : 0;
    }
    return error ? error : place(f, &batch, fds);
}

int starter_fds_remain(struct starter_fds *f)
{
    int error = begin(f);
    return error ? error : place_all(f);
}

/* --- files --- */

int starter_fds_look(struct starter_fds *f, const char *path, struct frame_looked *to)
{
    static struct control_frame reply;
    static struct frame_look look;
    if ((size_t)snprintf(look.path, sizeof look.path, "%s", path) >= sizeof look.path)
        return -ENAMETOOLONG;
    int error = control_ask(&f->shadow, FRAME_LOOK, &look, sizeof look, &reply);
    if (!error && reply.header.length != sizeof *to)
        return -EBADMSG;
    if (!error)
        memcpy(to, reply.payload, sizeof *to);
    return error;
}

static bool is_buffered(const struct starter_fds *f, uint32_t i)
{
    const struct fds_entry *e = entry_at(f, i);
    return e->kind == FDS_REGULAR && e->number < HIJACK_BUFFERED &&
           f->plans[i].source == FROM_SHADOW && fds_is_alone(f->h, i) &&
           policy_of(f->o.policy, entry_path(f, e)) == POLICY_BUFFER;
}

void starter_fds_policy(struct starter_fds *f)
{
    struct hijack_params *params = f->o.params;
    memset(params->buffered, 0, sizeof params->buffered);
    params->follow = f->o.policy != NULL;
    if (f->o.policy)
        snprintf(params->policy, sizeof params->policy, "%s", f->o.policy);
    for (uint32_t i = 0; f->o.policy && i < f->h->count; i++)
        if (is_buffered(f, i))
            params->buffered[entry_at(f, i)->number / 64] |= 1ULL << entry_at(f, i)->number % 64;
}
