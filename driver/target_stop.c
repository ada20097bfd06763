/* target_stop.c - where the threads of a stopped target stand, and when they must run on
 * (target.h). */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "driver/arch.h"
#include "driver/interrupt.h"
#include "driver/masks.h"
#include "driver/target.h"

/* --- the safe point --- */

static int read_memory(void *context, taddr address, void *to, size_t size)
{
    struct target *target = context;
    struct failure ignored;
    if (proc_read_memory(target->info.pid, address, to, size) == 0)
        return 0;
    return inferior_read(target->inferior, address, to, size, &ignored);
}

bool target_thread_ends(const struct target *target, pid_t tid, uint64_t blocked)
{
    bool lasts = false;
    for (size_t i = 0; i < target->lasting.count; i++)
        lasts |= target->lasting.tids[i] == tid;
    return !lasts && masks_are_full(blocked);
}

static bool is_ending(const struct target *target, const struct thread *thread)
{
    struct proc_thread now;
    return !proc_thread(target->info.pid, thread->tid, &now) ||
           target_thread_ends(target, thread->tid, now.signals_blocked);
}

/* The server saves all state on the program's stack, as a signal frame does. The kernel's own stack
 * mapping grows; of another we know only where its mapping begins, and, when its thread is ending,
 * not whose it is by now. */
static bool lacks_room(const struct target *target, const struct thread *thread)
{
    enum { ROOM = 16384 };
    const struct mapping *stack = maps_find(&target->maps, thread->sp);
    return !stack || !stack->write ||
           (strcmp(stack->path, "[stack]") != 0 &&
            (thread->sp - stack->start < ROOM || is_ending(target, thread)));
}

/* Still on its way out of what an earlier gdb-hijack had it do? */
static bool is_left_over(const struct target *target, const struct thread *thread)
{
    return server_holds(&target->server, thread->pc) ||
           (target->scratch && thread->sp >= target->scratch &&
            thread->sp < target->scratch + TARGET_SCRATCH);
}

static int read_registers(struct target *target, taddr *registers, taddr *thread_pointer,
                          struct failure *f)
{
    int code = inferior_register(target->inferior, arch.thread_pointer, thread_pointer, f);
    for (size_t i = 0; code == 0 && i < unwind_register_count; i++)
        code = inferior_register(target->inferior, unwind_register_names[i], &registers[i], f);
    return code;
}

/* The pc, and the words of the stack from sp on, if there is one. 0: no memory, or it cannot be
 * read. */
static size_t gather_places(struct target *target, const struct thread *thread, taddr **places)
{
    enum { LIMIT = 16 << 20, TOTAL = 256 << 20 }; /* bytes of stack: of one, of all */
    taddr sp = thread->sp & -(taddr)sizeof(taddr);
    const struct mapping *stack = maps_find(&target->maps, sp);
    size_t size = !stack ? 0 : stack->end - sp < LIMIT ? stack->end - sp : LIMIT;
    if (size > TOTAL / target->threads.count)
        size = TOTAL / target->threads.count & -sizeof(taddr);
    *places = malloc(sizeof sp + size);
    if (!*places)
        return 0;
    **places = thread->pc;
    if (!size || read_memory(target, sp, *places + 1, size) < 0)
        return is_ending(target, thread);
    return 1 + size / sizeof(taddr);
}

/* Stopped in the server, or in a signal handler that came before the server did anything and goes
 * back to it: its code must stay. */
static bool leads_to_server(const struct target *target, const taddr *places, size_t count,
                            char reason[SAFEPOINT_REASON])
{
    for (size_t i = 0; i < count; i++)
        if (server_holds(&target->server, places[i])) {
            snprintf(reason, SAFEPOINT_REASON, "on the way to the code of an earlier gdb-hijack");
            return true;
        }
    return false;
}

