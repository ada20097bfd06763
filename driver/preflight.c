/* preflight.c - see preflight.h. What the process is, and what I may do with it; what it holds is
 * preflight_memory.c's. */
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/findings.h"
#include "driver/masks.h"

#define CAPABILITY_PTRACE 19 /* CAP_SYS_PTRACE */
#define FIRST_SIGNAL      35 /* 32 to 34 are for the C libraries themselves, even where unused */

/* --- the list --- */

int findings_start(struct findings *findings, struct failure *f)
{
    *findings = (struct findings){.at = calloc(FINDINGS_MAX, sizeof *findings->at)};
    return findings->at ? 0 : fail(f, -ENOMEM, "cannot list what was found: out of memory");
}

void findings_add(struct findings *findings, enum finding_severity severity, const char *id,
                  const char *format, ...)
{
    if (findings->count == FINDINGS_MAX)
        return;
    struct finding *finding = &findings->at[findings->count++];
    finding->severity = severity;
    finding->id = id;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->text, sizeof finding->text, format, arguments);
    va_end(arguments);
}

const struct finding *findings_worst(const struct findings *findings,
                                     enum finding_severity severity)
{
    for (size_t i = 0; i < findings->count; i++)
        if (findings->at[i].severity >= severity)
            return &findings->at[i];
    return NULL;
}

void findings_free(struct findings *findings)
{
    free(findings->at);
    *findings = (struct findings){0};
}

/* --- the process --- */

#define refuse(p, ...) findings_add((p)->findings, FINDING_REFUSE, __VA_ARGS__)
#define refuse_checkpoint(p, ...)                                                                  \
    findings_add((p)->findings, FINDING_REFUSE_CHECKPOINT, __VA_ARGS__)
#define warn(p, ...) findings_add((p)->findings, FINDING_WARN, __VA_ARGS__)
#define note(p, ...) findings_add((p)->findings, FINDING_NOTE, __VA_ARGS__)

static bool is_ancestor(pid_t pid)
{
    struct failure f;
    struct proc_info p = {.ppid = getppid()};
    for (int depth = 0; p.ppid > 0 && depth < 64; depth++) {
        if (p.ppid == pid)
            return true;
        if (proc_read(p.ppid, &p, &f))
            return false;
    }
    return false;
}

static void check_identity(struct preflight *p)
{
    int pid = (int)p->info.pid;
    if (pid == (int)getpid())
        refuse(p, "self", "process %d is this gdb-hijack itself", pid);
    else if (is_ancestor(p->info.pid))
        refuse(p, "ancestor",
               "process %d (%s) started this gdb-hijack and may wait for it while it stands still; "
               "run gdb-hijack from another shell",
               pid, p->info.name);
    if (p->info.kernel_thread)
        refuse(p, "kernel-thread", "process %d (%s) is a kernel thread, no program", pid,
               p->info.name);
}

static void check_state(struct preflight *p)
{
    int pid = (int)p->info.pid;
    if (p->info.state == 'Z' && p->info.threads > 1 && proc_ended(p->info.pid, 0))
        refuse(p, "ended", "process %d has ended, though not all of its threads have", pid);
    else if (p->info.state == 'Z' && p->info.threads > 1)
        refuse(
            p, "leader",
            "the first thread of process %d (%s) has ended (pthread_exit in main) while others go "
            "on: a debugger cannot attach to such a process",
            pid, p->info.name);
    else if (p->info.state == 'Z' || p->info.state == 'X')
        refuse(p, "zombie",
               "process %d (%s) is a zombie: it has ended and waits for its parent, process %d",
               pid, p->info.name, (int)p->info.ppid);
    else if (p->info.state == 'T')
        refuse(p, "stopped",
               "process %d (%s) is stopped by a signal; let it go on first: kill -CONT %d", pid,
               p->info.name, pid);
    if (p->info.tracer)
        refuse(p, "tracer",
               "cannot attach to process %d: another tracer (%s, process %d) holds it; stop that "
               "first",
               pid, p->info.tracer_name[0] ? p->info.tracer_name : "?", (int)p->info.tracer);
}

