/* local.c - the calls that this process makes itself, which only pass through the net. */
#include <linux/futex.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <sys/utsname.h>

#include "surface.h"

static void scheduling(void)
{
    uint64_t set[16] = {0}, attr[8] = {sizeof attr};
    struct sched_param param = {9};
    struct timespec t;
    unsigned cpu = 9999;
    CALL(sched_yield);
    long size = CALL(sched_getaffinity, 0, sizeof set, set);
    CALL(sched_setaffinity, getpid(), size, set);
    CALL(sched_setaffinity, 0, 8, BAD);
    CALL(sched_getparam, 0, &param);
    show("    %d", param.sched_priority);
    CALL(sched_setparam, getpid(), &param);
    CALL(sched_getscheduler, getpid());
    CALL(sched_getscheduler, 999999);
    CALL(sched_setscheduler, 0, SCHED_OTHER, &param);
    CALL(sched_getattr, 0, attr, sizeof attr, 0);
    CALL(sched_setattr, 0, attr, 0);
    CALL(sched_setattr, 0, BAD, 0);
    CALL(sched_get_priority_max, SCHED_FIFO);
    CALL(sched_get_priority_min, SCHED_FIFO);
    SOME(sched_rr_get_interval, 0, &t);
    CALL(getcpu, &cpu, NULL, NULL);
    show("    %d", cpu < 9999);
    CALL(getpriority, PRIO_PROCESS, 0);
    CALL(getpriority, 99, 0);
    CALL(setpriority, PRIO_PROCESS, getpid(), 0);
}

static void usage(void)
{
    struct rusage u;
    struct tms t;
    struct sysinfo info = {0};
    CALL(getrusage, RUSAGE_SELF, &u);
    CALL(getrusage, 99, &u);
    CALL(getrusage, RUSAGE_SELF, BAD);
    SOME(times, &t);
    CALL(sysinfo, &info);
    show("    %d", info.totalram > 0);
    CALL(getrlimit, RLIMIT_STACK, &u);
    CALL(getrlimit, 99, &u);
}

static void time_and_chance(void)
{
    struct timespec t = {0};
    struct timeval v;
    struct itimerval timer = {0};
    struct itimerspec spec = {0};
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    int id = -1;
    SOME(clock_gettime, CLOCK_MONOTONIC, &t);
    CALL(clock_gettime, 99, &t);
    CALL(clock_gettime, CLOCK_MONOTONIC, BAD);
    CALL(clock_getres, CLOCK_MONOTONIC, &t);
    CALL(gettimeofday, &v, NULL);
    SOME(time, NULL);
    CALL(nanosleep, (&(struct timespec){0, 1000}), NULL);
    CALL(nanosleep, (&(struct timespec){0, -1}), NULL);
    CALL(nanosleep, BAD, NULL);
    CALL(clock_nanosleep, CLOCK_MONOTONIC, 0, (&(struct timespec){0, 1000}), NULL);
    CALL(clock_nanosleep, 99, 0, (&(struct timespec){0, 1000}), NULL);
    CALL(getitimer, ITIMER_REAL, &timer);
    CALL(setitimer, ITIMER_REAL, &timer, NULL);
    CALL(setitimer, 99, &timer, NULL);
    CALL(alarm, 0);
    CALL(timer_create, CLOCK_MONOTONIC, &event, &id);
    CALL(timer_settime, id, 0, &spec, NULL);
    CALL(timer_gettime, id, &spec);
    CALL(timer_getoverrun, id);
    CALL(timer_delete, id);
    CALL(timer_delete, 12345);
    CALL(getrandom, other, 16, 0);
    CALL(getrandom, other, 16, 99);
    CALL(getrandom, BAD, 16, 0);
    CALL(rt_sigpending, other, 8);
    CALL(restart_syscall);
}

static void threads(void)
{
    int word = 1;
    long old;
    void *head = NULL;
    size_t size = 0;
    CALL(futex, &word, FUTEX_WAKE_PRIVATE, 1);
    CALL(futex, &word, FUTEX_WAIT_PRIVATE, 2, NULL);
    CALL(futex, BAD, FUTEX_WAIT_PRIVATE, 2, NULL);
    CALL(futex_waitv, NULL, 0, 0, NULL, 0);
    CALL(futex_wake, &word, ~0u, 1, 2 | 128);
    CALL(futex_wait, &word, 2, ~0u, 2 | 128, NULL, 0);
    CALL(futex_requeue, NULL, 0, 0, 0);
    CALL(get_robust_list, 0, &head, &size);
    CALL(set_robust_list, head, size);
    CALL(set_robust_list, head, 3);
    SOME(set_tid_address, &word);
    CALL(rseq, other, 3, 0, 0);
    SOME(membarrier, 0, 0, 0);
    CALL(membarrier, 1 << 30, 0, 0);
    CALL(wait4, -1, NULL, WNOHANG, NULL);
    CALL(waitid, P_ALL, 0, NULL, WEXITED | WNOHANG, NULL);
    CALL(clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_NEWUSER, NULL);
    CALL(clone3, BAD, 64);
    CALL(clone3, BAD, 3);
    CALL(personality, 0xffffffff);
    CALL(prctl, PR_GET_TIMING);
    CALL(prctl, PR_SET_NAME, "surface");
    CALL(prctl, PR_GET_NAME, memset(other, 0, 16));
    show_bytes("name", other, 16);
    CALL(prctl, 9999);
    SOME(arch_prctl, 0x1003 /* ARCH_GET_FS */, &old);
    CALL(arch_prctl, 0x9999, 0);
    CALL(modify_ldt, 0, other, 16);
    CALL(set_thread_area, BAD); /* x86-64 has no such calls: ENOSYS */
    CALL(get_thread_area, BAD);
}

const struct surface_case local_cases[] = {
    {"scheduling", scheduling}, {"usage", usage}, {"time", time_and_chance},
    {"threads", threads},       {NULL, NULL},
};
