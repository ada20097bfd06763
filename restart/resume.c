/* resume.c - see resume.h: the process; each thread is resume_threads.c's. */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "restart/ckpt_remote.h"
#include "restart/resume.h"
#include "restart/resume_ids.h"
#include "restart/resume_threads.h"
#include "stubs/agent.h"
#include "stubs/mem.h"
#include "stubs/raw.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS 77 /* Linux 6.15 */
#endif

static const struct image_process *const p = &resume_process;

static void unmap(const struct resume_handover *handover)
{
    /* The list lies in what is being unmapped. */
    static struct resume_handover h;
    h = *handover;
    for (unsigned i = 0; h.unmap[i][1]; i++)
        raw(SYS_munmap, h.unmap[i][0], h.unmap[i][1]);
}

static void set_actions(void)
{
    for (int i = 1; i <= IMAGE_SIGNALS; i++)
        raw(SYS_rt_sigaction, i, &p->actions[i - 1], NULL, 8);
}

void resume_queue_pending(int32_t then, int without)
{
    uint32_t count = __atomic_load_n(&p->pending_count, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < count && i < IMAGE_PENDING_MAX; i++) {
        const siginfo_t *info = &resume_pending[i];
        if (resume_pending_thread[i] != then || !info->si_signo || info->si_signo == without)
            continue;
        if (then)
            raw(SYS_rt_tgsigqueueinfo, raw(SYS_getpid), raw(SYS_gettid), info->si_signo, info);
        else
            raw(SYS_rt_sigqueueinfo, raw(SYS_getpid), info->si_signo, info);
    }
}

/* The number of a timer is the kernel's choice unless it can be told; before, it counted up. */
static long make_timer(const struct image_timer *t)
{
    struct sigevent event = {.sigev_signo = t->signal, .sigev_notify = t->notify};
    int32_t id = t->id;
    event.sigev_value.sival_ptr = (void *)t->value;
    if (t->thread)
        event._sigev_un._tid = resume_thread_now(t->thread);
    while (raw(SYS_timer_create, t->clock, &event, &id) == 0 && id != t->id) {
        raw(SYS_timer_delete, id);
        if (id > t->id)
            return -1;
        id = t->id;
    }
    return id == t->id ? 0 : -1;
}

static void set_timers(void)
{
    raw(SYS_prctl, PR_TIMER_CREATE_RESTORE_IDS, 1, 0, 0, 0);
    for (uint32_t i = 0; i < p->timer_count; i++)
        if (make_timer(&p->timers[i]) == 0)
            raw(SYS_timer_settime, p->timers[i].id, 0, &p->timers[i].time, NULL);
    raw(SYS_prctl, PR_TIMER_CREATE_RESTORE_IDS, 0, 0, 0, 0);
    for (int i = 0; i < 3; i++)
        raw(SYS_setitimer, i, &p->interval[i], NULL);
}

/* Each registration has a command of its own bit; the query's bits are those. */
static void set_membarrier(void)
{
    for (int bit = 0; bit < 31; bit++)
        if (p->membarrier > 0 && p->membarrier >> bit & 1)
            raw(SYS_membarrier, 1 << bit, 0, 0);
}

/* A hard limit that may not be raised stays as the restart command has it; the soft one goes as
 * high as it may. */
static void set_limits(void)
{
    for (int i = 0; i < 16; i++) {
        struct rlimit limit = p->limits[i], now;
        if (raw(SYS_prlimit64, 0, i, &limit, NULL) == 0 ||
            raw(SYS_prlimit64, 0, i, NULL, &now) != 0)
            continue;
        now.rlim_cur = limit.rlim_cur < now.rlim_max ? limit.rlim_cur : now.rlim_max;
        raw(SYS_prlimit64, 0, i, &now, NULL);
    }
}

static void set_attributes(void)
{
    raw(SYS_umask, p->umask);
    raw(SYS_prctl, PR_SET_CHILD_SUBREAPER, p->subreaper);
    raw(SYS_prctl, PR_SET_DUMPABLE, p->dumpable);
    raw(SYS_prctl, PR_SET_THP_DISABLE, p->thp_disable, 0, 0, 0);
    raw(SYS_prctl, PR_SET_KEEPCAPS, p->keepcaps);
    if (p->mdwe)
        raw(SYS_prctl, PR_SET_MDWE, p->mdwe, 0, 0, 0);
}

/* What the kernel tells a program of its window. */
static void tell_of_size(void)
{
    raw(SYS_kill, raw(SYS_getpid), SIGWINCH);
}

/* Threads first: what the process may do less of than this command, it must not be denied now. */
uint64_t resume_main(const struct resume_handover *handover)
{
    set_actions();
    set_attributes();
    set_membarrier();
    uint32_t resized = handover->resized;
    uint64_t frame = resume_threads(handover);
    resume_owners((const void *)handover->owners, handover->owner_count);
    unmap(handover);
    set_limits();
    set_timers();
    remote_resume();
    resume_queue_pending(0, hijack_params.signal);
    if (resized)
        tell_of_size();
    resume_threads_go();
    handler_keep_net_signal((ucontext_t *)frame);
    return frame;
}