/* --- permission: ptrace(2), "Ptrace access mode checking" --- */

static bool may_ptrace_all(void)
{
    char *status = proc_slurp("/proc/self/status", NULL);
    const char *line = status ? strstr(status, "\nCapEff:") : NULL;
    bool may = line && (strtoull(line + 8, NULL, 16) >> CAPABILITY_PTRACE & 1);
    free(status);
    return may;
}

static bool same_user(const struct proc_info *p)
{
    return p->real_uid == getuid() && p->effective_uid == getuid() && p->saved_uid == getuid() &&
           p->real_gid == getgid() && p->effective_gid == getgid() && p->saved_gid == getgid();
}

static const char *user_name(uid_t uid, char out[64])
{
    struct passwd *entry = getpwuid(uid);
    if (entry)
        snprintf(out, 64, "%s", entry->pw_name);
    else
        snprintf(out, 64, "uid %u", (unsigned)uid);
    return out;
}

static void check_owner(struct preflight *p)
{
    char name[64];
    int pid = (int)p->info.pid;
    if (p->info.effective_uid != getuid() || p->info.real_uid != getuid())
        refuse(p, "other-user",
               "process %d belongs to another user (%s); be that user, or root, to hijack it", pid,
               user_name(p->info.effective_uid, name));
    else if (!same_user(&p->info))
        refuse(p, "other-user",
               "process %d runs with other ids than yours (a set-user-id or set-group-id program); "
               "only root can hijack it",
               pid);
    else if (!p->info.dumpable || !p->info.exe_known)
        refuse(p, "not-dumpable",
               "process %d is not dumpable (prctl PR_SET_DUMPABLE, or its program file is not "
               "readable): only root can hijack it",
               pid);
}

static bool is_descendant(pid_t pid)
{
    struct failure f;
    struct proc_info p = {.ppid = pid};
    for (int depth = 0; p.ppid > 1 && depth < 64; depth++) {
        if (proc_read(p.ppid, &p, &f))
            return false;
        if (p.ppid == getpid())
            return true;
    }
    return false;
}

/* Yama: 1 own descendants only, 2 with CAP_SYS_PTRACE only, 3 nobody. */
static void check_yama(struct preflight *p, bool privileged)
{
    static const char name[] = "/proc/sys/kernel/yama/ptrace_scope";
    char *text = proc_slurp(name, NULL);
    int scope = text ? atoi(text) : 0;
    free(text);
    if (scope >= 3)
        refuse(p, "yama", "kernel.yama.ptrace_scope is %d: no process may be traced until a reboot",
               scope);
    else if (!privileged && (scope == 2 || (scope == 1 && !is_descendant(p->info.pid))))
        refuse(p, "yama",
               "kernel.yama.ptrace_scope is %d: only root may trace process %d; be root, or: "
               "sudo sysctl kernel.yama.ptrace_scope=0",
               scope, (int)p->info.pid);
}

static void check_permission(struct preflight *p)
{
    bool privileged = may_ptrace_all();
    if (!privileged)
        check_owner(p);
    else if (!p->info.dumpable)
        refuse_checkpoint(p, "not-dumpable",
                          "process %d is not dumpable: its own memory is closed to it; it would "
                          "have to call prctl(PR_SET_DUMPABLE, 1)",
                          (int)p->info.pid);
    check_yama(p, privileged);
}

/* --- what a hijack does not know how to handle --- */

/* 1, and the thread in *out: one that cannot be stopped now. */
static int find_stuck(void *context, const struct proc_thread *thread)
{
    if (thread->state != 'D')
        return 0;
    *(struct proc_thread *)context = *thread;
    return 1;
}

