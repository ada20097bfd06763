/* control_find.c - see control.h: where sockets are, and which is whose. */
#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shadow/control.h"

#define CANDIDATES 3

static int explain(char *error, size_t size, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static int explain(char *error, size_t size, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, size, format, arguments);
    va_end(arguments);
    return code;
}

/* A directory of that user's that nobody else can write or enter; not by way of a symbolic link. */
static bool is_private(const char *path, uid_t uid)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == uid && !(st.st_mode & 077);
}

/* Candidate number `index` for the directory of a user, in order of preference; false: not for this
 * user. */
static bool candidate(uid_t uid, int index, char *out, size_t size)
{
    const char *xdg = getenv("XDG_RUNTIME_DIR");
    char base[64];
    snprintf(base, sizeof base, "/run/user/%u", (unsigned)uid);
    switch (index) {
    case 0:
        if (uid != geteuid() || !xdg || xdg[0] != '/' || !is_private(xdg, uid))
            return false;
        return (size_t)snprintf(out, size, "%s/gdb-hijack", xdg) < size;
    case 1:
        return is_private(base, uid) && (size_t)snprintf(out, size, "%s/gdb-hijack", base) < size;
    default:
        return (size_t)snprintf(out, size, "/tmp/gdb-hijack-%u", (unsigned)uid) < size;
    }
}

/* Made by root for another user: given away through a descriptor, so that no name can be exchanged
 * meanwhile. */
static int give_away(const char *path, uid_t uid, gid_t gid)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int result = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;
    if (!result && st.st_uid == 0 && fchown(fd, uid, gid) < 0)
        result = -errno;
    if (fd >= 0)
        close(fd);
    return result;
}

static int make_directory(const char *path, uid_t uid, gid_t gid, char *error, size_t size)
{
    if (mkdir(path, 0700) == 0) {
        int result = uid == geteuid() ? 0 : give_away(path, uid, gid);
        if (result)
            rmdir(path);
        if (result)
            return explain(error, size, result, "cannot give directory '%s' to user %u: %s", path,
                           (unsigned)uid, strerror(-result));
    } else if (errno != EEXIST) {
        return explain(error, size, -errno, "cannot make directory '%s': %s", path,
                       strerror(errno));
    }
    if (is_private(path, uid))
        return 0;
    return explain(
        error, size, -EPERM,
        "'%s' is not a directory that only user %u can use (owner, mode 0700, no symbolic link); "
        "remove it",
        path, (unsigned)uid);
}

int control_runtime_directory(uid_t uid, gid_t gid, char *out, size_t size, char *error,
                              size_t error_size)
{
    int result =
        explain(error, error_size, -ENAMETOOLONG, "no runtime directory with a short enough name");
    for (int i = 0; i < CANDIDATES; i++) {
        /* The session's name and a NUL must still fit into a socket address. */
        if (!candidate(uid, i, out, size) ||
            strlen(out) + sizeof "/0123456789abcdef.sock" > CONTROL_SOCKET)
            continue;
        result = make_directory(out, uid, gid, error, error_size);
        if (!result)
            return 0;
    }
    return result;
}

int control_socket_path(uid_t uid, gid_t gid, const uint8_t key[FRAME_KEY],
                        char out[CONTROL_SOCKET], char *error, size_t error_size)
{
    char directory[CONTROL_SOCKET - sizeof "/0123456789abcdef.sock" + 1];
    int result =
        control_runtime_directory(uid, gid, directory, sizeof directory, error, error_size);
    if (!result)
        snprintf(out, CONTROL_SOCKET, "%s/%016llx.sock", directory,
                 (unsigned long long)frame_session(key));
    return result;
}

struct walk {
    int (*each)(void *context, struct control *c, const struct control_status *status);
    void *context;
};

/* Removes a socket in our own directory whose shadow was killed. First it is put aside: a new
 * shadow of the session, which is what a restart makes, may have taken the name just now. */
