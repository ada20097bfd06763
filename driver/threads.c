/* threads.c - see threads.h. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "driver/arch.h"
#include "driver/interrupt.h"
#include "driver/proc.h"
#include "driver/threads.h"

/* --- reading --- */

static int add(struct threads *threads, const struct thread *thread)
{
    if ((threads->count & (threads->count - 1)) == 0) { /* a power of two: full */
        size_t room = threads->count ? 2 * threads->count : 1;
        struct thread *more = realloc(threads->at, room * sizeof *more);
        if (!more)
            return -ENOMEM;
        threads->at = more;
    }
    threads->at[threads->count++] = *thread;
    return 0;
}

/* The stop of an attach shows as SIGSTOP's. */
static bool parse_values(const char *line, struct thread *t)
{
    int count = sscanf(line, "\n@%u %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNd64 " %" SCNd64 " %d",
                       &t->number, &t->pc, &t->sp, &t->pointer, &t->call, &t->result, &t->signal);
    if (t->signal == SIGSTOP)
        t->signal = 0;
    return count == 7;
}

/* Below "Thread 2 (LWP 4711 "name"):" stands our line; a single thread is a "process". A name is
 * too short to hold the beginning of such a heading, or all of such a line. */
static int parse(const char *text, struct threads *threads)
{
    for (const char *head = text; (head = strstr(head, "\nThread "));) {
        struct thread t = {0};
        int tid;
        const char *line = strstr(head, "\n@"), *next = strstr(head + 1, "\nThread ");
        if (sscanf(head, "\nThread %*u (%*s %d", &tid) != 1 || !line || (next && line > next) ||
            !parse_values(line, &t))
            return -EBADMSG;
        t.tid = tid;
        int code = add(threads, &t);
        if (code < 0)
            return code;
        head = line;
    }
    return threads->count ? 0 : -ESRCH;
}

int threads_read(struct threads *threads, struct inferior *inferior, struct failure *f)
{
    char command[256];
    threads_free(threads);
    snprintf(command, sizeof command,
             "thread apply all -ascending -s printf \"@%%d %%lx %%lx %%lx %%ld %%ld %%d\\n\", "
             "$_thread, $%s, $%s, $%s, $%s, $%s, $_siginfo.si_signo",
             arch.pc, arch.sp, arch.thread_pointer, arch.syscall_number, arch.result);
    const char *text = inferior_console(inferior, command, f);
    if (!text)
        return f->code;
    int code = parse(text, threads);
    return code < 0 ? fail_errno(f, code, "cannot list the target's threads") : 0;
}

void threads_free(struct threads *threads)
{
    free(threads->at);
    *threads = (struct threads){0};
}

/* --- before the attach --- */

#define SUSPECTS 64

struct suspects {
    size_t count;
    struct proc_thread at[SUSPECTS];
};

static int list_stuck(void *context, const struct proc_thread *thread)
{
    struct suspects *s = context;
    if (thread->state == 'D' && s->count < SUSPECTS)
        s->at[s->count++] = *thread;
    return 0;
}

/* Those of the old list that still are in the new one. */
static void keep_stuck(struct suspects *old, const struct suspects *new)
{
    size_t kept = 0;
    for (size_t i = 0; i < old->count; i++)
        for (size_t j = 0; j < new->count; j++)
            if (old->at[i].tid == new->at[j].tid)
                old->at[kept++] = old->at[i];
    old->count = kept;
}

static int64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int threads_wait_stoppable(pid_t pid, int deadline_ms, struct failure *f)
{
    const struct timespec millisecond = {.tv_nsec = 1000000};
    struct suspects stuck = {0};
    int64_t deadline = milliseconds() + deadline_ms;
    proc_threads(pid, list_stuck, &stuck);
    while (stuck.count && milliseconds() < deadline) {
        struct suspects now = {0};
        int code = interrupt_check(f);
        if (code < 0)
            return code;
        nanosleep(&millisecond, NULL);
        proc_threads(pid, list_stuck, &now);
        keep_stuck(&stuck, &now);
    }
    if (!stuck.count)
        return 0;
    return fail(
        f, -EAGAIN,
        "thread %d (%s) of process %d waits in the kernel where it cannot be stopped (for a "
        "child of vfork, or a file system); try again later",
        (int)stuck.at[0].tid, stuck.at[0].name, (int)pid);
}

/* --- interrupted calls --- */

/* The kernel's ERESTARTNOHAND (include/linux/errno.h), which no program sees: the call is issued
 * again, or returns EINTR when a handler runs first. */
#define RESTART_UNLESS_HANDLED (-514)

/* Calls that the stop of an attach makes return EINTR, for want of a restart in the kernel; the
 * transfers do so on sockets with a timeout. */
static bool ends_with_eintr(int64_t call)
{
    switch (call) {
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
    case SYS_semop:
    case SYS_semtimedop:
    case SYS_rt_sigtimedwait:
    case SYS_io_getevents:
    case SYS_io_pgetevents:
    case SYS_accept:
    case SYS_accept4:
    case SYS_connect:
    case SYS_read:
    case SYS_readv:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_recvmmsg:
    case SYS_write:
    case SYS_writev:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_sendmmsg:
        return true;
    default:
        return false;
    }
}

/* One command for all of them. */
int threads_restart_calls(struct threads *threads, struct inferior *inferior, struct failure *f)
{
    char *command = NULL;
    size_t size = 0, found = 0;
    FILE *stream = open_memstream(&command, &size);
    if (!stream)
        return fail_errno(f, -ENOMEM, "cannot restart interrupted calls");
    fputs("thread apply", stream);
    for (size_t i = 0; i < threads->count; i++) {
        struct thread *t = &threads->at[i];
        if (t->result != -EINTR || !ends_with_eintr(t->call))
            continue;
        t->result = RESTART_UNLESS_HANDLED;
        found++;
        fprintf(stream, " %u", t->number);
    }
    fprintf(stream, " -q set $%s = %d", arch.result, RESTART_UNLESS_HANDLED);
    fclose(stream);
    int code = !found || inferior_console(inferior, command, f) ? 0 : f->code;
    free(command);
    return code;
}

/* --- nobody forgotten --- */

static int is_missing(void *context, const struct proc_thread *thread)
{
    const struct threads *threads = context;
    if (thread->state == 'Z' || thread->state == 'X')
        return 0;
    for (size_t i = 0; i < threads->count; i++)
        if (threads->at[i].tid == thread->tid)
            return 0;
    return 1;
}

bool threads_all_held(const struct threads *threads, pid_t pid)
{
    return proc_threads(pid, is_missing, (void *)threads) == 0;
}
