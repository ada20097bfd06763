/* ckpt_process.c - what the kernel keeps of the process itself, into resume_process. The rows are
 * state.def's. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "restart/ckpt.h"
#include "restart/ckpt_arch.h"
#include "restart/ckpt_remote.h"
#include "restart/resume.h"
#include "stubs/mem.h"
#include "stubs/raw.h"
#include "stubs/remote.h"

#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS 40
#endif

struct image_process resume_process;
siginfo_t resume_pending[IMAGE_PENDING_MAX];

static struct image_process *const p = &resume_process;

/* The fields of /proc/self/stat (proc_pid_stat(5)), from the third on: the second may hold
 * anything. */
static long read_stat(void)
{
    static char text[2048];
    uint64_t field[53] = {0};
    long n = text_file("/proc/self/stat", text, sizeof text);
    if (n < 0)
        return ckpt_fail(n, "cannot read", "/proc/self/stat");
    const char *s = text + n;
    while (s > text && *s != ')')
        s--;
    s = text_skip(s, 2);
    for (unsigned i = 4; i < 53 && *s; i++, s = text_skip(s, 1)) {
        const char *digits = *s == '-' ? s + 1 : s;
        field[i] = text_parse(&digits, 10);
    }
    p->parent = (int32_t)field[4], p->group = (int32_t)field[5], p->session = (int32_t)field[6];
    p->layout = (struct image_layout){.start_code = field[26],
                                      .end_code = field[27],
                                      .start_stack = field[28],
                                      .start_data = field[45],
                                      .end_data = field[46],
                                      .start_brk = field[47],
                                      .brk = (uint64_t)raw(SYS_brk, 0),
                                      .arg_start = field[48],
                                      .arg_end = field[49],
                                      .env_start = field[50],
                                      .env_end = field[51],
                                      .exe_fd = -1};
    return field[26] ? 0 : ckpt_fail(-EACCES, "no addresses in", "/proc/self/stat");
}

static long read_auxv(void)
{
    /* text_file() ends it with a NUL, so it needs one byte more. */
    static union {
        char bytes[sizeof p->auxv + 8];
        uint64_t words[2 * IMAGE_AUXV_MAX];
    } auxv;
    long n = text_file("/proc/self/auxv", auxv.bytes, sizeof auxv.bytes);
    if (n < 0)
        return ckpt_fail(n, "cannot read", "/proc/self/auxv");
    memcpy(p->auxv, auxv.words, sizeof p->auxv);
    p->layout.auxv_size = (uint32_t)n;
    return 0;
}

static int32_t read_number(const char *path, unsigned base, int32_t otherwise)
{
    char text[32];
    const char *s = text;
    if (text_file(path, text, sizeof text) <= 0)
        return otherwise;
    int negative = *s == '-';
    s += negative;
    int32_t n = (int32_t)text_parse(&s, base);
    return negative ? -n : n;
}

static void read_signals(void)
{
    for (int i = 1; i <= IMAGE_SIGNALS; i++)
        raw(SYS_rt_sigaction, i, NULL, &p->actions[i - 1], 8);
    memcpy(&p->mask, &ckpt.frame->uc_sigmask, sizeof p->mask);
    memcpy(p->alternate, &ckpt.frame->uc_stack, sizeof p->alternate);
    p->frame = (uintptr_t)ckpt.frame;
}

/* Four lines for each timer: "ID: 0", "signal: 14/0000...", "notify: signal/pid.12", "ClockID: 1".
 */
static long read_timer_line(const char *line)
{
    struct image_timer *t = &p->timers[p->timer_count - 1];
    const char *s = text_skip(line, 1);
    if (strncmp(line, "ID:", 3) == 0) {
        if (p->timer_count == IMAGE_TIMERS_MAX)
            return ckpt_fail(-E2BIG, "too many POSIX timers", "");
        t = &p->timers[p->timer_count++];
        t->id = (int32_t)text_parse(&s, 10);
        raw(SYS_timer_gettime, t->id, &t->time);
    } else if (strncmp(line, "signal:", 7) == 0 && p->timer_count) {
        t->signal = (int32_t)text_parse(&s, 10), s++;
        t->value = text_parse(&s, 16);
    } else if (strncmp(line, "notify:", 7) == 0 && p->timer_count) {
        t->notify = strncmp(s, "none", 4) == 0 ? SIGEV_NONE : SIGEV_SIGNAL;
    } else if (strncmp(line, "ClockID:", 8) == 0 && p->timer_count) {
        int negative = *s == '-';
        s += negative;
        t->clock = (int32_t)text_parse(&s, 10);
        t->clock = negative ? -t->clock : t->clock;
    }
    return 0;
}

/* While its SIGALRM is pending, ITIMER_REAL stands still: the kernel starts it again when the
 * signal is taken. Set to its remaining 0, it would never fire again. */
static void read_interval_timers(void)
{
    for (int i = 0; i < 3; i++) {
        struct itimerval *t = &p->interval[i];
        raw(SYS_getitimer, i, t);
        if (t->it_value.tv_sec == 0 && t->it_value.tv_usec == 0)
            t->it_value = t->it_interval;
    }
}

static long read_timers(void)
{
    static struct lines l;
    long result = 0;
    p->timer_count = 0;
    read_interval_timers();
    if (lines_open(&l, "/proc/self/timers") < 0)
        return 0; /* a kernel without CONFIG_CHECKPOINT_RESTORE */
    for (char *line; !result && (line = lines_next(&l));)
        result = read_timer_line(line);
    lines_close(&l);
    return result;
}