static void check_threads(struct preflight *p)
{
    struct proc_thread stuck;
    if (proc_threads(p->info.pid, find_stuck, &stuck) == 1)
        warn(p, "disk-sleep",
             "thread %d (%s) waits in the kernel where it cannot be stopped (for a child of vfork, "
             "or "
             "a file system); a hijack waits for it",
             (int)stuck.tid, stuck.name);
    if (p->info.threads > 1)
        note(p, "threads", "process %d (%s) has %d threads: all of them stand still for a hijack",
             (int)p->info.pid, p->info.name, p->info.threads);
    if (p->info.shadow_stack)
        refuse(p, "shadow-stack",
               "process %d has a shadow stack (CET); start the program with "
               "GLIBC_TUNABLES=glibc.cpu.x86_shstk=off",
               (int)p->info.pid);
}

static void check_seccomp(struct preflight *p)
{
    int pid = (int)p->info.pid;
    if (p->info.seccomp == PROC_SECCOMP_STRICT)
        refuse(p, "seccomp", "process %d is in seccomp's strict mode", pid);
    else if (p->info.seccomp != PROC_SECCOMP_NONE && p->options->trust_seccomp)
        refuse_checkpoint(p, "seccomp", "process %d has a seccomp filter: a restart cannot set it",
                          pid);
    else if (p->info.seccomp != PROC_SECCOMP_NONE)
        refuse(p, "seccomp",
               "process %d has a seccomp filter, which may kill it for our system calls; if you "
               "know that it does not, give --trust-seccomp",
               pid);
}

/* Signals that the threads block, and those that one waits for in rt_sigtimedwait. */
struct thread_signals {
    pid_t pid;
    uint64_t blocked, waited;
};

static int add_signals(void *context, const struct proc_thread *thread)
{
    struct thread_signals *s = context;
    s->blocked |= thread->signals_blocked;
    s->waited |= masks_awaited(s->pid, thread->tid);
    return 0;
}

static int highest_free(uint64_t taken)
{
    for (int number = 63; number >= FIRST_SIGNAL; number--)
        if (!(taken >> (number - 1) & 1))
            return number;
    return 0;
}

/* A program that blocks a signal most likely uses it; one that blocks them all does not. */
int preflight_signal(const struct proc_info *process, int wanted)
{
    struct thread_signals s = {.pid = process->pid};
    proc_threads(process->pid, add_signals, &s);
    uint64_t used = process->signals_caught | process->signals_ignored | process->signals_pending |
                    s.waited,
             blocked = used | process->signals_blocked;
    if (wanted)
        return wanted >= 1 && wanted <= 64 && wanted != SIGKILL && wanted != SIGSTOP &&
                       !(blocked >> (wanted - 1) & 1)
                   ? wanted
                   : 0;
    int number = highest_free(blocked | s.blocked);
    if (!number)
        number = highest_free(blocked);
    return number ? number : highest_free(used);
}

/* Who will have it taken out of its mask. */
struct blockers {
    int signal, count;
    struct proc_thread first;
};

static int count_blocker(void *context, const struct proc_thread *thread)
{
    struct blockers *b = context;
    if (thread->signals_blocked >> (b->signal - 1) & 1 && b->count++ == 0)
        b->first = *thread;
    return 0;
}

static void note_blockers(struct preflight *p, int signal)
{
    struct blockers b = {.signal = signal};
    proc_threads(p->info.pid, count_blocker, &b);
    if (b.count)
        note(p, "blocked-signal",
             "%d thread%s (%d, %s%s signal %d, which takes checkpoints: a hijack takes it out of "
             "the "
             "mask",
             b.count, b.count == 1 ? "" : "s", (int)b.first.tid, b.first.name,
             b.count == 1 ? ") blocks" : ", ...) block", signal);
}

static void check_signal(struct preflight *p)
{
    int wanted = p->options->signal;
    int signal = preflight_signal(&p->info, wanted);
    if (signal)
        note_blockers(p, signal);
    else if (wanted)
        refuse(p, "signal",
               "signal %d cannot take checkpoints: process %d catches, ignores, blocks or cannot "
               "catch it; choose another one",
               wanted, (int)p->info.pid);
    else
        refuse(p, "signal", "process %d uses or waits for every signal from %d to 63: none is left",
               (int)p->info.pid, FIRST_SIGNAL);
}

