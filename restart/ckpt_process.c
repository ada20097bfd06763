/* ckpt_process.c - what the kernel keeps of the process itself, into resume_process; what it keeps
 * of each thread is ckpt_threads.c's. The rows are state.def's. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "restart/ckpt.h"
#include "restart/ckpt_remote.h"
#include "restart/resume.h"
#include "stubs/mem.h"
#include "stubs/raw.h"
#include "stubs/remote.h"

#ifndef PR_GET_MDWE
#define PR_GET_MDWE 66
#endif

struct image_process resume_process;

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
    p->parent = remote.mode == REMOTE_AWAY ? remote.parent : (int32_t)field[4];
    p->group = (int32_t)field[5], p->session = (int32_t)field[6];
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

static void read_actions(void)
{
    for (int i = 1; i <= IMAGE_SIGNALS; i++)
        raw(SYS_rt_sigaction, i, NULL, &p->actions[i - 1], 8);
}

/* Four lines for each timer: "ID: 0", "signal: 14/0000...", "notify: signal/pid.12" or
 * "notify: signal/tid.13", "ClockID: 1". */
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
        if (strncmp(s, "signal/tid.", 11) == 0) {
            s += 11;
            t->notify = SIGEV_THREAD_ID;
            t->thread = (int32_t)text_parse(&s, 10);
        }
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

static uint64_t read_clock(int clock)
{
    struct timespec now = {0};
    raw(SYS_clock_gettime, clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void read_clocks(void)
{
    p->clocks = (struct image_clocks){.monotonic = read_clock(CLOCK_MONOTONIC),
                                      .monotonic_raw = read_clock(CLOCK_MONOTONIC_RAW),
                                      .boottime = read_clock(CLOCK_BOOTTIME)};
}

static void read_limits(void)
{
    for (int i = 0; i < 16; i++)
        raw(SYS_prlimit64, 0, i, NULL, &p->limits[i]);
    p->limits[RLIMIT_NOFILE] = remote.mode == REMOTE_OFF ? ckpt.descriptors : remote.files;
}

/* Not on kernels before 6.3. */
static int32_t read_mdwe(void)
{
    long flags = raw(SYS_prctl, PR_GET_MDWE, 0, 0, 0, 0);
    return flags > 0 ? (int32_t)flags : 0;
}

static void read_attributes(void)
{
    int value = 0;
    raw(SYS_prctl, PR_GET_NAME, p->comm);
    p->subreaper = raw(SYS_prctl, PR_GET_CHILD_SUBREAPER, &value) == 0 ? value : 0;
    p->nice = (int32_t)(20 - raw(SYS_getpriority, 0, 0));
    p->dumpable = (int32_t)raw(SYS_prctl, PR_GET_DUMPABLE);
    p->thp_disable = (int32_t)raw(SYS_prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0);
    p->keepcaps = (int32_t)raw(SYS_prctl, PR_GET_KEEPCAPS);
    p->mdwe = read_mdwe();
    p->oom_score_adj = read_number("/proc/self/oom_score_adj", 10, 0);
    p->coredump_filter = (uint32_t)read_number("/proc/self/coredump_filter", 16, 0x33);
    p->membarrier = (int32_t)raw(SYS_membarrier, 512, 0, 0); /* MEMBARRIER_CMD_GET_REGISTRATIONS */
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
    read_clocks();
    read_actions();
    read_limits();
    read_attributes();
    return ckpt_threads();
}
