/* preflight_remote.c - can the I/O of a process be its shadow's (--remote-io)? See preflight.h.
 *
 * The net under the jumps is a signal, SIGSYS, which the kernel raises for each system call
 * (Syscall User Dispatch, Linux 5.11): a process that blocks it would be killed by its next one.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "driver/findings.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59 /* linux/prctl.h */
#endif

#define SIGSYS_BIT (1ULL << (SIGSYS - 1))

/* What is against remote I/O alone is against the hijack when both are wanted. */
#define refuse_remote(p, ...)                                                                      \
    findings_add((p)->findings, (p)->options->remote_io ? FINDING_REFUSE : FINDING_REFUSE_REMOTE,  \
                 __VA_ARGS__)

/* Off for this process, which it is: the kernel knows the call, or not. */
static void check_kernel(struct preflight *p)
{
    if (prctl(PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0))
        refuse_remote(
            p, "user-dispatch",
            "this kernel has no Syscall User Dispatch (Linux 5.11, CONFIG_GENERIC_ENTRY): "
            "calls that libc does not make through its functions would escape");
}

static void check_sigsys(struct preflight *p)
{
    const char *does = p->info.signals_caught & SIGSYS_BIT    ? "handles"
                       : p->info.signals_ignored & SIGSYS_BIT ? "ignores"
                                                              : NULL;
    if (does)
        refuse_remote(p, "sigsys",
                      "process %d %s the signal SIGSYS, by which remote I/O catches system calls",
                      (int)p->info.pid, does);
}

static void check_children(struct preflight *p)
{
    struct failure f;
    pid_t child;
    if (proc_children(p->info.pid, &child, 1, &f) > 0)
        findings_add(p->findings, FINDING_WARN, "remote-children",
                     "process %d starts other processes: with remote I/O it could not (fork and "
                     "execve: ENOSYS)",
                     (int)p->info.pid);
}

/* --- descriptors --- */

/* A file or directory below the process's own /proc/PID. */
static bool is_own_proc(const struct preflight *p, const char *target)
{
    char own[32];
    int size = snprintf(own, sizeof own, "/proc/%d", (int)p->info.innermost_pid);
    return !strncmp(target, own, (size_t)size) && (!target[size] || target[size] == '/');
}

bool preflight_is_bound(const struct preflight *p, const char *target)
{
    static const char *const bound[] = {"anon_inode:[io_uring]", "anon_inode:[userfaultfd]",
                                        "anon_inode:[perf_event]", "anon_inode:kvm", "/secretmem"};
    for (size_t i = 0; i < sizeof bound / sizeof *bound; i++)
        if (!strncmp(target, bound[i], strlen(bound[i])))
            return true;
    return is_own_proc(p, target);
}

struct search {
    struct preflight *p;
    bool found;
};

static int check_descriptor(void *context, int fd, const char *target)
{
    struct search *search = context;
    if (search->found || !preflight_is_bound(search->p, target))
        return 0;
    refuse_remote(search->p, "remote-descriptors",
                  "descriptor %d of process %d (%.200s) is bound to the process or its memory: it "
                  "cannot be with the shadow",
                  fd, (int)search->p->info.pid, target);
    search->found = true;
    return 0;
}

void preflight_remote_io(struct preflight *p)
{
    struct search search = {.p = p};
    check_kernel(p);
    check_sigsys(p);
    check_children(p);
    proc_descriptors(p->info.pid, check_descriptor, &search);
}

int preflight_remote(pid_t pid, struct findings *out, struct failure *f)
{
    static const struct preflight_options options;
    struct preflight p = {.options = &options, .findings = out};
    int error = findings_start(out, f);
    if (!error)
        error = proc_read(pid, &p.info, f);
    if (!error)
        preflight_remote_io(&p);
    return error;
}
