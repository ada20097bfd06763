/* ckpt_threads.c - what the kernel keeps of each thread: collected by that thread itself, in the
 * rendezvous. The rows are state.def's. */
#include <errno.h>
#include <sys/prctl.h>

#include "restart/ckpt.h"
#include "restart/ckpt_arch.h"
#include "restart/ckpt_rendezvous.h"
#include "restart/resume.h"
#include "stubs/agent.h"
#include "stubs/mem.h"
#include "stubs/raw.h"

#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS 40
#endif
#ifndef PR_GET_IO_FLUSHER
#define PR_GET_IO_FLUSHER 58
#endif
#define RSEQ_FLAG_UNREGISTER 1
#define KCMP_FILES           2
#define KCMP_FS              3

_Static_assert(sizeof(struct image_thread) <= sizeof handler_leader.state, "room for the state");

siginfo_t resume_pending[IMAGE_PENDING_MAX];
int32_t resume_pending_thread[IMAGE_PENDING_MAX];

static struct image_process *const p = &resume_process;

/* --- pending signals --- */

/* Signals that POSIX timers send to thread `tid` (0: to the process). Taking one out of its queue
 * sets its timer going again, and the expirations that it stands for (timer_getoverrun) are lost:
 * they stay where they are. */
static uint64_t timer_signals(int32_t tid)
{
    uint64_t set = 0;
    for (uint32_t i = 0; i < p->timer_count; i++)
        if (p->timers[i].notify != SIGEV_NONE && p->timers[i].thread == tid)
            set |= 1ULL << (p->timers[i].signal - 1);
    return set;
}

/* Room for one more, of `tid`; NULL when there is none. An entry that is not filled stays without a
 * number. */
static siginfo_t *new_pending(int32_t tid)
{
    uint32_t i = __atomic_fetch_add(&p->pending_count, 1, __ATOMIC_RELAXED);
    if (i >= IMAGE_PENDING_MAX)
        return NULL;
    resume_pending_thread[i] = tid;
    memset(&resume_pending[i], 0, sizeof resume_pending[i]);
    return &resume_pending[i];
}

/* Such a signal as it is queued in the restarted program: one, of the first timer that sends it. */
static void note_timer_signals(uint64_t pending, int32_t tid)
{
    for (uint32_t i = 0; i < p->timer_count; i++) {
        const struct image_timer *t = &p->timers[i];
        uint64_t bit = 1ULL << (t->signal - 1);
        if (t->notify == SIGEV_NONE || t->thread != tid || !(pending & bit))
            continue;
        siginfo_t *info = new_pending(tid);
        if (!info)
            return;
        info->si_signo = t->signal;
        info->si_code = SI_TIMER;
        info->si_timerid = t->id;
        info->si_ptr = (void *)(uintptr_t)t->value;
        pending &= ~bit;
    }
}

/* Takes one signal of the set out of its queue; the thread's own come first. */
static int take_pending(uint64_t set, int32_t tid)
{
    const struct timespec now = {0, 0};
    siginfo_t *info = set ? new_pending(tid) : NULL;
    return info && raw(SYS_rt_sigtimedwait, &set, info, &now, 8) > 0;
}

/* rt_sigpending() does not tell them from the process's. */
uint64_t ckpt_own_pending(void)
{
    char text[2048];
    uint64_t all = 0;
    if (raw(SYS_rt_sigpending, &all, 8) != 0 || !all)
        return 0;
    long n = text_file("/proc/thread-self/status", text, sizeof text);
    for (long i = 0; i + 8 < n; i++)
        if (strncmp(text + i, "\nSigPnd:", 8) == 0) {
            const char *set = text_skip(text + i + 1, 1);
            return text_parse(&set, 16);
        }
    return 0;
}

/* Takes every pending signal of this thread out of its queue, notes it, and puts it back. */
static void read_own_pending(int32_t tid)
{
    uint64_t timers = timer_signals(tid), own;
    while ((own = ckpt_own_pending() & ~timers) && take_pending(own & -own, tid))
        ;
    note_timer_signals(ckpt_own_pending() & timers, tid);
}

static void read_process_pending(int32_t tid)
{
    uint64_t timers = timer_signals(0), pending = 0;
    while (take_pending(~(timers | timer_signals(tid)), 0))
        ;
    raw(SYS_rt_sigpending, &pending, 8);
    note_timer_signals(pending & timers, 0);
}

