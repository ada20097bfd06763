/* resume_threads.c - see resume_threads.h. */
#include <linux/capability.h>
#include <linux/rseq.h>
#include <linux/sched.h>
#include <sys/prctl.h>

#include "restart/resume.h"
#include "restart/resume_arch.h"
#include "restart/resume_ids.h"
#include "restart/resume_threads.h"
#include "stubs/agent.h"
#include "stubs/mem.h"
#include "stubs/net.h"
#include "stubs/raw.h"
#include "stubs/remote.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

#define FLAGS  (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)
#define FAILED 3

static const struct image_process *const p = &resume_process;
static uint32_t keep_ids, capabilities[6]; /* of the handover */
static int placed;                         /* each new thread may know who it is */

/* --- a thread's state --- */

/* Without this, libc's rseq area would never be written again, and sched_getcpu() would be wrong
 * without a word. A thread that has just begun, or unregistered it, registers it itself: libc ends
 * the program when that fails. */
static void set_rseq(const struct image_thread *t)
{
    struct rseq *area = (struct rseq *)(t->fs_base + (uint64_t)hijack_params.rseq_offset);
    if (t->rseq) {
        area->rseq_cs = 0; /* the signal has ended any critical section */
        if (raw(SYS_rseq, area, hijack_params.rseq_size, 0, hijack_params.rseq_signature) == 0)
            return;
    }
    if (hijack_params.rseq_size && (int32_t)area->cpu_id >= 0) /* it is not what it says any more */
        area->cpu_id = (uint32_t)RSEQ_CPU_ID_REGISTRATION_FAILED;
}

static void set_addresses(const struct image_thread *t)
{
    resume_arch_thread(t);
    raw(SYS_set_tid_address, t->tid_address);
    raw(SYS_set_robust_list, t->robust_list, t->robust_size);
    set_rseq(t);
}

static void set_attributes(const struct image_thread *t)
{
    raw(SYS_prctl, PR_SET_NAME, t->comm);
    raw(SYS_prctl, PR_SET_PDEATHSIG, t->death_signal);
    if (t->no_new_privs)
        raw(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    raw(SYS_prctl, PR_SET_TIMERSLACK, t->timer_slack);
    raw(SYS_personality, t->personality);
    raw(SYS_prctl, PR_MCE_KILL, PR_MCE_KILL_SET, t->mce_kill, 0, 0);
    if (t->io_flusher)
        raw(SYS_prctl, PR_SET_IO_FLUSHER, 1, 0, 0, 0);
}

static void set_scheduling(const struct image_thread *t)
{
    raw(SYS_setpriority, 0, 0, t->nice);
    raw(SYS_sched_setscheduler, 0, t->policy, &t->priority);
    raw(SYS_ioprio_set, 1, 0, t->io_priority);
    if (t->cpus_size)
        raw(SYS_sched_setaffinity, 0, t->cpus_size, t->cpus);
}

/* Those that choosing an id took go with it. */
static void set_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    if (keep_ids)
        raw(SYS_capset, &header, capabilities);
}

static void set_state(struct image_thread *t)
{
    set_addresses(t);
    resume_set_id(t);
    set_attributes(t);
    set_scheduling(t);
    set_capabilities();
    resume_arch_state(t);
    resume_queue_pending(t->tid, hijack_params.signal);
}

static struct image_thread *who_becomes(const struct image_thread *place)
{
    unsigned i = 0;
    while (!__atomic_load_n(&placed, __ATOMIC_ACQUIRE))
        handler_wait(&placed, 0, 0);
    while (resume_thread_at(i)->place < 0 ||
           resume_thread_at((unsigned)resume_thread_at(i)->place) != place)
        i++;
    return resume_thread_at(i);
}

uint64_t resume_thread(const struct image_thread *place)
{
    struct image_thread *t = who_becomes(place);
    set_state(t);
    __atomic_add_fetch(&handler_arrived, 1, __ATOMIC_ACQ_REL);
    handler_wake(&handler_arrived, 1);
    while (__atomic_load_n(&handler_round, __ATOMIC_ACQUIRE) == HANDLER_WAIT)
        handler_wait(&handler_round, HANDLER_WAIT, 0);
    if (remote.mode != REMOTE_OFF)
        net_settle(1);
    handler_keep_net_signal((ucontext_t *)t->frame);
    return t->frame;
}

