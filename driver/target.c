/* target.c - see target.h. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "driver/files.h"
#include "driver/masks.h"
#include "driver/target.h"

/* How long a thread that does not stop is waited for by the attach. */
#define ATTACH_MS       5000 /* the others stand still */
#define ATTACH_ALONE_MS 20000

#define SERVE_NS 10000000000u /* for a thread whose handlers leave by longjmp */

uint64_t target_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int target_look_again(struct target *target, struct failure *f)
{
    struct maps maps;
    int code = maps_read(target->info.pid, &maps, f);
    if (code < 0)
        return code;
    objects_free(target->objects);
    target->objects = NULL;
    maps_free(&target->maps);
    target->maps = maps;
    return objects_open(target->info.pid, &target->maps, &target->objects, f);
}

/* The auxiliary vector tells one exec from the next: it has random addresses, the stack's among
 * them. */
static uint64_t program_of(pid_t pid)
{
    char path[64];
    size_t size = 0;
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    snprintf(path, sizeof path, "/proc/%d/auxv", (int)pid);
    char *vector = proc_slurp(path, &size);
    for (size_t i = 0; vector && i < size; i++)
        hash = (hash ^ (unsigned char)vector[i]) * 1099511628211u;
    free(vector);
    return hash;
}

int target_start_gdb(struct target *target, pid_t pid, mi_trace *trace, struct failure *f)
{
    memset(target, 0, sizeof *target);
    target->info.pid = pid;
    target->trace = trace;
    target->program = program_of(pid); /* before all that is read of it */
    return inferior_start(&target->inferior, trace, f);
}

int target_look(struct target *target, struct failure *f)
{
    const pid_t pid = target->info.pid;
    int code = proc_read(pid, &target->info, f);
    if (code == 0)
        code = target_look_again(target, f);
    if (code == 0)
        code = server_place(&target->server, pid, &target->maps, target->objects, f);
    return code;
}

int target_await_gdb(struct target *target, struct failure *f)
{
    char blank[FILES_PATH_MAX];
    int code = files_find("gdb-blank", blank, f);
    return code < 0 ? code : inferior_await(target->inferior, blank, f);
}

int target_open(struct target *target, pid_t pid, mi_trace *trace, struct failure *f)
{
    int code = target_start_gdb(target, pid, trace, f);
    if (code == 0)
        code = target_look(target, f);
    return code == 0 ? target_await_gdb(target, f) : code;
}

static int is_stopping(void *context, const struct proc_thread *thread)
{
    (void)context;
    return thread->state == 'T' || thread->signals_pending & 1u << (SIGSTOP - 1);
}

/* An attach sends a SIGSTOP to each thread. One that gdb has not waited for takes it when gdb is
 * gone, perhaps later - the parent of a vfork, in its uninterruptible wait -, and stops them all,
 * with nobody there to let them go on. SIGCONT takes it back. It is seen only by a program with a
 * handler for it; that gets it only when a stop can be seen to be under way. */
static void take_stop_back(const struct target *target)
{
    struct proc_info now;
    struct failure ignored;
    bool same = proc_read(target->info.pid, &now, &ignored) == 0 &&
                now.start_time == target->info.start_time && !now.tracer;
    bool unseen = same && !(now.signals_caught & 1u << (SIGCONT - 1));
    if (same && (unseen || proc_threads(target->info.pid, is_stopping, NULL) > 0))
        kill(target->info.pid, SIGCONT);
}

static void close_gdb(struct target *target)
{
    inferior_close(target->inferior);
    target->inferior = NULL;
    if (target->stop_left)
        take_stop_back(target);
    target->stop_left = false;
}

void target_close(struct target *target)
{
    struct failure ignored;
    if (inferior_attached(target->inferior) && !target->served)
        target_let_go(target, &ignored);
    close_gdb(target);
    threads_free(&target->threads);
    objects_free(target->objects);
    maps_free(&target->maps);
    memset(target, 0, sizeof *target);
}

