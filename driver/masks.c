/* masks.c - see masks.h. */
#include "driver/masks.h"

static uint64_t bit_of(int signal)
{
    return 1ULL << (signal - 1);
}

/* --- who blocks it --- */

struct search {
    const struct target *target;
    uint64_t bit;
    struct hijack_record *record;
};

static void list(struct search *s, const struct thread *thread)
{
    if (thread->pointer && s->record->unblocked_count < HIJACK_MAX_UNBLOCKED)
        s->record->unblocked[s->record->unblocked_count++] = thread->pointer;
}

/* The one that is served blocks everything meanwhile. */
static int list_if_blocked(void *context, const struct proc_thread *found)
{
    struct search *s = context;
    const struct threads *threads = &s->target->threads;
    for (size_t i = 0; found->signals_blocked & s->bit && i < threads->count; i++)
        if (threads->at[i].tid == found->tid && &threads->at[i] != s->target->chosen)
            list(s, &threads->at[i]);
    return 0;
}

int masks_find(struct target *target, int signal, struct hijack_record *record, struct failure *f)
{
    struct search s = {target, bit_of(signal), record};
    uint64_t served;
    record->unblocked_count = 0;
    int code = server_mask(&target->server, &served, f);
    if (code == 0 && served & s.bit)
        list(&s, target->chosen);
    if (code == 0)
        code = proc_threads(target->info.pid, list_if_blocked, &s);
    return code < 0 ? fail_errno(f, code, "cannot see which signals the threads block") : 0;
}

/* --- changing it --- */

void masks_order(struct target *target, int signal, bool block, const struct hijack_record *record)
{
    target->masks.bit = bit_of(signal);
    target->masks.block = block;
    target->masks.count = record->unblocked_count;
    for (size_t i = 0; i < record->unblocked_count; i++)
        target->masks.threads[i] = record->unblocked[i];
}

static bool is_ordered(const struct target *target, const struct thread *thread)
{
    for (size_t i = 0; i < target->masks.count; i++)
        if (target->masks.threads[i] == thread->pointer)
            return true;
    return false;
}

/* In the frame from which the server leaves. */
static int change(struct target *target, struct failure *f)
{
    uint64_t mask;
    int code = server_mask(&target->server, &mask, f);
    if (code < 0)
        return code;
    mask = target->masks.block ? mask | target->masks.bit : mask & ~target->masks.bit;
    return server_set_mask(&target->server, mask, f);
}

int masks_change_served(struct target *target, struct failure *f)
{
    return is_ordered(target, target->chosen) ? change(target, f) : 0;
}

static int change_in(struct target *target, const struct thread *thread, struct failure *f)
{
    int code = target_may_enter(target, thread, f);
    if (code <= 0)
        return code;
    code = server_enter(&target->server, target->inferior, f);
    if (code == 0)
        code = change(target, f);
    return code < 0 ? code : server_leave(&target->server, f);
}

int masks_change_others(struct target *target, struct failure *f)
{
    int code = 0;
    for (size_t i = 0; code == 0 && i < target->threads.count; i++) {
        const struct thread *thread = &target->threads.at[i];
        if (thread != target->chosen && is_ordered(target, thread))
            code = change_in(target, thread, f);
    }
    return code;
}