/* Signals that POSIX timers send. Taking one out of its queue sets its timer going again, and the
 * expirations that it stands for (timer_getoverrun) are lost: they stay where they are. */
static uint64_t timer_signals(void)
{
    uint64_t set = 0;
    for (uint32_t i = 0; i < p->timer_count; i++)
        if (p->timers[i].notify == SIGEV_SIGNAL)
            set |= 1ULL << (p->timers[i].signal - 1);
    return set;
}

/* Such a signal as it is queued in the restarted program: one, of the first timer that sends it. */
static void note_timer_signals(uint64_t pending)
{
    for (uint32_t i = 0; i < p->timer_count && p->pending_count < IMAGE_PENDING_MAX; i++) {
        const struct image_timer *t = &p->timers[i];
        uint64_t bit = 1ULL << (t->signal - 1);
        if (t->notify != SIGEV_SIGNAL || !(pending & bit))
            continue;
        siginfo_t *info = &resume_pending[p->pending_count++];
        memset(info, 0, sizeof *info);
        info->si_signo = t->signal;
        info->si_code = SI_TIMER;
        info->si_timerid = t->id;
        info->si_ptr = (void *)(uintptr_t)t->value;
        pending &= ~bit;
    }
}

/* Takes every other pending signal out of its queue, notes it, and puts it back. */
static long read_pending(void)
{
    uint64_t timers = timer_signals(), others = ~timers, pending = 0;
    const struct timespec now = {0, 0};
    p->pending_count = 0;
    while (p->pending_count < IMAGE_PENDING_MAX &&
           raw(SYS_rt_sigtimedwait, &others, &resume_pending[p->pending_count], &now, 8) > 0)
        p->pending_count++;
    resume_queue_pending(0);
    raw(SYS_rt_sigpending, &pending, 8);
    note_timer_signals(pending & timers);
    if (p->pending_count == IMAGE_PENDING_MAX)
        return ckpt_fail(-E2BIG, "too many signals are pending", "");
    return 0;
}

static void read_limits(void)
{
    for (int i = 0; i < 16; i++)
        raw(SYS_prlimit64, 0, i, NULL, &p->limits[i]);
    p->limits[RLIMIT_NOFILE] = ckpt.descriptors;
}

static void read_scheduling(void)
{
    p->nice = (int32_t)(20 - raw(SYS_getpriority, 0, 0));
    p->policy = (int32_t)raw(SYS_sched_getscheduler, 0);
    raw(SYS_sched_getparam, 0, &p->priority);
    p->io_priority = (int32_t)raw(SYS_ioprio_get, 1, 0);
    long n = raw(SYS_sched_getaffinity, 0, sizeof p->cpus, p->cpus);
    p->cpus_size = n > 0 ? (uint32_t)n : 0;
}

static void read_attributes(void)
{
    int value = 0;
    raw(SYS_prctl, PR_GET_NAME, p->comm);
    p->death_signal = raw(SYS_prctl, PR_GET_PDEATHSIG, &value) == 0 ? value : 0;
    value = 0;
    p->subreaper = raw(SYS_prctl, PR_GET_CHILD_SUBREAPER, &value) == 0 ? value : 0;
    p->dumpable = (int32_t)raw(SYS_prctl, PR_GET_DUMPABLE);
    p->thp_disable = (int32_t)raw(SYS_prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0);
    p->no_new_privs = (int32_t)raw(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    p->keepcaps = (int32_t)raw(SYS_prctl, PR_GET_KEEPCAPS);
    p->timer_slack = (uint64_t)raw(SYS_prctl, PR_GET_TIMERSLACK);
    p->personality = (uint32_t)raw(SYS_personality, 0xffffffff);
    p->oom_score_adj = read_number("/proc/self/oom_score_adj", 10, 0);
    p->coredump_filter = (uint32_t)read_number("/proc/self/coredump_filter", 16, 0x33);
    p->membarrier = (int32_t)raw(SYS_membarrier, 512, 0, 0); /* MEMBARRIER_CMD_GET_REGISTRATIONS */
}

static void read_thread(void)
{
    ckpt_arch_thread(p);
    p->tid_address = 0;
    raw(SYS_prctl, PR_GET_TID_ADDRESS, &p->tid_address);
    raw(SYS_get_robust_list, 0, &p->robust_list, &p->robust_size);
}

static long read_identity(void)
{
    p->pid = (int32_t)raw(SYS_getpid);
    if (remote.mode != REMOTE_OFF)
        return remote_identity(p);
    p->uid = (uint32_t)raw(SYS_geteuid);
    p->gid = (uint32_t)raw(SYS_getegid);
    p->umask = (uint32_t)raw(SYS_umask, 0);
    raw(SYS_umask, p->umask);
    long n = raw(SYS_getcwd, p->cwd, sizeof p->cwd);
    return n < 0 ? ckpt_fail(n, "cannot name the working directory", "") : 0;
}

long ckpt_process(void)
{
    long result;
    if ((result = read_stat()) || (result = read_auxv()) || (result = read_identity()) ||
        (result = read_timers()))
        return result;
    read_signals();
    read_limits();
    read_scheduling();
    read_attributes();
    read_thread();
    return read_pending();
}