static bool is_unsafe_to(struct target *target, target_unsafe *extra, void *context,
                         const struct thread *thread, char reason[SAFEPOINT_REASON])
{
    taddr *places;
    size_t count = gather_places(target, thread, &places);
    if (!count)
        snprintf(reason, SAFEPOINT_REASON, "on a stack that cannot be read");
    bool is = !count || leads_to_server(target, places, count, reason) ||
              extra(context, target, places, count, reason);
    free(places);
    return is;
}

/* Whether every thread may be held where it stands; the one that is served was asked before. */
static bool may_all_stay(struct target *target, target_unsafe *extra, void *context,
                         char reason[SAFEPOINT_REASON])
{
    for (size_t i = 0; i < target->threads.count; i++) {
        const struct thread *thread = &target->threads.at[i];
        if (thread == target->chosen)
            continue;
        if (is_left_over(target, thread))
            snprintf(reason, SAFEPOINT_REASON, "still in the code of an earlier gdb-hijack");
        else if (thread->signal && thread->signal == target->own_signal)
            snprintf(reason, SAFEPOINT_REASON, "about to take a checkpoint");
        else if (!is_unsafe_to(target, extra, context, thread, reason))
            continue;
        return false;
    }
    return true;
}

/* May the selected thread be served? 1: yes; 0: not now, with the reason; -errno. */
static int check_frames(struct target *target, char reason[SAFEPOINT_REASON], struct failure *f)
{
    taddr registers[64] = {0};
    struct safepoint place = {.purpose = target->purpose,
                              .input = {.pid = target->info.pid,
                                        .objects = target->objects,
                                        .registers = registers,
                                        .register_count = unwind_register_count,
                                        .read = read_memory,
                                        .context = target},
                              .maps = &target->maps};
    int code = read_registers(target, registers, &place.thread_pointer, f);
    return code < 0 ? code : safepoint_check(&place, reason, target->where, f);
}

/* The same for any thread, which is selected if it may be. */
static int try_thread(struct target *target, const struct thread *thread,
                      char reason[SAFEPOINT_REASON], struct failure *f)
{
    if (thread->signal)
        snprintf(reason, SAFEPOINT_REASON, "about to handle a signal (%s)",
                 strsignal(thread->signal));
    else if (lacks_room(target, thread))
        snprintf(reason, SAFEPOINT_REASON, "on a stack with little room, or that goes away");
    else {
        int code = inferior_select(target->inferior, thread->number, f);
        return code < 0 ? code : check_frames(target, reason, f);
    }
    return 0;
}

/* The program may have mapped or loaded something since we looked. */
static int look_if_changed(struct target *target, struct failure *f)
{
    struct maps now;
    int code = maps_read(target->info.pid, &now, f);
    if (code < 0)
        return code;
    bool same = now.count == target->maps.count;
    for (size_t i = 0; same && i < now.count; i++)
        same = now.at[i].start == target->maps.at[i].start &&
               now.at[i].end == target->maps.at[i].end &&
               now.at[i].execute == target->maps.at[i].execute;
    maps_free(&now);
    return same ? 0 : target_look_again(target, f);
}

int target_may_enter(struct target *target, const struct thread *thread, struct failure *f)
{
    char reason[SAFEPOINT_REASON];
    enum safepoint_purpose purpose = target->purpose;
    target->purpose = SAFEPOINT_FOR_SERVER;
    int code = look_if_changed(target, f);
    if (code == 0)
        code = try_thread(target, thread, reason, f);
    target->purpose = purpose;
    return code;
}

/* 1: safe, and the thread to be served is selected; 0: not, with the leader's reason; -errno. */
static int is_safe(struct target *target, target_unsafe *extra, void *context,
                   char reason[SAFEPOINT_REASON], struct failure *f)
{
    enum { CANDIDATES = 16 };
    char others[SAFEPOINT_REASON] = "";
    if (!may_all_stay(target, extra, context, reason))
        return 0;
    for (size_t i = 0; i < target->threads.count && i < CANDIDATES; i++) {
        int code = try_thread(target, &target->threads.at[i], i ? others : reason, f);
        if (code == 1)
            target->chosen = &target->threads.at[i];
        if (code != 0)
            return code;
    }
    return 0;
}

