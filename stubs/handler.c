/* handler.c - see handler.h. */
#include <linux/futex.h>
#include <sys/resource.h>
#include <time.h>

#include "stubs/agent.h"
#include "stubs/handler.h"
#include "stubs/mem.h"
#include "stubs/net.h"
#include "stubs/raw.h"
#include "stubs/remote.h"

_Static_assert(sizeof(struct handler_thread) == HANDLER_THREAD_SIZE, "as the assembler has it");
_Static_assert(offsetof(struct hijack_params, pid) == HANDLER_PARAMS_PID, "likewise");

struct handler_thread handler_leader;
unsigned handler_next, handler_limit;
unsigned char *handler_slots;
uintptr_t handler_region, handler_region_size;
int handler_phase, handler_inside, handler_round;
int handler_arrived, handler_done, handler_expected;

uint64_t handler_time(void)
{
    struct timespec now;
    raw(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void handler_wait(int *word, int value, uint64_t nanoseconds)
{
    const struct timespec limit = {(time_t)(nanoseconds / 1000000000),
                                   (long)(nanoseconds % 1000000000)};
    raw(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, nanoseconds ? &limit : NULL);
}

void handler_wake(int *word, int count)
{
    raw(SYS_futex, word, FUTEX_WAKE_PRIVATE, count);
}

union sigval handler_mark(void)
{
    return (union sigval){.sival_ptr = &handler_phase};
}

int handler_has_mark(const siginfo_t *info)
{
    return info->si_code < 0 && info->si_ptr == &handler_phase;
}

struct handler_thread *handler_slot(unsigned i)
{
    return (void *)(handler_slots + ((size_t)(i + 1) << HANDLER_SLOT_SHIFT) - HANDLER_THREAD_SIZE);
}

static uint64_t switches(void)
{
    struct rusage usage = {0};
    raw(SYS_getrusage, RUSAGE_THREAD, &usage);
    return (uint64_t)usage.ru_nvcsw;
}

/* The saved call is made ready to be issued again before memory is written, so that the image has
 * it so. */
static void enter(struct handler_thread *t, ucontext_t *frame)
{
    t->began = handler_time();
    t->switches = switches();
    t->tid = (int32_t)raw(SYS_gettid);
    t->frame = frame;
    t->kind = reissue(&t->call, frame);
}

/* 1: by hand. */
static int way_out(enum reissue kind, const struct reissue_call *call, ucontext_t *frame)
{
    if (kind != REISSUE_CONTINUE && kind != REISSUE_LEAVING)
        return 0;
    if (kind == REISSUE_CONTINUE)
        reissue_continue(call, frame);
    raw(SYS_sigaltstack, &frame->uc_stack,
        NULL); /* with SS_AUTODISARM the kernel has taken it away */
    return 1;
}

void handler_keep_net_signal(ucontext_t *frame)
{
    uint64_t mask;
    if (remote.mode == REMOTE_OFF)
        return;
    memcpy(&mask, &frame->uc_sigmask, sizeof mask);
    mask &= ~REMOTE_SIGNAL(SIGSYS);
    memcpy(&frame->uc_sigmask, &mask, sizeof mask);
}

/* While calls go to the net, restart_syscall would, too, and lose its meaning; a call that waits in
 * our code when they do so no more leaves it. */
static void settle_call(struct handler_thread *t)
{
    if (remote.mode != REMOTE_OFF && t->kind == REISSUE_CONTINUE && !net_is_ours(t->frame))
        t->kind = REISSUE_CALL;
    if (remote.mode == REMOTE_OFF && t->frame && net_waits(t->frame)) {
        net_break_off(t->frame);
        t->kind = REISSUE_NONE;
    }
}

static int leave(struct handler_thread *t)
{
    handler_keep_net_signal(t->frame);
    settle_call(t);
    if (t->kind == REISSUE_CALL)
        reissue_elapsed(&t->call, t->frame, handler_time() - t->began);
    return way_out(t->kind, &t->call, t->frame);
}

int handler_lead(const siginfo_t *info, ucontext_t *frame)
{
    struct handler_thread *t = &handler_leader;
    t->owed = 0;
    handler_inside = 1;
    enter(t, frame);
    handler_checkpoint(info);
    return leave(t);
}

/* A forked child has inherited the handler, not the hijack: for it the signal never happened. Its
 * parent's memory may say anything about others in the handler. */
int handler_foreign(ucontext_t *frame)
{
    struct reissue_call call;
    enum reissue kind = reissue(&call, frame);
    return way_out(kind, &call, frame);
}

static int wait_while(int round)
{
    int now;
    while ((now = __atomic_load_n(&handler_round, __ATOMIC_ACQUIRE)) == round)
        handler_wait(&handler_round, round, 0);
    return now;
}

static void count(int *counter)
{
    int n = __atomic_add_fetch(counter, 1, __ATOMIC_ACQ_REL);
    if (n >= __atomic_load_n(&handler_expected, __ATOMIC_ACQUIRE))
        handler_wake(counter, 1);
}

/* The signal that asked for a checkpoint waits, blocked, until this thread has left. */
static void raise_again(struct handler_thread *t)
{
    raw(SYS_rt_tgsigqueueinfo, hijack_params.pid, t->tid, t->info.si_signo, &t->info);
}

int handler_join(struct handler_thread *t, const siginfo_t *info, ucontext_t *frame)
{
    t->owed = !handler_has_mark(info);
    t->info = *info;
    uint32_t mode = remote.mode;
    enter(t, frame);
    count(&handler_arrived);
    if (wait_while(HANDLER_WAIT) == HANDLER_COLLECT) {
        handler_collect(t);
        count(&handler_done);
        wait_while(HANDLER_COLLECT);
    }
    if (remote.mode != mode) /* it has begun or ended for all of us */
        net_settle(remote.mode != REMOTE_OFF);
    if (t->owed)
        raise_again(t);
    return leave(t);
}
