/*
 * process.c - has one of everything that the kernel keeps for a process (restart/state.def,
 * RESTORED), and checks that it still has it: the target of checkpoint and restart.
 */
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "tests/targets/rseq.h"

/* linux/membarrier.h, which musl-gcc does not find */
#define MEMBARRIER_CMD_PRIVATE_EXPEDITED          (1 << 3)
#define MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED (1 << 4)

/* linux/prctl.h of newer kernels, linux/ioprio.h */
#define SET_IO_FLUSHER 57
#define GET_IO_FLUSHER 58
#define SET_MDWE       65
#define GET_MDWE       66
#define BEST_EFFORT_6  (2 << 13 | 6)

#define PAGE    4096
#define REGIONS 9

static volatile int handled;
static char alternate[65536];
static timer_t first_timer, timer;
static char *heap, *heap_end;
static char *region[REGIONS];
static char flags[REGIONS][256];
static char shared_path[] = "shared";

static void handler(int signal)
{
    handled = signal;
}

static void must(int result, const char *what)
{
    if (result < 0)
        cannot(what);
}

static char *map(size_t pages, int prot, int extra)
{
    void *at = mmap(NULL, pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS | extra, -1, 0);
    if (at == MAP_FAILED)
        cannot("mmap");
    return at;
}

/* The VmFlags that smaps shows for the mapping of an address. */
static void vm_flags(const void *address, char *to, size_t size)
{
    char line[4096];
    unsigned long start, end;
    int inside = 0;
    FILE *file = fopen("/proc/self/smaps", "r");
    *to = '\0';
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            inside = (unsigned long)address >= start && (unsigned long)address < end;
        if (inside && strncmp(line, "VmFlags:", 8) == 0)
            snprintf(to, size, "%.200s", line);
    }
    if (file)
        fclose(file);
}

/* --- memory --- */

static void set_memory(void)
{
    heap = sbrk(3 * PAGE); /* musl has no such thing */
    if (heap != (void *)-1)
        memset(heap, 7, 3 * PAGE);
    region[0] =
        map(1 << 18, PROT_READ | PROT_WRITE, MAP_NORESERVE); /* 1 GiB, one page of it touched */
    region[0][PAGE * 1000] = 1;
    region[1] = map(4, PROT_READ | PROT_WRITE, MAP_GROWSDOWN);
    region[1][0] = 2;
    region[2] = map(4, PROT_READ | PROT_WRITE, 0);
    region[2][PAGE] = 3;
    must(mprotect(region[2], 4 * PAGE, PROT_NONE), "mprotect");
    region[3] = map(4, PROT_READ | PROT_WRITE, 0);
    must(mlock(region[3], 4 * PAGE), "mlock");
    region[4] = map(4, PROT_READ | PROT_WRITE, 0);
    must(madvise(region[4], 4 * PAGE, MADV_DONTFORK), "MADV_DONTFORK");
    region[5] = map(1024, PROT_READ | PROT_WRITE, 0);
    must(madvise(region[5], 1024 * PAGE, MADV_HUGEPAGE), "MADV_HUGEPAGE");
    region[6] = map(4, PROT_READ | PROT_EXEC, 0);
    region[7] = map(4, PROT_READ | PROT_WRITE, 0);
    must(madvise(region[7], 4 * PAGE, MADV_WIPEONFORK), "MADV_WIPEONFORK");
    for (int i = 0; i < REGIONS - 1; i++)
        vm_flags(region[i], flags[i], sizeof flags[i]);
}

