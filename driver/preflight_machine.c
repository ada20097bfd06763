/* preflight_machine.c - what this machine and this user offer, apart from any target: see
 * preflight.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/files.h"
#include "driver/findings.h"

/* ioctl PAGEMAP_SCAN of Linux 6.7, linux/fs.h: newer than Debian 12's headers. */
struct pagemap_scan {
    __u64 size, flags, start, end, walk_end, vec, vec_len, max_pages;
    __u64 category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN_CALL _IOWR('f', 16, struct pagemap_scan)

static void add(struct findings *to, enum finding_severity severity, const char *id,
                const char *text)
{
    findings_add(to, severity, id, "%s", text);
}

static void check_kernel(struct findings *to)
{
    struct utsname u;
    if (!uname(&u))
        findings_add(to, FINDING_NOTE, "kernel", "%s %s, %s", u.sysname, u.release, u.machine);
}

static void check_gdb(struct findings *to)
{
    char line[256] = "";
    FILE *gdb = popen("gdb -nx --version 2>/dev/null", "r");
    if (!gdb || !fgets(line, sizeof line, gdb))
        line[0] = '\0';
    int status = gdb ? pclose(gdb) : -1;
    line[strcspn(line, "\n")] = '\0';
    if (status || !line[0])
        add(to, FINDING_REFUSE, "gdb", "gdb is not installed, or not in PATH: apt install gdb");
    else
        add(to, FINDING_NOTE, "gdb", line);
}

static void check_companions(struct findings *to)
{
    static const char *const names[] = {"libhijack.so", "hijack-shadow", "hijack-starter"};
    char path[FILES_PATH_MAX];
    struct failure f;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (files_find(names[i], path, &f))
            add(to, FINDING_REFUSE, "installation", f.text);
}

static void check_yama(struct findings *to)
{
    char *text = proc_slurp("/proc/sys/kernel/yama/ptrace_scope", NULL);
    int scope = text ? atoi(text) : 0;
    free(text);
    if (scope >= 3)
        add(to, FINDING_REFUSE, "yama",
            "kernel.yama.ptrace_scope is 3: no process may be traced until a reboot");
    else if (scope)
        findings_add(to, FINDING_WARN, "yama",
                     "kernel.yama.ptrace_scope is %d: only root may trace a process that it did "
                     "not start; to allow it: sysctl kernel.yama.ptrace_scope=0",
                     scope);
}

/* Tried on a child of our own: a container's seccomp filter may forbid ptrace to everybody. */
static int try_ptrace(void)
{
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pause();
        _exit(0);
    }
    int error = child < 0 || ptrace(PTRACE_SEIZE, child, 0, 0) < 0 ? errno : 0;
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    return error;
}

static void check_ptrace(struct findings *to)
{
    int error = try_ptrace();
    if (error)
        findings_add(to, FINDING_REFUSE, "ptrace",
                     "tracing is not allowed here (%s): in a container, start it with "
                     "--cap-add=SYS_PTRACE",
                     strerror(error));
}

static void check_pagemap_scan(struct findings *to)
{
    struct pagemap_scan scan = {.size = sizeof scan};
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    bool there = fd >= 0 && ioctl(fd, PAGEMAP_SCAN_CALL, &scan) >= 0;
    if (fd >= 0)
        close(fd);
    add(to, FINDING_NOTE, "pagemap-scan",
        there ? "fast look for touched pages (PAGEMAP_SCAN)"
              : "no PAGEMAP_SCAN (Linux 6.7): checkpoints look at /proc/self/pagemap, slower for "
                "large reservations");
}

static void check_user_namespaces(struct findings *to)
{
    char *most = proc_slurp("/proc/sys/user/max_user_namespaces", NULL);
    char *debian = proc_slurp("/proc/sys/kernel/unprivileged_userns_clone", NULL);
    bool allowed = most && atol(most) > 0 && (!debian || atoi(debian) == 1);
    free(most);
    free(debian);
    add(to, FINDING_NOTE, "user-namespaces",
        allowed ? "user namespaces for everybody"
                : "no user namespaces for ordinary users: a restart cannot keep process and thread "
                  "ids, nor shift clocks");
}

static void check_cpu(struct findings *to)
{
    char *text = proc_slurp("/proc/cpuinfo", NULL);
    const char *flags = text ? strstr(text, "\nflags") : NULL;
    if (flags) {
        const char *end = strchrnul(flags + 1, '\n');
        const char *avx512 = strstr(flags, " avx512f"), *amx = strstr(flags, " amx_tile");
        findings_add(to, FINDING_NOTE, "cpu", "extended registers: %s%s",
                     avx512 && avx512 < end ? "AVX-512" : "up to AVX",
                     amx && amx < end ? ", AMX" : "");
    }
    free(text);
}

static void check_runtime_directory(struct findings *to)
{
    const char *xdg = getenv("XDG_RUNTIME_DIR");
    char path[4096];
    struct stat s;
    if (xdg && xdg[0] == '/')
        snprintf(path, sizeof path, "%s/gdb-hijack", xdg);
    else
        snprintf(path, sizeof path, "/run/user/%u/gdb-hijack", (unsigned)getuid());
    if (lstat(path, &s))
        snprintf(path, sizeof path, "/tmp/gdb-hijack-%u", (unsigned)getuid());
    if (lstat(path, &s))
        return; /* it is made when it is needed */
    if (!S_ISDIR(s.st_mode) || s.st_uid != getuid() || (s.st_mode & 077))
        findings_add(to, FINDING_REFUSE, "runtime-directory",
                     "\"%s\" is not a directory of yours with mode 0700: remove it", path);
    else
        findings_add(to, FINDING_NOTE, "runtime-directory", "runtime directory \"%s\"", path);
}

int preflight_machine(struct findings *out, struct failure *f)
{
    int error = findings_start(out, f);
    if (error)
        return error;
    check_gdb(out);
    check_companions(out);
    check_yama(out);
    check_ptrace(out);
    check_runtime_directory(out);
    check_kernel(out);
    check_cpu(out);
    check_pagemap_scan(out);
    check_user_namespaces(out);
    return 0;
}