/* --- all threads --- */

/* The leader's state lies in no slot; one more than were taken is there for it. */
static uintptr_t stack_of(unsigned i)
{
    return (uintptr_t)handler_slot(i ? i - 1 : p->thread_count - 1);
}

static long make_with_id(struct image_thread *place, uintptr_t stack, int chosen)
{
    const uintptr_t base = stack + HANDLER_THREAD_SIZE - (1UL << HANDLER_SLOT_SHIFT);
    struct clone_args args = {.flags = FLAGS, .stack = base, .stack_size = stack - base};
    int32_t id = place->tid;
    if (chosen)
        args.set_tid = (uintptr_t)&id, args.set_tid_size = 1;
    return resume_clone((uintptr_t)&args, sizeof args, place, SYS_clone3);
}

static void make(unsigned i)
{
    static const char why[] = "gdb-hijack: cannot make a thread (clone); the restart has failed\n";
    long tid = make_with_id(resume_thread_at(i), stack_of(i), 1);
    if (raw_failed(tid) && !keep_ids)
        tid = make_with_id(resume_thread_at(i), stack_of(i), 0);
    if (raw_failed(tid) && !keep_ids) /* no clone3 here, or a filter forbids it */
        tid = resume_clone(FLAGS, stack_of(i), resume_thread_at(i), SYS_clone);
    resume_thread_at(i)->now = (int32_t)tid;
    if (!raw_failed(tid))
        return;
    raw(SYS_write, 2, why, sizeof why - 1);
    raw(SYS_exit_group, FAILED);
}

/* Whose id the new thread of this place has got; -1: nobody's, or the main thread's. */
static int had_before(unsigned place, unsigned own)
{
    const int32_t id = resume_thread_at(place)->now;
    if (resume_thread_at(place)->tid == id)
        return (int)place;
    for (unsigned i = 0; i < p->thread_count; i++)
        if (i != own && resume_thread_at(i)->tid == id)
            return (int)i;
    return -1;
}

/* Old ids are in the program's memory. None of them must be another thread's now, as they easily
 * are where ids are small: who gets an old id becomes the thread that had it. The other places,
 * whose `now` stands yet, go to who is left. */
static void place_all(unsigned own)
{
    unsigned next = 0;
    for (unsigned i = 0; i < p->thread_count; i++)
        resume_thread_at(i)->place = -1;
    for (unsigned i = 0; i < p->thread_count; i++) {
        const int who = i == own ? -1 : had_before(i, own);
        if (who >= 0) {
            resume_thread_at((unsigned)who)->place = (int32_t)i;
            resume_thread_at(i)->now = 0;
        }
    }
    for (unsigned i = 0; i < p->thread_count; i++)
        if (i != own && resume_thread_at(i)->now) {
            while (next == own || resume_thread_at(next)->place >= 0)
                next++;
            resume_thread_at(next)->place = (int32_t)i;
        }
    __atomic_store_n(&placed, 1, __ATOMIC_RELEASE);
    handler_wake(&placed, 0x7fffffff);
}

/* The program's main thread, which this one becomes. */
static unsigned main_thread(void)
{
    unsigned i = 0;
    while (i + 1 < p->thread_count && resume_thread_at(i)->tid != p->pid)
        i++;
    return i;
}

static void await(int count)
{
    int now;
    while ((now = __atomic_load_n(&handler_arrived, __ATOMIC_ACQUIRE)) < count)
        handler_wait(&handler_arrived, now, 0);
}

/* The main thread comes last: the others inherit, and may not raise what it has lowered. */
uint64_t resume_threads(const struct resume_handover *handover)
{
    const unsigned own = main_thread();
    keep_ids = handover->keep_ids;
    memcpy(capabilities, handover->capabilities, sizeof capabilities);
    handler_arrived = placed = 0;
    handler_round = HANDLER_WAIT;
    for (unsigned i = 0; i < p->thread_count; i++)
        if (i != own)
            make(i);
    place_all(own);
    await((int)p->thread_count - 1);
    set_state(resume_thread_at(own));
    return resume_thread_at(own)->frame;
}

void resume_threads_go(void)
{
    handler_inside = (int)p->thread_count;
    __atomic_store_n(&handler_round, HANDLER_LEAVE, __ATOMIC_RELEASE);
    handler_wake(&handler_round, 0x7fffffff);
}
