/* masks.c - see masks.h. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "driver/masks.h"

#define PATIENCE_NS 1000000000u /* for threads that stand where they cannot be served */

static uint64_t bit_of(int signal)
{
    return 1ULL << (signal - 1);
}

/* --- who blocks it --- */

struct search {
    const struct target *target;
    uint64_t bit;
    struct hijack_record *record;
    int added;
};

bool masks_are_full(uint64_t blocked)
{
    return (blocked | bit_of(SIGKILL) | bit_of(SIGSTOP)) == UINT64_MAX;
}

static bool is_listed(const struct hijack_record *record, taddr pointer)
{
    for (size_t i = 0; i < record->unblocked_count; i++)
        if (record->unblocked[i] == pointer)
            return true;
    return false;
}

static void list(struct search *s, const struct thread *thread)
{
    if (!thread->pointer || s->record->unblocked_count == HIJACK_MAX_UNBLOCKED ||
        is_listed(s->record, thread->pointer))
        return;
    s->record->unblocked[s->record->unblocked_count++] = thread->pointer;
    s->added++;
}

uint64_t masks_awaited(pid_t pid, pid_t tid)
{
    struct proc_syscall call;
    struct failure ignored;
    uint64_t set;
    bool waits = proc_syscall(pid, tid, &call, &ignored) == 0 && !call.running &&
                 call.number == SYS_rt_sigtimedwait &&
                 proc_read_memory(pid, call.arguments[0], &set, sizeof set) == 0;
    return waits ? set : 0;
}

/* The sixth argument of pselect6 and io_pgetevents: a pointer to the mask's address and size. */
static bool points_to_mask(pid_t pid, taddr pointer)
{
    taddr mask = 0;
    return pointer && proc_read_memory(pid, pointer, &mask, sizeof mask) == 0 && mask;
}

bool masks_is_temporary(pid_t pid, pid_t tid)
{
    struct proc_syscall call;
    struct failure ignored;
    if (proc_syscall(pid, tid, &call, &ignored) < 0 || call.running)
        return false;
    switch (call.number) {
    case SYS_rt_sigsuspend:
        return true;
    case SYS_ppoll:
        return call.arguments[3] != 0;
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
        return call.arguments[4] != 0;
    case SYS_pselect6:
    case SYS_io_pgetevents:
        return points_to_mask(pid, call.arguments[5]);
    default:
        return false;
    }
}

/* The one that is served blocks everything meanwhile. */
static int list_if_blocked(void *context, const struct proc_thread *found)
{
    struct search *s = context;
    const struct threads *threads = &s->target->threads;
    uint64_t blocked = found->signals_blocked;
    if (!(blocked & s->bit) || target_thread_ends(s->target, found->tid, blocked))
        return 0;
    for (size_t i = 0; i < threads->count; i++)
        if (threads->at[i].tid == found->tid && &threads->at[i] != s->target->chosen &&
            !masks_is_temporary(s->target->info.pid, found->tid))
            list(s, &threads->at[i]);
    return 0;
}

/* Those that have ended make room. */
static void forget_ended(struct hijack_record *record, const struct threads *threads)
{
    size_t kept = 0;
    for (size_t i = 0; i < record->unblocked_count; i++)
        for (size_t j = 0; j < threads->count; j++)
            if (threads->at[j].pointer == record->unblocked[i]) {
                record->unblocked[kept++] = record->unblocked[i];
                break;
            }
    record->unblocked_count = (uint32_t)kept;
}

int masks_find(struct target *target, int signal, struct hijack_record *record, struct failure *f)
{
    struct search s = {target, bit_of(signal), record, 0};
    uint64_t served = 0;
    forget_ended(record, &target->threads);
    int code = target->chosen ? server_mask(&target->server, &served, f) : 0;
    if (code == 0 && served & s.bit)
        list(&s, target->chosen);
    if (code == 0)
        code = proc_threads(target->info.pid, list_if_blocked, &s);
    return code < 0 ? fail_errno(f, code, "cannot see which signals the threads block") : s.added;
}

/* --- the order --- */

void masks_order(struct target *target, int signal, bool block, const struct hijack_record *record,
                 size_t first)
{
    target->masks.signal = signal;
    target->masks.block = block;
    target->masks.count = 0;
    for (size_t i = first; i < record->unblocked_count; i++)
        target->masks.at[target->masks.count++] =
            (struct mask_order){.thread = record->unblocked[i]};
}