static void set_shared(void)
{
    int fd = open(shared_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    must(fd, shared_path);
    must(ftruncate(fd, 2 * PAGE), "ftruncate");
    region[8] = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (region[8] == MAP_FAILED)
        cannot("mmap");
    close(fd);
    region[8][5] = 42;
    vm_flags(region[8], flags[8], sizeof flags[8]);
}

static int deep(int depth)
{
    volatile char room[4096];
    memset((char *)room, depth, sizeof room);
    return depth ? deep(depth - 1) + room[0] : room[1];
}

static void check_memory(void)
{
    char now[256];
    CHECK(sbrk(0) == heap_end, "brk is %p instead of %p", sbrk(0), (void *)heap_end);
    for (int i = 0; i < REGIONS; i++) {
        vm_flags(region[i], now, sizeof now);
        CHECK(strcmp(now, flags[i]) == 0, "region %d: %s instead of %s", i, now, flags[i]);
    }
    if (heap != (void *)-1) {
        CHECK(heap[100] == 7, "heap content");
        CHECK(sbrk(100 * PAGE) != (void *)-1, "brk cannot grow: %s", strerror(errno));
    }
    CHECK(region[0][PAGE * 1000] == 1 && region[0][0] == 0, "reserved memory");
    mprotect(region[2], 4 * PAGE, PROT_READ);
    CHECK(region[2][PAGE] == 3, "content of PROT_NONE memory");
    region[4][0] = 9;
    madvise(region[4], 4 * PAGE, MADV_DONTNEED);
    CHECK(region[4][0] == 0, "MADV_DONTNEED brings old bytes back");
    CHECK(region[8][5] == 42, "shared file mapping");
    deep(500);
}

/* The file shows what is written to the mapping: it is the same file again. */
static void check_shared(void)
{
    char byte = 0;
    int fd = open(shared_path, O_RDONLY);
    region[8][6] = 43;
    CHECK(pread(fd, &byte, 1, 6) == 1 && byte == 43, "the shared mapping is not of its file");
    close(fd);
}

/* --- signals and timers --- */

static void set_signals(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK | SA_NODEFER};
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    sigset_t blocked;
    sigaddset(&action.sa_mask, SIGWINCH);
    must(sigaltstack(&stack, NULL), "sigaltstack");
    must(sigaction(SIGUSR1, &action, NULL), "sigaction");
    signal(SIGHUP, SIG_IGN);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    sigaddset(&blocked, SIGRTMIN + 5);
    must(sigprocmask(SIG_BLOCK, &blocked, NULL), "sigprocmask");
    raise(SIGUSR2);
    for (int i = 1; i <= 3; i++)
        must(sigqueue(getpid(), SIGRTMIN + 5, (union sigval){.sival_int = 100 + i}), "sigqueue");
}

static void check_pending(void)
{
    struct timespec none = {0, 0};
    siginfo_t info;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 5);
    for (int i = 1; i <= 3; i++) {
        memset(&info, 0, sizeof info);
        CHECK(sigtimedwait(&set, &info, &none) > 0, "pending signal %d is lost", i);
        CHECK(info.si_value.sival_int == 100 + i && info.si_code == SI_QUEUE,
              "siginfo of signal %d: %d", i, info.si_value.sival_int);
    }
    CHECK(sigtimedwait(&set, &info, &none) < 0, "one signal too many");
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    CHECK(sigtimedwait(&set, &info, &none) == SIGUSR2, "SIGUSR2 is lost");
}

static void check_signals(void)
{
    struct sigaction action;
    stack_t stack;
    sigaction(SIGUSR1, NULL, &action);
    CHECK(action.sa_handler == handler &&
              (action.sa_flags & (SA_ONSTACK | SA_NODEFER)) == (SA_ONSTACK | SA_NODEFER) &&
              sigismember(&action.sa_mask, SIGWINCH) == 1,
          "action of SIGUSR1");
    sigaction(SIGHUP, NULL, &action);
    CHECK(action.sa_handler == SIG_IGN, "SIGHUP is no longer ignored");
    sigaltstack(NULL, &stack);
    CHECK(stack.ss_sp == alternate && stack.ss_size == sizeof alternate && !stack.ss_flags,
          "alternate stack");
    raise(SIGUSR1);
    CHECK(handled == SIGUSR1, "SIGUSR1 is not handled");
    check_pending();
}