/* On its way out a process has no memory any more, and is no zombie yet. */
static bool has_memory(pid_t pid)
{
    char path[64];
    size_t size = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    free(proc_slurp(path, &size));
    return size > 0;
}

void target_explain_end(pid_t pid, uint64_t start_time, struct failure *f)
{
    struct proc_info now;
    struct failure ignored;
    if (f->code == -EINTR) /* the user's word */
        return;
    if (start_time && (proc_ended(pid, start_time) || !has_memory(pid)))
        fail(f, -ESRCH, "process %d has ended", (int)pid);
    else if (!start_time && proc_read(pid, &now, &ignored) < 0)
        fail(f, -ESRCH, "there is no process %d", (int)pid);
}

static void stands_still(struct target *target)
{
    target->stopped_at = target_now();
}

static void runs(struct target *target)
{
    if (target->stopped_at)
        target->still_ns += target_now() - target->stopped_at;
    target->stopped_at = 0;
}

/* Nothing that we know of the address space is true any more: not even the server may be used. */
static int leave_other_program(struct target *target, struct failure *f)
{
    struct failure ignored;
    /* An execve under a tracer ends with a SIGTRAP, which is not the program's. */
    if (strcmp(inferior_pending_signal(target->inferior), "SIGTRAP") == 0)
        inferior_console(target->inferior, "queue-signal 0", &ignored);
    inferior_detach(target->inferior, &ignored);
    return fail(f, -EAGAIN, "process %d has executed another program meanwhile; try again",
                (int)target->info.pid);
}

/* An attach would wake it up, and the stop would be lost. */
static bool is_stopped(const struct target *target)
{
    struct proc_info now;
    struct failure ignored;
    return proc_read(target->info.pid, &now, &ignored) == 0 && now.state == 'T';
}

int target_know_threads(struct target *target, struct failure *f)
{
    target->chosen = NULL;
    int code = threads_read(&target->threads, target->inferior, f);
    return code < 0 ? code : threads_restart_calls(&target->threads, target->inferior, f);
}

/* Attaches, and knows every thread. 0: one has escaped, the target is let go. 1; -errno. */
static int attach_all(struct target *target, struct failure *f)
{
    int deadline = target->info.threads > 1 ? ATTACH_MS : ATTACH_ALONE_MS;
    int code = inferior_attach(target->inferior, target->info.pid, deadline, f);
    target->stop_left = code < 0;
    if (code == 0 && program_of(target->info.pid) != target->program)
        code = leave_other_program(target, f);
    if (code == 0)
        code = target_know_threads(target, f);
    if (code < 0)
        return code;
    target->others_ran = false;
    if (threads_all_held(&target->threads, target->info.pid))
        return 1;
    return inferior_detach(target->inferior, f);
}

int target_attach(struct target *target, struct failure *f)
{
    enum { ATTEMPTS = 20 };
    if (is_stopped(target))
        return fail(f, -EBUSY,
                    "process %d was stopped by a signal; let it go on first: kill -CONT %d",
                    (int)target->info.pid, (int)target->info.pid);
    int code = threads_wait_stoppable(target->info.pid, target->patience_ms, f);
    if (code < 0)
        return code;
    stands_still(target);
    for (int i = 0; code == 0 && i < ATTEMPTS; i++)
        code = attach_all(target, f);
    if (code == 0)
        code = fail(f, -EAGAIN,
                    "process %d makes threads faster than they can be stopped; try again later",
                    (int)target->info.pid);
    if (code < 0)
        runs(target);
    return code < 0 ? code : 0;
}

int target_let_go(struct target *target, struct failure *f)
{
    int code = inferior_detach(target->inferior, f);
    runs(target);
    return code;
}

