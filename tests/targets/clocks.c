/*
 * clocks.c - every function of the vdso, by libc and by the vdso's own symbols (looked up before
 * the checkpoint, kept over it), against the system call of the same name.
 *
 * Those that count from the boot never go back, from one look to the next, and so over a restart.
 *
 * clocks waits: it is forever waiting, a tenth of a second each time, for a moment of such a clock,
 * in each way that there is. None comes back too early, and each does come back.
 *
 * clocks within: the checkpoint signal interrupts it within the vdso, where a function tries to
 * write its result to memory that is not accessible until a stop is asked for.
 */
#include <elf.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <ucontext.h>

#include "tests/targets/target.h"

#define WAIT_BITSET (9 | 128) /* FUTEX_WAIT_BITSET, private; musl has no linux/futex.h */
#define CHECKPOINT  63        /* the signal: gdb-hijack takes the highest that is free */

static int (*vdso_gettime)(clockid_t, struct timespec *);
static int (*vdso_getres)(clockid_t, struct timespec *);
static int (*vdso_gettimeofday)(struct timeval *, void *);
static time_t (*vdso_time)(time_t *);
static long (*vdso_getcpu)(unsigned *, unsigned *, void *);
static ssize_t (*vdso_getrandom)(void *, size_t, unsigned, void *, size_t); /* Linux 6.11 */

/* The vdso is an ELF file in memory, its sections included. */
static void *find(const char *name)
{
    const char *base = (const char *)getauxval(AT_SYSINFO_EHDR);
    const Elf64_Ehdr *e = (const void *)base;
    const Elf64_Shdr *s = base ? (const void *)(base + e->e_shoff) : NULL;
    for (int i = 0; s && i < e->e_shnum; i++) {
        const Elf64_Sym *symbol = (const void *)(base + s[i].sh_offset);
        const char *names = base + s[s[i].sh_link].sh_offset;
        for (size_t n = 0; s[i].sh_type == SHT_DYNSYM && n < s[i].sh_size / sizeof *symbol; n++)
            if (!strcmp(names + symbol[n].st_name, name))
                return (void *)(base + symbol[n].st_value);
    }
    return NULL;
}

static void find_all(void)
{
    *(void **)&vdso_gettime = find("__vdso_clock_gettime");
    *(void **)&vdso_getres = find("__vdso_clock_getres");
    *(void **)&vdso_gettimeofday = find("__vdso_gettimeofday");
    *(void **)&vdso_time = find("__vdso_time");
    *(void **)&vdso_getcpu = find("__vdso_getcpu");
    *(void **)&vdso_getrandom = find("__vdso_getrandom");
    if (!vdso_gettime || !vdso_gettimeofday || !vdso_time || !vdso_getcpu)
        cannot("vdso");
}

static double seconds(const struct timespec *t)
{
    return (double)t->tv_sec + (double)t->tv_nsec / 1e9;
}

/* Coarse ones lag behind by a tick, each behind itself only. */
static void check_forward(const char *what, int (*get)(clockid_t, struct timespec *), clockid_t c)
{
    static struct timespec last[16];
    struct timespec now = {0};
    get(c, &now);
    CHECK(seconds(&now) >= seconds(&last[c]), "%s: clock %d goes back, from %.9f to %.9f", what, c,
          seconds(&last[c]), seconds(&now));
    last[c] = now;
}

static int call_gettime(clockid_t c, struct timespec *t)
{
    return (int)syscall(SYS_clock_gettime, c, t);
}

static void check_all_forward(void)
{
    static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE,
                                       CLOCK_BOOTTIME};
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        check_forward("clock_gettime", clock_gettime, clocks[i]);
        check_forward("the vdso's clock_gettime", vdso_gettime, clocks[i]);
        check_forward("the system call", call_gettime, clocks[i]);
    }
}

static void check_gettime(const char *what, int (*get)(clockid_t, struct timespec *), clockid_t c)
{
    struct timespec before = {0}, now = {0}, after = {0};
    syscall(SYS_clock_gettime, c, &before);
    CHECK(get(c, &now) == 0, "%s of clock %d", what, c);
    syscall(SYS_clock_gettime, c, &after);
    CHECK(seconds(&before) <= seconds(&now) && seconds(&now) <= seconds(&after),
          "%s of clock %d: %.9f between %.9f and %.9f", what, c, seconds(&now), seconds(&before),
          seconds(&after));
}

static void check_clocks(void)
{
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_REALTIME_COARSE,
                                       CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME};
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        check_gettime("clock_gettime", clock_gettime, clocks[i]);
        check_gettime("the vdso's clock_gettime", vdso_gettime, clocks[i]);
    }
    CHECK(vdso_gettime(-100, &(struct timespec){0}) == -EINVAL, "no error for clock -100");
    CHECK(clock_gettime(-100, &(struct timespec){0}) == -1 && errno == EINVAL, "no errno");
}

