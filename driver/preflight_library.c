/* preflight_library.c - can the target open our library, is it the same file there, and can it be
 * trusted? */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "driver/findings.h"

#define refuse(p, ...) findings_add((p)->findings, FINDING_REFUSE, __VA_ARGS__)

#define MAX_GROUPS 1024

/* The target's rights on files. */
struct rights {
    uid_t uid;
    gid_t gid;
    size_t count;
    gid_t groups[MAX_GROUPS];
};

static void read_rights(const struct proc_info *info, struct rights *out)
{
    char path[64];
    *out = (struct rights){.uid = info->effective_uid, .gid = info->effective_gid};
    snprintf(path, sizeof path, "/proc/%d/status", (int)info->pid);
    char *text = proc_slurp(path, NULL);
    char *line = text ? strstr(text, "\nGroups:") : NULL, *end;
    for (line = line ? line + 8 : NULL; line && out->count < MAX_GROUPS; line = end) {
        line += strspn(line, " \t");
        out->groups[out->count] = (gid_t)strtoul(line, &end, 10);
        if (end == line)
            break;
        out->count++;
    }
    free(text);
}

static bool in_group(const struct rights *r, gid_t gid)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->groups[i] == gid)
            return true;
    return r->gid == gid;
}

/* Mode bits alone, for others' bit `wanted` (S_IROTH or S_IXOTH); access control lists may allow
 * more. */
static bool allowed(const struct rights *r, const struct stat *s, mode_t wanted)
{
    if (r->uid == 0)
        return true;
    if (r->uid == s->st_uid)
        return s->st_mode & (wanted << 6);
    return s->st_mode & (in_group(r, s->st_gid) ? wanted << 3 : wanted);
}

/* Somebody else than root and the target's user could put other code there. */
static bool untrusted(const struct rights *r, const struct stat *s)
{
    bool sticky = S_ISDIR(s->st_mode) && (s->st_mode & S_ISVTX);
    return (s->st_uid != 0 && s->st_uid != r->uid) ||
           (!sticky && (s->st_mode & S_IWOTH || (s->st_mode & S_IWGRP && s->st_gid != 0)));
}

/* Calls for every directory on the way, then the file. False at the first that is not all right;
 * `path` names it. */
static bool each_component(char *path, const struct rights *r,
                           bool (*right)(const struct rights *r, const struct stat *s))
{
    struct stat s;
    for (char *slash = path; slash; slash = strchr(slash + 1, '/')) {
        char kept = slash == path ? path[1] : '/';
        char *end = slash == path ? path + 1 : slash;
        *end = '\0';
        bool good = !stat(path, &s) && right(r, &s);
        if (!good)
            return false;
        *end = kept;
    }
    return !stat(path, &s) && right(r, &s);
}

static bool passable(const struct rights *r, const struct stat *s)
{
    return allowed(r, s, S_ISDIR(s->st_mode) ? S_IXOTH : S_IROTH);
}

static bool trusted(const struct rights *r, const struct stat *s)
{
    return !untrusted(r, s);
}

static void check_place(struct preflight *p, const char *library)
{
    char there[PATH_MAX + 32];
    struct stat ours, theirs;
    struct statvfs system;
    snprintf(there, sizeof there, "/proc/%d/root%s", (int)p->info.pid, library);
    if (stat(library, &ours))
        refuse(p, "library", "cannot find \"%s\": %s", library, strerror(errno));
    else if (stat(there, &theirs))
        refuse(p, "library-place",
               "process %d does not see \"%s\" (it has other mounts or another root): %s",
               (int)p->info.pid, library, strerror(errno));
    else if (ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev)
        refuse(p, "library-place",
               "\"%s\" is another file for process %d (it has other mounts or another root)",
               library, (int)p->info.pid);
    else if (!statvfs(library, &system) && (system.f_flag & ST_NOEXEC))
        refuse(p, "library-noexec",
               "\"%s\" lies on a file system without execution (noexec): install gdb-hijack "
               "elsewhere",
               library);
}

void preflight_library(struct preflight *p)
{
    char path[PATH_MAX];
    struct rights rights;
    if (!p->options->library || !realpath(p->options->library, path))
        return;
    check_place(p, path);
    read_rights(&p->info, &rights);
    if (!each_component(path, &rights, passable)) {
        refuse(p, "library-access",
               "process %d may not open our library: \"%s\" is closed to its user; install "
               "gdb-hijack where that user can read it",
               (int)p->info.pid, path);
        return;
    }
    if ((rights.uid == 0 || rights.uid != p->info.real_uid) &&
        !each_component(path, &rights, trusted))
        refuse(p, "library-trust",
               "process %d runs as root, and \"%s\" can be changed by others: install gdb-hijack "
               "as root",
               (int)p->info.pid, path);
}