int target_retake(struct target *target, int deadline_ms, target_unsafe *extra, void *context,
                  struct failure *f)
{
    close_gdb(target);
    target->served = false;
    runs(target);
    int code = inferior_start(&target->inferior, target->trace, f);
    if (code == 0)
        code = target_await_gdb(target, f);
    if (code == 0)
        code = target_attach(target, f);
    if (code == 0)
        code = target_find_safe_point(target, deadline_ms, extra, context, f);
    return code;
}

/* --- the service --- */

int target_syscalls(struct target *target, struct server_syscall *calls, size_t count,
                    struct failure *f)
{
    return server_syscalls(&target->server, calls, count, f);
}

int target_syscall(struct target *target, int64_t *result, struct failure *f, long number,
                   const uint64_t arguments[6])
{
    struct server_syscall call = {.number = number};
    memcpy(call.arguments, arguments, sizeof call.arguments);
    int code = target_syscalls(target, &call, 1, f);
    *result = call.result;
    return code;
}

int target_call(struct target *target, uint64_t *result, struct failure *f, taddr function,
                const uint64_t arguments[6])
{
    return server_call(&target->server, function, arguments, target->scratch + TARGET_SCRATCH,
                       result, f);
}

static int map_scratch(struct target *target, struct failure *f)
{
    taddr place;
    int64_t result;
    if (!maps_gap(&target->maps, target->server.code, TARGET_SCRATCH, UINT64_MAX / 4, &place))
        return fail_errno(f, -ENOMEM, "process %d has no address space left",
                          (int)target->info.pid);
    int code = server_memory(&target->server, place, TARGET_SCRATCH, &result, f);
    if (code == 0 && result < 0 && result > -4096)
        return fail_errno(f, (int)result, "process %d cannot map %d KiB of memory",
                          (int)target->info.pid, TARGET_SCRATCH / 1024);
    if (code == 0)
        target->scratch = (taddr)result;
    return code;
}

int target_take_server_out(struct target *target, struct failure *f)
{
    enum safepoint_purpose purpose = target->purpose;
    target->purpose = SAFEPOINT_FOR_LIBC; /* in no signal handler, which would go back to it */
    int code = target_retake(target, target->search.deadline_ms, target->search.extra,
                             target->search.context, f);
    target->purpose = purpose;
    if (code == 0)
        code = server_take_out(&target->server, target->inferior, f);
    if (code == 0)
        target->sent = false;
    return code;
}

int target_serve(struct target *target, int (*find)(void *context, struct failure *f),
                 void *context, struct failure *f)
{
    uint64_t deadline = target_now() + SERVE_NS;
    target->scratch = 0; /* what an earlier server had it has unmapped */
    for (;;) {
        target->sent = target->served = true;
        int code = server_enter(&target->server, target->inferior, f);
        if (code == 0) {
            target->sent = false;
            target->answered = true;
            return map_scratch(target, f);
        }
        if (code != -ETIMEDOUT || target_now() > deadline)
            return code;
        code = target_take_server_out(target, f);
        if (code == 0)
            code = find(context, f);
        if (code < 0)
            return code;
    }
}

int target_string(struct target *target, const char *string, taddr *address, struct failure *f)
{
    size_t size = strlen(string) + 1;
    if (size > TARGET_STRINGS)
        return fail_errno(f, -ENAMETOOLONG, "\"%.64s...\"", string);
    *address = target->scratch;
    return inferior_write(target->inferior, *address, string, size, f);
}

int target_go(struct target *target, struct failure *f)
{
    if (!target->served)
        return target_let_go(target, f);
    int code = target_take_stops(target, f);
    if (code < 0)
        return code;
    target->scratch = 0;
    target->served = false;
    code = masks_change_served(target, f);
    if (code == 0)
        code = server_leave(&target->server, f);
    if (code == 0)
        code = masks_change_others(target, f);
    return code < 0 || !inferior_attached(target->inferior) ? code : target_let_go(target, f);
}
