/* proc.c - see proc.h. The address space is in maps.c. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "driver/proc.h"
#include "shadow/control.h"

#define KERNEL_THREAD_FLAG 0x00200000 /* PF_KTHREAD, include/linux/sched.h */
#define EXITING_FLAG       0x00000004 /* PF_EXITING */

char *proc_slurp(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    size_t used = 0, room = 4096;
    char *text = malloc(room);
    ssize_t n = -1;
    while (text && (n = read(fd, text + used, room - used - 1)) > 0) {
        used += (size_t)n;
        if (room - used - 1 == 0) {
            char *more = realloc(text, room *= 2);
            if (!more)
                free(text);
            text = more;
        }
    }
    int error = text ? (n < 0 ? errno : 0) : ENOMEM;
    close(fd);
    if (error) {
        free(text);
        errno = error;
        return NULL;
    }
    text[used] = '\0';
    if (size)
        *size = used;
    return text;
}

static char *slurp(pid_t pid, const char *name, struct failure *f)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    char *text = proc_slurp(path, NULL);
    if (text)
        return text;
    if (errno == ENOENT || errno == ESRCH)
        fail(f, -ESRCH, "no process %d", (int)pid);
    else
        fail_errno(f, -errno, "cannot read \"%s\"", path);
    return NULL;
}

/* The name stands in parentheses and may itself hold ") ": the last parenthesis ends it. The start
 * time is as shown here: control_start_time(). */
static int read_stat(const char *text, struct proc_info *p)
{
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    if (!open || !close || close < open)
        return -EBADMSG;
    snprintf(p->name, sizeof p->name, "%.*s", (int)(close - open - 1), open + 1);
    int ppid, group, session, threads;
    unsigned flags;
    unsigned long long start;
    if (sscanf(close + 1,
               " %c %d %d %d %*s %*s %u %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %d %*s %llu",
               &p->state, &ppid, &group, &session, &flags, &threads, &start) != 7)
        return -EBADMSG;
    p->ppid = ppid;
    p->process_group = group;
    p->session = session;
    p->threads = threads;
    p->start_time = start;
    p->kernel_thread = flags & KERNEL_THREAD_FLAG;
    p->exiting = flags & EXITING_FLAG;
    return 0;
}

/* The value behind "KEY:\t" at the beginning of a line, or NULL. */
static const char *status_value(const char *status, const char *key)
{
    size_t length = strlen(key);
    for (const char *line = status; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (!strncmp(line, key, length) && line[length] == ':')
            return line + length + 1 + strspn(line + length + 1, "\t ");
    }
    return NULL;
}

static unsigned long long status_number(const char *status, const char *key, int base)
{
    const char *value = status_value(status, key);
    return value ? strtoull(value, NULL, base) : 0;
}

static bool value_holds(const char *value, const char *word)
{
    const char *end = value ? strchrnul(value, '\n') : NULL;
    const char *hit = value ? strstr(value, word) : NULL;
    return hit && hit < end;
}

static pid_t last_number(const char *value)
{
    pid_t last = 0;
    while (value && isdigit((unsigned char)*value)) {
        char *end;
        last = (pid_t)strtol(value, &end, 10);
        value = end + strspn(end, "\t ");
    }
    return last;
}

static void read_status(const char *status, struct proc_info *p)
{
    const char *uid = status_value(status, "Uid"), *gid = status_value(status, "Gid");
    if (uid)
        sscanf(uid, "%u %u %u", &p->real_uid, &p->effective_uid, &p->saved_uid);
    if (gid)
        sscanf(gid, "%u %u %u", &p->real_gid, &p->effective_gid, &p->saved_gid);
    p->tracer = (pid_t)status_number(status, "TracerPid", 10);
    p->signals_pending = status_number(status, "SigPnd", 16) | status_number(status, "ShdPnd", 16);
    p->signals_blocked = status_number(status, "SigBlk", 16);
    p->signals_ignored = status_number(status, "SigIgn", 16);
    p->signals_caught = status_number(status, "SigCgt", 16);
    p->no_new_privileges = status_number(status, "NoNewPrivs", 10);
    p->seccomp = (enum proc_seccomp)status_number(status, "Seccomp", 10);
    p->seccomp_filters = (int)status_number(status, "Seccomp_filters", 10);
    p->shadow_stack = value_holds(status_value(status, "x86_Thread_features"), "shstk");
    p->innermost_pid = last_number(status_value(status, "NSpid"));
    if (!p->innermost_pid)
        p->innermost_pid = p->pid;
}

static bool foreign_namespace(pid_t pid, const char *kind)
{
    char path[64];
    struct stat theirs, ours;
    snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, kind);
    if (stat(path, &theirs))
        return false;
    snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
    return !stat(path, &ours) && (theirs.st_ino != ours.st_ino || theirs.st_dev != ours.st_dev);
}

static void read_exe(struct proc_info *p)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)p->pid);
    ssize_t n = readlink(path, p->exe, sizeof p->exe - 1);
    p->exe_known = n >= 0;
    p->exe[n > 0 ? n : 0] = '\0';
}

/* A process that is not dumpable has its files in /proc owned by root: visible unless it is root's
 * anyway. */
static bool looks_dumpable(const struct proc_info *p)
{
    char path[64];
    struct stat s;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)p->pid);
    return stat(path, &s) || s.st_uid == p->effective_uid;
}

static void read_tracer_name(struct proc_info *p)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/comm", (int)p->tracer);
    char *text = p->tracer ? proc_slurp(path, NULL) : NULL;
    if (text)
        snprintf(p->tracer_name, sizeof p->tracer_name, "%.*s", (int)strcspn(text, "\n"), text);
    free(text);
}