/* Only the main thread may queue any signal for the process again (rt_sigqueueinfo(2)). */
static void read_pending(int32_t tid)
{
    read_own_pending(tid);
    if (tid == p->pid) {
        read_process_pending(tid);
        resume_queue_pending(0, 0);
    }
    resume_queue_pending(tid, 0);
}

/* --- the rest --- */

static void read_frame(struct image_thread *t, const ucontext_t *frame)
{
    t->frame = (uintptr_t)frame;
    memcpy(&t->mask, &frame->uc_sigmask, sizeof t->mask);
    memcpy(t->alternate, &frame->uc_stack, sizeof t->alternate);
}

static void read_scheduling(struct image_thread *t)
{
    t->nice = (int32_t)(20 - raw(SYS_getpriority, 0, 0));
    t->policy = (int32_t)raw(SYS_sched_getscheduler, 0);
    raw(SYS_sched_getparam, 0, &t->priority);
    t->io_priority = (int32_t)raw(SYS_ioprio_get, 1, 0);
    long n = raw(SYS_sched_getaffinity, 0, sizeof t->cpus, t->cpus);
    t->cpus_size = n > 0 ? (uint32_t)n : 0;
}

static void read_attributes(struct image_thread *t)
{
    int value = 0;
    raw(SYS_prctl, PR_GET_NAME, t->comm);
    t->death_signal = raw(SYS_prctl, PR_GET_PDEATHSIG, &value) == 0 ? value : 0;
    t->no_new_privs = (int32_t)raw(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    t->seccomp = (int32_t)raw(SYS_prctl, PR_GET_SECCOMP);
    t->timer_slack = (uint64_t)raw(SYS_prctl, PR_GET_TIMERSLACK);
    t->personality = (uint32_t)raw(SYS_personality, 0xffffffff);
    t->mce_kill = (int16_t)raw(SYS_prctl, PR_MCE_KILL_GET, 0, 0, 0, 0);
    t->io_flusher = raw(SYS_prctl, PR_GET_IO_FLUSHER, 0, 0, 0, 0) == 1;
}

/* Nothing tells; but to unregister an area with another signature is refused for that reason
 * (EPERM) where it is registered, and else as unknown (EINVAL). */
static int has_rseq(const struct image_thread *t)
{
    uint64_t area = t->fs_base + (uint64_t)hijack_params.rseq_offset;
    return hijack_params.rseq_size &&
           raw(SYS_rseq, area, hijack_params.rseq_size, RSEQ_FLAG_UNREGISTER,
               ~hijack_params.rseq_signature) == -EPERM;
}

static void read_addresses(struct image_thread *t)
{
    ckpt_arch_thread(t);
    raw(SYS_prctl, PR_GET_TID_ADDRESS, &t->tid_address);
    raw(SYS_get_robust_list, 0, &t->robust_list, &t->robust_size);
    t->rseq = has_rseq(t);
}

void handler_collect(struct handler_thread *thread)
{
    struct image_thread *t = resume_state(thread);
    memset(t, 0, sizeof *t);
    t->tid = thread->tid;
    read_frame(t, thread->frame);
    read_scheduling(t);
    read_attributes(t);
    read_addresses(t);
    read_pending(t->tid);
}

/* --- all together --- */

static void name(int32_t tid, const char *comm, char *to, size_t size)
{
    struct text text = {to, size, 0};
    text_add(&text, "thread ");
    text_number(&text, tid);
    text_add(&text, ", ");
    text_add(&text, comm);
}

static int is_apart(int32_t tid, int what)
{
    return raw(SYS_kcmp, handler_leader.tid, tid, what, 0, 0) > 0;
}

static long check(const struct image_thread *t)
{
    char who[64];
    name(t->tid, t->comm, who, sizeof who);
    if (t->seccomp > 0)
        return ckpt_refused(CKPT_ROW_seccomp, who);
    if (is_apart(t->tid, KCMP_FILES) || is_apart(t->tid, KCMP_FS))
        return ckpt_refused(CKPT_ROW_threads_apart, who);
    return 0;
}

long ckpt_threads(void)
{
    long result = 0;
    p->pending_count = 0;
    p->thread_count = rendezvous_count();
    rendezvous_collect();
    for (unsigned i = 0; i < p->thread_count && !result; i++)
        result = check(resume_state(rendezvous_thread(i)));
    if (!result && p->pending_count >= IMAGE_PENDING_MAX)
        result = ckpt_fail(-E2BIG, "too many signals are pending", "");
    return result;
}
