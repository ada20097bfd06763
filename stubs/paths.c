/* paths.c - see paths.h. */
#include <errno.h>
#include <fcntl.h>

#include "stubs/mem.h"
#include "stubs/paths.h"
#include "stubs/raw.h"
#include "stubs/thread.h"

#define TEXT_MOST (1u << 20) /* of one file of /proc */

/* The length of `prefix` if the path begins so and a component ends there. */
static size_t starts(const char *s, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(s, prefix, n) == 0 && (s[n] == '/' || !s[n]) ? n : 0;
}

static const char *decimal(char to[16], unsigned n)
{
    char *at = to + 15;
    *at = 0;
    do
        *--at = (char)('0' + n % 10);
    while (n /= 10);
    return at;
}

/* The length of the part that names the program itself; 0: it names something else. */
static size_t own_prefix(const char *s)
{
    char own[32] = "/proc/", digits[16];
    size_t n = starts(s, "/proc/self");
    if (!n)
        n = starts(s, "/proc/thread-self");
    if (n || strncmp(s, own, 6) != 0)
        return n;
    mem_copy_string(own + 6, decimal(digits, (unsigned)remote.pid), sizeof own - 6);
    return starts(s, own);
}

static int is_shadows(const char *rest)
{
    static const char *const parts[] = {"/fd", "/fdinfo", "/cwd",       "/root",       "/net",
                                        "/ns", "/mounts", "/mountinfo", "/mountstats", "/cgroup"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (starts(rest, parts[i]))
            return 1;
    return !*rest;
}

void paths_translate(char *s, size_t size)
{
    size_t own = own_prefix(s), rest = own ? strlen(s + own) + 1 : 0;
    if (!own)
        return;
    if (strcmp(s + own, "/exe") == 0) {
        mem_copy_string(s, remote.executable, size);
        return;
    }
    size_t self = strlen("/proc/self");
    if (self + rest > size)
        return;
    memmove(s + self, s + own, rest);
    memcpy(s, "/proc/self", self);
}

/* --- texts --- */

/* Copies the file to a new one at home. Its number there, or -errno. */
static long copy_home(struct remote_call *call, struct remote_thread *t, int from, long flags)
{
    long cloexec = flags & O_CLOEXEC ? 1 : 0; /* MFD_CLOEXEC */
    const long make[CALL_ARGS] = {(long)t->path, cloexec};
    long to = remote_forward(call, SYS_memfd_create, make), got = 0;
    for (size_t sum = 0; to >= 0 && sum < TEXT_MOST; sum += (size_t)got) {
        got = raw(SYS_read, from, t->text, sizeof t->text);
        if (got <= 0)
            break;
        const long write[CALL_ARGS] = {to, (long)t->text, got};
        got = remote_forward(call, SYS_write, write);
    }
    if (to < 0)
        return to;
    const long rewind[CALL_ARGS] = {to, 0, 0}, close[CALL_ARGS] = {to};
    remote_forward(call, got < 0 ? SYS_close : SYS_lseek, got < 0 ? close : rewind);
    return got < 0 ? got : to;
}

/* 0: it is no text (a directory): the shadow's own must do. */
static int open_here(struct remote_call *call, struct remote_thread *t, long flags, long *result)
{
    paths_translate(t->path, sizeof t->path);
    long fd = raw(SYS_openat, AT_FDCWD, t->path, O_RDONLY | O_CLOEXEC);
    if (flags & O_DIRECTORY || raw_failed(fd))
        return 0;
    *result = (flags & O_ACCMODE) == O_RDONLY ? copy_home(call, t, (int)fd, flags) : -EACCES;
    raw(SYS_close, fd);
    return *result != -EISDIR;
}

static long read_link(const long *args)
{
    size_t length = strlen(remote.executable), room = (size_t)args[1];
    if ((long)room <= 0)
        return -EINVAL;
    length = length < room ? length : room;
    return remote_write((void *)args[0], remote.executable, length) ? -EFAULT : (long)length;
}

int paths_here(struct remote_call *call, long number, const long *args, long *result)
{
    int at = number == SYS_openat || number == SYS_readlinkat; /* the path comes second */
    int opens = number == SYS_open || number == SYS_openat;
    if (!at && !opens && number != SYS_readlink)
        return 0;
    struct remote_thread *t = remote_thread();
    if (!t)
        return 0;
    char *path = t->path;
    if (remote_read(path, (const void *)args[at], 6) || strncmp(path, "/proc/", 6) != 0 ||
        remote_string(path, (const void *)args[at], sizeof t->path) < 0)
        return 0;
    size_t own = own_prefix(path);
    const char *rest = path + own;
    if (!own || is_shadows(rest))
        return 0;
    if (strcmp(rest, "/exe") == 0) {
        if (!opens)
            *result = read_link(args + at + 1);
        return !opens;
    }
    return opens && open_here(call, t, args[at + 1], result);
}
