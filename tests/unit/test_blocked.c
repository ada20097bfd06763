/* test_blocked.c - driver/blocked.h: never longer than it was. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/blocked.h"

#define MS 1000000ull

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 * MS + (uint64_t)time.tv_nsec;
}

static pid_t start(void (*body)(void))
{
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            body();
    }
    return child;
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void sleeps(void)
{
    pause();
}

static void computes(void)
{
}

/* Blocked for 300 ms at most since `begun`; at least half of it is found, however busy the machine.
 */
static void test_sleeping(void **state)
{
    uint64_t begun = now(), ns = 0, switches = 0;
    (void)state;
    if (access("/proc/self/sched", R_OK))
        skip(); /* a kernel without CONFIG_SCHED_DEBUG */
    pid_t child = start(sleeps);
    while (now() - begun < 300 * MS || blocked_for(child, &ns, &switches))
        if (now() - begun > 20000 * MS)
            break;
    uint64_t most = now() - begun;
    end(child);
    assert_true(ns <= most);
    assert_true(ns >= most / 2);
    assert_true(switches > 0);
}

static void test_running(void **state)
{
    uint64_t begun = now(), ns, switches;
    pid_t child = start(computes);
    (void)state;
    while (now() - begun < 50 * MS) /* started, and preempted now and then */
        ;
    int code = blocked_for(child, &ns, &switches);
    end(child);
    assert_true(code < 0);
}

static void test_gone(void **state)
{
    uint64_t ns, switches;
    pid_t child = start(sleeps);
    (void)state;
    end(child);
    assert_true(blocked_for(child, &ns, &switches) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sleeping),
        cmocka_unit_test(test_running),
        cmocka_unit_test(test_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