int proc_read(pid_t pid, struct proc_info *out, struct failure *f)
{
    *out = (struct proc_info){.pid = pid};
    char *stat_text = slurp(pid, "stat", f);
    if (!stat_text)
        return f->code;
    int bad = read_stat(stat_text, out);
    free(stat_text);
    if (bad)
        return fail(f, bad, "cannot understand \"/proc/%d/stat\"", (int)pid);
    out->start_time = control_start_time(out->start_time);
    char *status = slurp(pid, "status", f);
    if (!status)
        return f->code;
    read_status(status, out);
    free(status);
    read_tracer_name(out);
    read_exe(out);
    out->dumpable = looks_dumpable(out);
    out->foreign_pid_namespace = foreign_namespace(pid, "pid");
    out->foreign_mount_namespace = foreign_namespace(pid, "mnt");
    return 0;
}

int proc_start_time(pid_t pid, uint64_t *out, struct failure *f)
{
    struct proc_info p = {.pid = pid};
    char *text = slurp(pid, "stat", f);
    if (!text)
        return f->code;
    int bad = read_stat(text, &p);
    free(text);
    *out = control_start_time(p.start_time);
    return bad ? fail(f, bad, "cannot understand \"/proc/%d/stat\"", (int)pid) : 0;
}

/* Not every kernel has /proc/PID/task/TID/children (CONFIG_PROC_CHILDREN): the parents of all
 * processes tell too. */
int proc_children(pid_t pid, pid_t *out, int size, struct failure *f)
{
    DIR *proc = opendir("/proc");
    if (!proc)
        return fail_errno(f, -errno, "cannot read \"/proc\"");
    int count = 0;
    for (struct dirent *entry; (entry = readdir(proc));) {
        struct proc_info child = {.pid = (pid_t)atoi(entry->d_name)};
        struct failure gone;
        char *text = child.pid > 0 ? slurp(child.pid, "stat", &gone) : NULL;
        if (text && !read_stat(text, &child) && child.ppid == pid && count++ < size)
            out[count - 1] = child.pid;
        free(text);
    }
    closedir(proc);
    return count;
}

int proc_thread(pid_t pid, pid_t tid, struct proc_thread *out)
{
    char path[64];
    struct proc_info p;
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)tid);
    char *stat_text = proc_slurp(path, NULL);
    snprintf(path, sizeof path, "/proc/%d/task/%d/status", (int)pid, (int)tid);
    char *status = proc_slurp(path, NULL);
    int read = stat_text && status && !read_stat(stat_text, &p);
    if (read) {
        *out = (struct proc_thread){.tid = tid,
                                    .state = p.state,
                                    .signals_blocked = status_number(status, "SigBlk", 16),
                                    .signals_pending = status_number(status, "SigPnd", 16)};
        out->ending = p.exiting || out->signals_pending >> (SIGKILL - 1) & 1;
        memcpy(out->name, p.name, sizeof out->name);
    }
    free(stat_text);
    free(status);
    return read;
}

int proc_threads(pid_t pid, int (*each)(void *context, const struct proc_thread *thread),
                 void *context)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *directory = opendir(path);
    if (!directory)
        return -errno;
    int result = 0;
    for (struct dirent *entry; !result && (entry = readdir(directory));) {
        struct proc_thread thread;
        pid_t tid = (pid_t)atoi(entry->d_name);
        if (tid > 0 && proc_thread(pid, tid, &thread))
            result = each(context, &thread);
    }
    closedir(directory);
    return result;
}

static int lives(void *context, const struct proc_thread *thread)
{
    (void)context;
    return thread->state != 'Z' && thread->state != 'X' && !thread->ending;
}

/* A first thread that has ended before the others is no end of the process. */
bool proc_ended(pid_t pid, uint64_t start_time)
{
    struct proc_info now;
    struct failure ignored;
    return proc_read(pid, &now, &ignored) < 0 || (start_time && now.start_time != start_time) ||
           ((now.state == 'Z' || now.state == 'X') && proc_threads(pid, lives, NULL) <= 0);
}

int proc_syscall(pid_t pid, pid_t tid, struct proc_syscall *out, struct failure *f)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/syscall", (int)pid, (int)tid);
    char *text = proc_slurp(path, NULL);
    if (!text)
        return fail_errno(f, -errno, "cannot read \"%s\"", path);
    *out = (struct proc_syscall){.running = !strncmp(text, "running", 7), .number = -1};
    uint64_t *a = out->arguments;
    int n = sscanf(text,
                   "%ld %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64
                   " %" SCNx64 " %" SCNx64,
                   &out->number, a, a + 1, a + 2, a + 3, a + 4, a + 5, &out->sp, &out->pc);
    free(text);
    if (n == 3) { /* outside of a system call: "-1 SP PC" */
        out->sp = a[0];
        out->pc = a[1];
        a[0] = a[1] = 0;
    } else if (n != 9 && !out->running) {
        return fail(f, -EBADMSG, "cannot understand \"%s\"", path);
    }
    return 0;
}

int proc_read_memory(pid_t pid, taddr address, void *to, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)(uintptr_t)address, size};
    ssize_t n = process_vm_readv(pid, &local, 1, &remote, 1, 0);
    if (n < 0)
        return -errno;
    return (size_t)n == size ? 0 : -EFAULT;
}

int proc_descriptors(pid_t pid, int (*each)(void *context, int fd, const char *target),
                     void *context)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    if (!directory)
        return -errno;
    int result = 0;
    for (struct dirent *entry; !result && (entry = readdir(directory));) {
        char target[PATH_MAX];
        ssize_t n = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);
        if (n < 0) /* ".", "..", or closed in the meantime */
            continue;
        target[n] = '\0';
        result = each(context, atoi(entry->d_name), target);
    }
    closedir(directory);
    return result;
}