static void bury(const char *directory, const char *path)
{
    struct stat st;
    struct control c;
    char aside[CONTROL_SOCKET];
    if (!is_private(directory, geteuid()) || lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    snprintf(aside, sizeof aside, "%.*s.dead", (int)(strlen(path) - strlen(".sock")), path);
    if (rename(path, aside) < 0)
        return;
    int error = control_open(&c, aside, NULL);
    if (error != -ECONNREFUSED)
        link(aside, path);
    if (!error)
        control_close(&c);
    unlink(aside);
}

static int visit_socket(const struct walk *walk, const char *directory, const char *path)
{
    static struct control_status status;
    struct control c;
    int error = control_open(&c, path, NULL);
    if (error == -ECONNREFUSED)
        bury(directory, path);
    if (error)
        return 0; /* nobody there any more, or none of ours */
    int result = control_status(&c, &status) ? 0 : walk->each(walk->context, &c, &status);
    control_close(&c);
    return result;
}

static int visit_directory(const struct walk *walk, const char *directory)
{
    char path[CONTROL_SOCKET + 256];
    struct dirent *entry;
    int result = 0;
    DIR *stream = opendir(directory);
    while (stream && !result && (entry = readdir(stream))) {
        size_t length = strlen(entry->d_name);
        if (length < 6 || strcmp(entry->d_name + length - 5, ".sock"))
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        result = visit_socket(walk, directory, path);
    }
    if (stream)
        closedir(stream);
    return result;
}

static int visit_user(const struct walk *walk, uid_t uid)
{
    char paths[CANDIDATES][CONTROL_SOCKET];
    int result = 0;
    for (int i = 0; i < CANDIDATES && !result; i++) {
        if (!candidate(uid, i, paths[i], sizeof *paths))
            paths[i][0] = 0;
        bool seen = i == 1 && !strcmp(paths[0], paths[1]);
        if (paths[i][0] && !seen && is_private(paths[i], uid))
            result = visit_directory(walk, paths[i]);
    }
    return result;
}

/* Each directory is believed to be its owner's, as it would be for that user. */
static int visit_pattern(const struct walk *walk, const char *pattern)
{
    glob_t found;
    struct stat st;
    int result = 0;
    if (glob(pattern, GLOB_NOSORT, NULL, &found))
        return 0;
    for (size_t i = 0; i < found.gl_pathc && !result; i++)
        if (lstat(found.gl_pathv[i], &st) == 0 && is_private(found.gl_pathv[i], st.st_uid))
            result = visit_directory(walk, found.gl_pathv[i]);
    globfree(&found);
    return result;
}

int control_each(uid_t uid,
                 int (*each)(void *context, struct control *c, const struct control_status *status),
                 void *context)
{
    struct walk walk = {each, context};
    char own[CONTROL_SOCKET];
    if (uid != (uid_t)-1)
        return visit_user(&walk, uid);
    int result = visit_pattern(&walk, "/run/user/*/gdb-hijack");
    if (!result)
        result = visit_pattern(&walk, "/tmp/gdb-hijack-*");
    if (!result && candidate(geteuid(), 0, own, sizeof own) && strncmp(own, "/run/user/", 10))
        result = visit_pattern(&walk, own);
    return result;
}

bool control_is_of(const struct frame_status *status, pid_t pid)
{
    struct control_process process;
    return status->pid && control_process(pid, &process) == 0 && status->pid == process.innermost &&
           status->start_time == process.start_time;
}

struct search {
    pid_t pid;
    struct control *c;
    struct control_status *status;
};

static int match(void *context, struct control *c, const struct control_status *status)
{
    struct search *search = context;
    if (!control_is_of(&status->status, search->pid))
        return 0;
    *search->c = *c;
    *search->status = *status;
    c->fd = -1; /* the caller's now */
    return 1;
}

int control_find_at(pid_t pid, const char *path, struct control *c, struct control_status *status)
{
    struct search search = {pid, c, status};
    struct walk walk = {match, &search};
    struct stat st;
    char directory[CONTROL_SOCKET];
    size_t length = strnlen(path, CONTROL_SOCKET);
    const char *slash = length < CONTROL_SOCKET ? strrchr(path, '/') : NULL;
    if (!slash || slash == path || path[0] != '/' || length < 6 ||
        strcmp(path + length - 5, ".sock"))
        return -EINVAL;
    snprintf(directory, sizeof directory, "%.*s", (int)(slash - path), path);
    if (lstat(directory, &st) < 0)
        return -errno;
    if (!is_private(directory, geteuid() == 0 ? st.st_uid : geteuid()))
        return -EACCES;
    return visit_socket(&walk, directory, path) ? 0 : -ENOENT;
}

int control_find(pid_t pid, struct control *c, struct control_status *status)
{
    struct control_process process;
    struct search search = {pid, c, status};
    int error = control_process(pid, &process);
    if (error)
        return error;
    if (control_each(process.uid, match, &search))
        return 0;
    /* It may have changed its user since it was hijacked; only root could follow it there. */
    return geteuid() == 0 && control_each((uid_t)-1, match, &search) ? 0 : -ENOENT;
}