static void set_timers(void)
{
    struct itimerval real = {{0, 0}, {5000, 0}}, virtual = {{7, 0}, {6000, 0}},
                     profile = {{8, 0}, {6500, 0}};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 6};
    struct itimerspec time = {{11, 0}, {7000, 0}};
    event.sigev_value.sival_ptr = &timer;
    must(setitimer(ITIMER_REAL, &real, NULL), "setitimer");
    must(setitimer(ITIMER_VIRTUAL, &virtual, NULL), "setitimer");
    must(setitimer(ITIMER_PROF, &profile, NULL), "setitimer");
    must(timer_create(CLOCK_MONOTONIC, &event, &first_timer), "timer_create");
    must(timer_create(CLOCK_MONOTONIC, &event, &timer), "timer_create");
    must(timer_delete(first_timer), "timer_delete"); /* numbers need not begin at 0 */
    must(timer_settime(timer, 0, &time, NULL), "timer_settime");
}

static void check_timers(void)
{
    struct itimerval value;
    struct itimerspec time = {0};
    getitimer(ITIMER_REAL, &value);
    CHECK(value.it_value.tv_sec > 4000 && value.it_value.tv_sec <= 5000, "ITIMER_REAL: %ld s",
          (long)value.it_value.tv_sec);
    getitimer(ITIMER_VIRTUAL, &value);
    CHECK(value.it_value.tv_sec > 5000 && value.it_interval.tv_sec == 7, "ITIMER_VIRTUAL: %ld s",
          (long)value.it_value.tv_sec);
    getitimer(ITIMER_PROF, &value);
    CHECK(value.it_value.tv_sec > 5500 && value.it_interval.tv_sec == 8, "ITIMER_PROF: %ld s",
          (long)value.it_value.tv_sec);
    CHECK(timer_gettime(timer, &time) == 0, "the POSIX timer is lost: %s", strerror(errno));
    CHECK(time.it_value.tv_sec > 6000 && time.it_interval.tv_sec == 11, "POSIX timer: %ld s",
          (long)time.it_value.tv_sec);
}

/* The timer's signal comes with its value. */
static void check_timer_signal(void)
{
    struct itimerspec soon = {{0, 0}, {0, 1000000}};
    siginfo_t info = {0};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 6);
    sigprocmask(SIG_BLOCK, &set, NULL);
    timer_settime(timer, 0, &soon, NULL);
    CHECK(sigwaitinfo(&set, &info) > 0 && info.si_value.sival_ptr == &timer,
          "value of the POSIX timer");
}

/* --- process --- */

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        cannot(path);
    close(fd);
}

/* Of the newer ones a kernel need not know all; what it has refused is not expected back. */
static int has_mdwe, has_flusher;

static void set_prctls(void)
{
    must(prctl(PR_SET_NAME, "renamed"), "PR_SET_NAME");
    must(prctl(PR_SET_TIMERSLACK, 123456), "PR_SET_TIMERSLACK");
    must(prctl(PR_SET_PDEATHSIG, SIGURG), "PR_SET_PDEATHSIG");
    must(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), "PR_SET_THP_DISABLE");
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
    must(prctl(PR_SET_KEEPCAPS, 1), "PR_SET_KEEPCAPS");
    must(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0), "PR_MCE_KILL");
    has_flusher = prctl(SET_IO_FLUSHER, 1, 0, 0, 0) == 0;
    has_mdwe = prctl(SET_MDWE, 1, 0, 0, 0) == 0;
}

static void set_scheduling(void)
{
    const struct sched_param none = {0};
    cpu_set_t cpus;
    must(setpriority(PRIO_PROCESS, 0, 5), "setpriority");
    must((int)syscall(SYS_sched_setscheduler, 0, SCHED_BATCH, &none), "sched_setscheduler");
    must((int)syscall(SYS_ioprio_set, 1, 0, BEST_EFFORT_6), "ioprio_set");
    CPU_ZERO(&cpus);
    CPU_SET(0, &cpus);
    must(sched_setaffinity(0, sizeof cpus, &cpus), "sched_setaffinity");
}