/* Done with it. */
static void drop(struct target *target, size_t i)
{
    target->masks.at[i] = target->masks.at[--target->masks.count];
}

static const struct thread *thread_of(const struct target *target, const struct mask_order *order)
{
    for (size_t i = 0; i < target->threads.count; i++) {
        const struct thread *thread = &target->threads.at[i];
        if (thread->pointer == order->thread && (!order->tid || thread->tid == order->tid))
            return thread;
    }
    return NULL;
}

/* Whose threads they are, as of the first stop: a thread that is made later may get the memory, and
 * so the thread pointer, of one that has ended. */
static void find_threads(struct target *target)
{
    for (size_t i = target->masks.count; i-- > 0;) {
        struct mask_order *order = &target->masks.at[i];
        const struct thread *thread = thread_of(target, order);
        if (thread)
            order->tid = thread->tid;
        else
            drop(target, i);
    }
}

/* --- carrying it out --- */

/* In the frame from which the server leaves. */
static int change(struct target *target, struct failure *f)
{
    uint64_t mask, bit = bit_of(target->masks.signal);
    int code = server_mask(&target->server, &mask, f);
    if (code < 0)
        return code;
    mask = target->masks.block ? mask | bit : mask & ~bit;
    return server_set_mask(&target->server, mask, f);
}

int masks_change_served(struct target *target, struct failure *f)
{
    find_threads(target);
    for (size_t i = 0; i < target->masks.count; i++)
        if (target->masks.at[i].tid == target->chosen->tid) {
            drop(target, i);
            return change(target, f);
        }
    return 0;
}

/* 1: done; 0: not where it stands. -ETIMEDOUT: nor any other at this stop, since the thread has a
 * signal handler to run before it comes to the server, whose code has been taken out again. */
static int change_in(struct target *target, const struct thread *thread, struct failure *f)
{
    int code = target_may_enter(target, thread, f);
    if (code <= 0)
        return code;
    target->sent = true;
    code = server_enter(&target->server, target->inferior, f);
    if (code == -ETIMEDOUT) {
        code = target_take_server_out(target, f);
        return code < 0 ? code : -ETIMEDOUT;
    }
    target->sent = code < 0;
    if (code == 0)
        code = change(target, f);
    if (code == 0)
        code = server_leave(&target->server, f);
    return code < 0 ? code : 1;
}

/* All that can be reached at this stop. */
static int change_reachable(struct target *target, struct failure *f)
{
    int code = 0;
    find_threads(target);
    for (size_t i = target->masks.count; code >= 0 && i-- > 0;) {
        code = change_in(target, thread_of(target, &target->masks.at[i]), f);
        if (code == 1)
            drop(target, i);
    }
    return code < 0 && code != -ETIMEDOUT ? code : 0;
}

/* The work is done but for the rest of the order: that it cannot be stopped again is no failure. */
static bool stop_again(struct target *target)
{
    struct failure ignored;
    return target_let_go(target, &ignored) == 0 && target_attach(target, &ignored) == 0;
}

int masks_change_others(struct target *target, struct failure *f)
{
    uint64_t deadline = target_now() + PATIENCE_NS;
    int code = change_reachable(target, f);
    while (code == 0 && target->masks.count && target_now() < deadline && stop_again(target))
        code = change_reachable(target, f);
    return code;
}

/* --- what is left --- */

struct left {
    const struct target *target;
    char *text;
    size_t size;
};

static int name_if_left(void *context, const struct proc_thread *thread)
{
    const struct left *left = context;
    int signal = left->target->masks.signal;
    bool is = false;
    for (size_t i = 0; i < left->target->masks.count; i++)
        is |= left->target->masks.at[i].tid == thread->tid;
    if (is)
        snprintf(left->text, left->size, "thread %d (%s) still blocks signal %d", (int)thread->tid,
                 thread->name, signal);
    return is && thread->signals_blocked & bit_of(signal);
}

bool masks_left(const struct target *target, char *text, size_t size)
{
    struct left left = {target, text, size};
    return !target->masks.block && proc_threads(target->info.pid, name_if_left, &left) == 1;
}