/* --- its surroundings --- */

static void check_children(struct preflight *p)
{
    struct failure f;
    pid_t child;
    int count = proc_children(p->info.pid, &child, 1, &f);
    if (count > 0)
        refuse_checkpoint(p, "children",
                          "process %d has %d %s (process %d%s): a checkpoint is refused while it "
                          "has, as they would not be its children after a restart",
                          (int)p->info.pid, count, count == 1 ? "child" : "children", (int)child,
                          count == 1 ? "" : ", ...");
}

/* As this command sees it: within the same changed root there is nothing to enter. */
static void check_root(struct preflight *p)
{
    char path[64], root[PATH_MAX] = "";
    snprintf(path, sizeof path, "/proc/%d/root", (int)p->info.pid);
    if (readlink(path, root, sizeof root - 1) > 0 && strcmp(root, "/") != 0)
        refuse_checkpoint(
            p, "root_directory",
            "process %d has another root directory ('%.200s'), which a restart cannot "
            "enter; run gdb-hijack within it",
            (int)p->info.pid, root);
}

static void check_cgroup(struct preflight *p)
{
    static const char *const schedulers[] = {"slurm", "htcondor", "condor", "pbs", "torque"};
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/cgroup", (int)p->info.pid);
    char *text = proc_slurp(path, NULL);
    if (text && strstr(text, "/session-"))
        warn(p, "session",
             "process %d is in a login session: its shadow may end with that session "
             "(KillUserProcesses, loginctl)",
             (int)p->info.pid);
    for (size_t i = 0; text && i < sizeof schedulers / sizeof *schedulers; i++) {
        if (!strstr(text, schedulers[i]))
            continue;
        warn(p, "scheduler", "process %d is in a job's cgroup (%s): its shadow ends with that job",
             (int)p->info.pid, schedulers[i]);
        break;
    }
    free(text);
}

/* The orphans of a namespace become children of its process 1. So do a subreaper's, but what it has
 * set by prctl() no other process can see: it shows when the shadow is made. */
static void check_orphans(struct preflight *p)
{
    if (p->info.innermost_pid == 1)
        refuse(p, "adopts-orphans",
               "process %d is process 1 of its pid namespace and adopts orphans: its shadow would "
               "become its child",
               (int)p->info.pid);
}

static void check_namespaces(struct preflight *p)
{
    if (p->info.foreign_pid_namespace)
        note(p, "pid-namespace", "process %d is process %d in its own pid namespace",
             (int)p->info.pid, (int)p->info.innermost_pid);
    if (p->info.foreign_mount_namespace)
        note(p, "mount-namespace", "process %d sees other mounts than this gdb-hijack",
             (int)p->info.pid);
}

static void check_all(struct preflight *p)
{
    check_identity(p);
    check_state(p);
    if (p->info.kernel_thread || p->info.state == 'Z' || p->info.state == 'X')
        return;
    check_permission(p);
    check_threads(p);
    check_seccomp(p);
    check_signal(p);
    struct failure f;
    if (!maps_read(p->info.pid, &p->maps, &f) && p->maps.count) {
        preflight_program(p);
        preflight_library(p);
        if (p->options->coverage)
            preflight_coverage(p);
        preflight_mappings(p);
        preflight_descriptors(p);
        preflight_smaps(p);
        preflight_remote_io(p);
        maps_free(&p->maps);
    }
    check_root(p);
    check_children(p);
    check_orphans(p);
    check_cgroup(p);
    check_namespaces(p);
}

int preflight_process(pid_t pid, const struct preflight_options *options, struct findings *out,
                      struct failure *f)
{
    struct preflight p = {.options = options, .findings = out};
    int error = findings_start(out, f);
    if (error)
        return error;
    error = proc_read(pid, &p.info, f);
    if (!error)
        check_all(&p);
    else if (error == -ESRCH)
        refuse(&p, "no-process", "no process %d", (int)pid);
    else
        findings_free(out);
    return error == -ESRCH ? 0 : error;
}