static void set_process(void)
{
    struct rlimit limit;
    umask(0137);
    set_prctls();
    must(personality(ADDR_NO_RANDOMIZE), "personality");
    getrlimit(RLIMIT_CORE, &limit);
    limit.rlim_cur = limit.rlim_max < 8192 ? limit.rlim_max : 8192;
    must(setrlimit(RLIMIT_CORE, &limit), "setrlimit");
    set_scheduling();
    write_file("/proc/self/oom_score_adj", "123");
    write_file("/proc/self/coredump_filter", "0x7");
    must((int)syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0),
         "membarrier");
}

static int number_in(const char *path, int base)
{
    char text[64] = "";
    int fd = open(path, O_RDONLY);
    if (fd < 0 || read(fd, text, sizeof text - 1) < 0)
        cannot(path);
    close(fd);
    return (int)strtol(text, NULL, base);
}

static void check_attributes(void)
{
    char name[16];
    int value = 0;
    prctl(PR_GET_NAME, name);
    CHECK(strcmp(name, "renamed") == 0, "name is %s", name);
    CHECK(prctl(PR_GET_TIMERSLACK) == 123456, "timer slack");
    prctl(PR_GET_PDEATHSIG, &value);
    CHECK(value == SIGURG, "parent death signal");
    CHECK(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1, "THP disable");
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "no_new_privs");
    CHECK(prctl(PR_GET_KEEPCAPS) == 1, "keepcaps");
    CHECK(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0) == PR_MCE_KILL_EARLY, "what a memory error does");
    CHECK(!has_flusher || prctl(GET_IO_FLUSHER, 0, 0, 0, 0) == 1, "I/O flusher");
    CHECK(!has_mdwe || prctl(GET_MDWE, 0, 0, 0, 0) == 1, "no memory written and executed");
    CHECK(personality(0xffffffff) == ADDR_NO_RANDOMIZE, "personality");
    CHECK(number_in("/proc/self/oom_score_adj", 10) == 123, "oom_score_adj");
    CHECK(number_in("/proc/self/coredump_filter", 16) == 7, "coredump_filter");
    CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0,
          "membarrier registration");
}

static void check_process(void)
{
    struct rlimit limit;
    cpu_set_t cpus;
    CHECK(umask(0) == 0137, "umask");
    getrlimit(RLIMIT_CORE, &limit);
    CHECK(limit.rlim_cur == (limit.rlim_max < 8192 ? limit.rlim_max : 8192), "RLIMIT_CORE");
    CHECK(getpriority(PRIO_PROCESS, 0) == 5, "nice value");
    CHECK(syscall(SYS_sched_getscheduler, 0) == SCHED_BATCH, "scheduling policy");
    CHECK(syscall(SYS_ioprio_get, 1, 0) == BEST_EFFORT_6, "I/O priority");
    sched_getaffinity(0, sizeof cpus, &cpus);
    CHECK(CPU_COUNT(&cpus) == 1 && CPU_ISSET(0, &cpus), "CPU affinity");
    check_rseq();
}

int main(void)
{
    char here[4096], now[4096];
    int was_root = geteuid() == 0;
    must(mkdir("a place", 0700) < 0 && errno != EEXIST ? -1 : 0, "mkdir");
    must(chdir("a place"), "chdir");
    if (!getcwd(here, sizeof here))
        cannot("getcwd");
    set_memory();
    set_shared();
    set_signals();
    set_timers();
    set_process();
    ready();
    heap_end = sbrk(0);
    while (!stop_asked())
        rest(10);
    CHECK(getcwd(now, sizeof now) && strcmp(here, now) == 0, "working directory is %s", now);
    CHECK((geteuid() == 0) == was_root, "another user");
    check_memory();
    check_shared();
    check_signals();
    check_timers();
    check_timer_signal();
    check_attributes();
    check_process();
    return finish();
}
