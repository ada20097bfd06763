/* unblock.c - see unblock.h. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "driver/agent.h"
#include "driver/hijack.h"
#include "driver/interrupt.h"
#include "driver/masks.h"
#include "driver/undo.h"
#include "driver/unblock.h"

#define LOOKS   10 /* what lasts that long is not for a moment: a thread's beginning, a handler */
#define LOOK_NS 10000000

/* --- who --- */

struct look {
    pid_t pid;
    int signal;
    pid_t *blocking; /* who did so at each look until now; allocated */
    size_t count;
    pid_t *everything; /* who, of these, blocked every signal at each look; allocated */
    size_t everything_count;
    const struct look *before;  /* NULL: the first */
    struct proc_thread waiting; /* one that would be given the signal; tid 0: nobody */
};

static bool is_among(const pid_t *tids, size_t count, pid_t tid)
{
    for (size_t i = 0; i < count; i++)
        if (tids[i] == tid)
            return true;
    return false;
}

static int add(pid_t **tids, size_t *count, pid_t tid)
{
    pid_t *more = reallocarray(*tids, *count + 1, sizeof *more);
    if (!more)
        return -ENOMEM;
    *tids = more;
    more[(*count)++] = tid;
    return 0;
}

static int look_at(void *context, const struct proc_thread *thread)
{
    struct look *look = context;
    const struct look *before = look->before;
    uint64_t bit = 1ULL << (look->signal - 1);
    bool ended = thread->state == 'Z' || thread->state == 'X';
    if (!ended && masks_awaited(look->pid, thread->tid) & bit)
        look->waiting = *thread;
    if (ended || !(thread->signals_blocked & bit) ||
        (before && !is_among(before->blocking, before->count, thread->tid)) ||
        masks_is_temporary(look->pid, thread->tid))
        return 0;
    int code = add(&look->blocking, &look->count, thread->tid);
    if (code == 0 && masks_are_full(thread->signals_blocked) &&
        (!before || is_among(before->everything, before->everything_count, thread->tid)))
        code = add(&look->everything, &look->everything_count, thread->tid);
    return code;
}

static void forget(struct look *look)
{
    free(look->blocking);
    free(look->everything);
}

/* Looks once more. > 0: somebody is as before. */
static int look_again(struct look *look)
{
    struct look now = {.pid = look->pid, .signal = look->signal, .before = look};
    int code = proc_threads(look->pid, look_at, &now);
    forget(look);
    *look = now;
    return code < 0 ? code : look->count > 0 || look->waiting.tid;
}

/* > 0: threads block the signal, and not for a moment only. */
static int find_threads(struct look *look, struct failure *f)
{
    const struct timespec pause = {.tv_nsec = LOOK_NS};
    int code = proc_threads(look->pid, look_at, look);
    bool somebody = look->count || look->waiting.tid;
    for (int i = 0; code >= 0 && somebody && i < LOOKS; i++) {
        nanosleep(&pause, NULL);
        code = interrupt_check(f);
        if (code == 0)
            code = look_again(look);
        somebody = code > 0;
    }
    if (code < 0)
        return code;
    if (look->waiting.tid)
        return fail(f, -EBUSY,
                    "thread %d (%s) of process %d waits for signal %d as for others (sigwait), and "
                    "would be given the one that takes a checkpoint; try again when it does not",
                    (int)look->waiting.tid, look->waiting.name, (int)look->pid, look->signal);
    return somebody;
}

/* --- their masks --- */

/* The record first: it says what a release will do. */
static int change_masks(struct target *target, int signal, struct failure *f)
{
    static struct hijack_record record; /* large */
    target->chosen = NULL;              /* nobody is served */
    int code = agent_read_record(target, &record, f);
    if (code == 0)
        code = masks_find(target, signal, &record, f);
    if (code < 0)
        return code;
    masks_order(target, signal, false, &record, record.unblocked_count - (size_t)code);
    code = agent_write_unblocked(target, &record, f);
    if (code == 0)
        code = agent_write_record(target, &record, false, f);
    return code < 0 ? code : masks_change_others(target, f);
}

static int change_in(struct target *target, int signal, struct failure *f)
{
    struct failure ignored;
    target->purpose = SAFEPOINT_FOR_SERVER;
    target->patience_ms = HIJACK_SAFE_POINT_MS;
    target->own_signal = signal;
    int code = target_attach(target, f);
    if (code == 0)
        code = target_find_safe_point(target, HIJACK_SAFE_POINT_MS, undo_unsafe, NULL, f);
    if (code == 0)
        code = change_masks(target, signal, f);
    if (inferior_attached(target->inferior))
        target_let_go(target, code < 0 ? &ignored : f);
    return code;
}

int unblock_threads(pid_t pid, int signal, struct failure *f)
{
    struct look look = {.pid = pid, .signal = signal};
    struct target target = {0};
    int code = find_threads(&look, f);
    if (code > 0) {
        code = target_open(&target, pid, NULL, f);
        target.lasting.tids = look.everything;
        target.lasting.count = look.everything_count;
        if (code == 0 && agent_loaded(&target))
            code = change_in(&target, signal, f);
        target_close(&target);
    }
    forget(&look);
    return code;
}