static void check_rest(void)
{
    struct timespec here = {0}, there = {0};
    struct timeval now = {0};
    time_t before = (time_t)syscall(SYS_time, NULL), filled = 0;
    unsigned cpu = ~0u, node = ~0u;
    unsigned char bytes[16] = {0}, none[16] = {0};
    CHECK(time(&filled) >= before && vdso_time(NULL) >= before && filled >= before, "time");
    CHECK(gettimeofday(&now, NULL) == 0 && now.tv_sec >= before, "gettimeofday");
    CHECK(vdso_gettimeofday(&now, NULL) == 0 && now.tv_sec >= before, "the vdso's gettimeofday");
    CHECK(now.tv_sec <= time(NULL) + 1, "gettimeofday: %ld", (long)now.tv_sec);
    CHECK(vdso_getcpu(&cpu, &node, NULL) == 0 && cpu < 4096 && node < 4096, "getcpu");
    syscall(SYS_clock_getres, CLOCK_MONOTONIC, &there);
    CHECK(!vdso_getres ||
              (vdso_getres(CLOCK_MONOTONIC, &here) == 0 && here.tv_nsec == there.tv_nsec),
          "clock_getres: %ld", here.tv_nsec);
    CHECK(!vdso_getrandom || vdso_getrandom(bytes, sizeof bytes, 0, NULL, 0) == sizeof bytes,
          "getrandom");
    CHECK(!vdso_getrandom || memcmp(bytes, none, sizeof none) != 0, "getrandom wrote nothing");
}

/* --- waits --- */

static int sleep_until(clockid_t clock, const struct timespec *until)
{
    return clock_nanosleep(clock, TIMER_ABSTIME, until, NULL);
}

static int wait_until(clockid_t clock, const struct timespec *until)
{
    static int word;
    (void)clock;
    return syscall(SYS_futex, &word, WAIT_BITSET, 0, until, NULL, ~0u) == -1 && errno == ETIMEDOUT
               ? 0
               : -1;
}

static int timerfd_until(clockid_t clock, const struct timespec *until)
{
    uint64_t count;
    int fd = timerfd_create(clock, 0);
    int result =
        timerfd_settime(fd, TFD_TIMER_ABSTIME, &(struct itimerspec){.it_value = *until}, NULL);
    if (!result)
        result = read(fd, &count, sizeof count) == sizeof count ? 0 : -1;
    close(fd);
    return result;
}

static int timer_until(clockid_t clock, const struct timespec *until)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    sigset_t one;
    timer_t timer;
    int got;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    sigprocmask(SIG_BLOCK, &one, NULL);
    if (timer_create(clock, &event, &timer) ||
        timer_settime(timer, TIMER_ABSTIME, &(struct itimerspec){.it_value = *until}, NULL))
        return -1;
    while ((got = sigwaitinfo(&one, NULL)) < 0 && errno == EINTR)
        ;
    timer_delete(timer);
    return got == SIGUSR1 ? 0 : -1;
}

/* A timerfd is the shadow's while the program is not there, and goes on by the time that passes. */
static const struct {
    const char *name;
    clockid_t clock;
    int (*until)(clockid_t, const struct timespec *);
    int passes;
} waits[] = {
    {"clock_nanosleep", CLOCK_MONOTONIC, sleep_until, 0},
    {"clock_nanosleep", CLOCK_BOOTTIME, sleep_until, 0},
    {"futex", CLOCK_MONOTONIC, wait_until, 0},
    {"timer_settime", CLOCK_MONOTONIC, timer_until, 0},
    {"timer_settime", CLOCK_BOOTTIME, timer_until, 0},
    {"timerfd_settime", CLOCK_MONOTONIC, timerfd_until, 1},
    {"timerfd_settime", CLOCK_BOOTTIME, timerfd_until, 1},
};

static void check_wait(size_t i)
{
    struct timespec now, until;
    clock_gettime(waits[i].clock, &until);
    until.tv_nsec += 100000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    CHECK(waits[i].until(waits[i].clock, &until) == 0, "%s: errno %d", waits[i].name, errno);
    clock_gettime(waits[i].clock, &now);
    CHECK(seconds(&now) >= seconds(&until) || waits[i].passes,
          "%s of clock %d is too early: %.9f, not %.9f", waits[i].name, waits[i].clock,
          seconds(&now), seconds(&until));
}

static void be_waiting(void)
{
    ready();
    for (size_t i = 0; !stop_asked() && !differences; i++) {
        check_wait(i % (sizeof waits / sizeof *waits));
        check_all_forward();
    }
}

/* --- within --- */

static struct timeval *closed;

/* The checkpoint signal is blocked here: it comes as soon as we are back in the vdso. */
static void on_fault(int signal)
{
    static unsigned faults;
    (void)signal;
    if (++faults % 1000 == 0 && stop_asked())
        mprotect(closed, 4096, PROT_READ | PROT_WRITE);
}

static int is_hijacked(void)
{
    struct sigaction now;
    sigaction(CHECKPOINT, NULL, &now);
    return now.sa_handler != SIG_DFL;
}

static void be_within(void)
{
    struct sigaction action = {.sa_handler = on_fault};
    sigaddset(&action.sa_mask, CHECKPOINT);
    closed = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigaction(SIGSEGV, &action, NULL);
    ready();
    while (!is_hijacked())
        rest(1);
    CHECK(vdso_gettimeofday(closed, NULL) == 0 && closed->tv_sec > 1000000000, "gettimeofday: %ld",
          (long)closed->tv_sec);
}

int main(int argc, char **argv)
{
    find_all();
    check_all_forward();
    if (argc > 1 && !strcmp(argv[1], "waits")) {
        be_waiting();
        return finish();
    }
    if (argc > 1 && !strcmp(argv[1], "within")) {
        be_within();
        return finish();
    }
    ready();
    do {
        check_all_forward();
        check_clocks();
        check_rest();
        rest(1);
    } while (!stop_asked() && !differences);
    return finish();
}