int target_find_safe_point(struct target *target, int deadline_ms, target_unsafe *extra,
                           void *context, struct failure *f)
{
    uint64_t deadline = target_now() + (uint64_t)deadline_ms * 1000000u;
    char reason[SAFEPOINT_REASON] = "";
    target->search.deadline_ms = deadline_ms;
    target->search.extra = extra;
    target->search.context = context;
    for (;;) {
        int code = interrupt_check(f);
        if (code == 0)
            code = look_if_changed(target, f);
        if (code == 0)
            code = is_safe(target, extra, context, reason, f);
        if (code != 0)
            return code < 0 ? code : 0;
        if (target_now() > deadline)
            return fail(f, -EAGAIN,
                        "process %d was %s at every stop for %d s, where loading a library would "
                        "harm it; try again later",
                        (int)target->info.pid, reason, deadline_ms / 1000);
        /* It runs for as long as letting go and stopping again take, and stops somewhere else. */
        code = target_let_go(target, f);
        if (code == 0)
            code = target_attach(target, f);
        if (code < 0)
            return code;
    }
}

/* --- with the other threads running --- */

/* With the other threads running: `run` is a request to the server. They stop when it is done, as
 * an attach stops them. */
static int run_with_others(struct target *target,
                           int (*run)(struct target *, void *request, struct failure *),
                           void *request, struct failure *f)
{
    pid_t served = target->chosen->tid;
    int code = inferior_run_all(target->inferior, true, f);
    target->others_ran = true;
    if (code == 0)
        code = run(target, request, f);
    if (code == 0)
        code = inferior_run_all(target->inferior, false, f);
    if (code == 0)
        code = target_know_threads(target, f);
    for (size_t i = 0; code == 0 && i < target->threads.count; i++)
        if (target->threads.at[i].tid == served)
            target->chosen = &target->threads.at[i];
    return code;
}

struct libc_call {
    taddr function;
    const uint64_t *arguments;
    uint64_t result;
};

static int call_libc(struct target *target, void *request, struct failure *f)
{
    struct libc_call *call = request;
    return target_call(target, &call->result, f, call->function, call->arguments);
}

int target_call_libc(struct target *target, uint64_t *result, struct failure *f, taddr function,
                     const uint64_t arguments[6])
{
    struct libc_call call = {function, arguments, 0};
    int code = run_with_others(target, call_libc, &call, f);
    *result = call.result;
    return code;
}

/* For a millisecond: poll(2) without descriptors. */
static int wait_a_little(struct target *target, void *request, struct failure *f)
{
    int64_t result;
    (void)request;
    return target_syscall(target, &result, f, SYS_poll, (uint64_t[6]){0, 0, 1});
}

int target_settle(struct target *target, target_unsafe *extra, void *context, struct failure *f)
{
    enum { ATTEMPTS = 500 };
    char reason[SAFEPOINT_REASON];
    int code = 0;
    for (int i = 0; code == 0 && i < ATTEMPTS; i++) {
        if (!target->others_ran || may_all_stay(target, extra, context, reason)) {
            target->others_ran = false;
            return 0;
        }
        code = run_with_others(target, wait_a_little, NULL, f);
    }
    return code < 0 ? code
                    : fail(f, -EAGAIN, "a thread of process %d is still %s; try again later",
                           (int)target->info.pid, reason);
}

static int has_stop_pending(void *context, const struct proc_thread *thread)
{
    (void)context;
    return (thread->signals_pending & 1u << (SIGSTOP - 1)) != 0;
}

/* With the other threads running gdb waits for those stops, and drops them. */
int target_take_stops(struct target *target, struct failure *f)
{
    const uint64_t deadline = target_now() + 200000000;
    int code = 0;
    if (!(target->info.signals_caught & 1u << (SIGCONT - 1)))
        return 0;
    while (code == 0 && target_now() < deadline &&
           proc_threads(target->info.pid, has_stop_pending, NULL) > 0)
        code = run_with_others(target, wait_a_little, NULL, f);
    return code;
}
