/* test_proc.c - /proc as proc.h tells it, compared with what this test or its children did. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/proc.h"

#include <cmocka.h> /* last: it defines a macro fail() */

/* No process is left behind when the test is killed, or its parent before it could ask for that. */
static void end_with(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
}

static pid_t child(void (*body)(void))
{
    pid_t parent = getpid(), pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        end_with(parent);
        body();
        for (;;)
            pause();
    }
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void wait_until_in(pid_t pid, long number)
{
    struct proc_syscall call;
    struct failure f;
    do {
        sched_yield();
        assert_int_equal(proc_syscall(pid, pid, &call, &f), 0);
    } while (call.running || call.number != number);
}

static void odd_name(void)
{
    prctl(PR_SET_NAME, "a) R 1 (b");
}

static void name_with_parentheses(void **state)
{
    (void)state;
    struct proc_info p;
    struct failure f;
    uint64_t start;
    pid_t pid = child(odd_name);
    wait_until_in(pid, SYS_pause);
    assert_int_equal(proc_read(pid, &p, &f), 0);
    assert_string_equal(p.name, "a) R 1 (b");
    assert_int_equal(p.state, 'S');
    assert_int_equal(p.ppid, getpid());
    assert_int_equal(p.threads, 1);
    assert_false(p.kernel_thread);
    assert_int_equal(proc_start_time(pid, &start, &f), 0);
    assert_true(start == p.start_time && start > 0);
    end(pid);
}

static void on_signal(int number)
{
    (void)number;
}

static void set_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGHUP, on_signal);
    raise(SIGUSR1);
}

static uint64_t bit(int number)
{
    return 1ULL << (number - 1);
}

static void signals_and_ids(void **state)
{
    (void)state;
    struct proc_info p;
    struct failure f;
    pid_t pid = child(set_signals);
    wait_until_in(pid, SYS_pause);
    assert_int_equal(proc_read(pid, &p, &f), 0);
    assert_true(p.signals_blocked & bit(SIGUSR1));
    assert_true(p.signals_pending & bit(SIGUSR1));
    assert_true(p.signals_ignored & bit(SIGUSR2));
    assert_true(p.signals_caught & bit(SIGHUP));
    assert_false(p.signals_caught & bit(SIGUSR2));
    assert_int_equal(p.real_uid, getuid());
    assert_int_equal(p.effective_gid, getegid());
    assert_int_equal(p.tracer, 0);
    assert_int_equal(p.innermost_pid, pid);
    assert_true(p.dumpable && p.exe_known && strstr(p.exe, "test_proc"));
    assert_false(p.foreign_pid_namespace || p.foreign_mount_namespace);
    end(pid);
}

static void nobody_there(void **state)
{
    (void)state;
    struct proc_info p;
    struct failure f;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
    assert_int_equal(proc_read(pid, &p, &f), -ESRCH);
    assert_non_null(strstr(f.text, "no process"));
}

static void nothing(void)
{
}

static void three_children(void)
{
    for (int i = 0; i < 3; i++)
        child(nothing);
}

static void children_are_counted(void **state)
{
    (void)state;
    struct failure f;
    pid_t pid = child(three_children), found[2];
    wait_until_in(pid, SYS_pause);
    assert_int_equal(proc_children(pid, found, 2, &f), 3);
    assert_true(found[0] > 0 && found[1] > 0 && found[0] != found[1]);
    assert_int_equal(proc_children(found[0], found + 1, 1, &f), 0);
    end(pid);
}

static char *volatile buffer;

static void read_for_ever(void)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    syscall(SYS_read, ends[0], buffer, 17L);
}

static void arguments_of_a_blocked_call(void **state)
{
    (void)state;
    struct proc_syscall call;
    struct failure f;
    char place[32];
    buffer = place;
    pid_t pid = child(read_for_ever);
    wait_until_in(pid, SYS_read);
    assert_int_equal(proc_syscall(pid, pid, &call, &f), 0);
    assert_false(call.running);
    assert_true(call.arguments[1] == (uintptr_t)place && call.arguments[2] == 17);
    assert_true(call.pc != 0 && call.sp != 0);
    end(pid);
}

/* --- maps --- */

static void addresses_are_found(void **state)
{
    (void)state;
    struct maps maps;
    struct failure f;
    int on_stack;
    assert_int_equal(maps_read(getpid(), &maps, &f), 0);
    const struct mapping *text = maps_find(&maps, (uintptr_t)addresses_are_found);
    const struct mapping *stack = maps_find(&maps, (uintptr_t)&on_stack);
    assert_true(text && text->execute && !text->write && strstr(text->path, "test_proc"));
    assert_true(stack && stack->write && !strcmp(stack->path, "[stack]"));
    assert_null(maps_find(&maps, 0));
    assert_null(maps_find(&maps, maps.at[0].start - 1));
    assert_ptr_equal(maps_find(&maps, maps.at[0].start), &maps.at[0]);
    assert_ptr_not_equal(maps_find(&maps, maps.at[0].end), &maps.at[0]);
    maps_free(&maps);
}

static void odd_paths(void **state)
{
    (void)state;
    char path[] = "/tmp/a\nb XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && !ftruncate(fd, 4096));
    void *place = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    struct maps maps;
    struct failure f;
    for (int gone = 0; gone < 2; gone++) {
        assert_int_equal(maps_read(getpid(), &maps, &f), 0);
        const struct mapping *m = maps_find(&maps, (uintptr_t)place);
        assert_string_equal(m->path, path);
        assert_true(m->shared && m->deleted == gone);
        maps_free(&maps);
        unlink(path);
    }
    munmap(place, 4096);
    close(fd);
}

/* What it says is free is free, and within reach of the furthest byte. */
static void gaps_are_free(void **state)
{
    (void)state;
    struct maps maps;
    struct failure f;
    taddr gap, near = (uintptr_t)&mmap; /* in a library */
    uint64_t reach = 1ULL << 31;
    assert_int_equal(maps_read(getpid(), &maps, &f), 0);
    for (uint64_t size = 4096; size <= 1 << 26; size *= 4) {
        assert_true(maps_gap(&maps, near, size, reach, &gap));
        assert_true(gap + size <= near + reach && gap >= near - reach);
        void *got = mmap((void *)(uintptr_t)gap, size, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        assert_ptr_equal(got, (void *)(uintptr_t)gap);
        munmap(got, size);
    }
    assert_false(maps_gap(&maps, near, 4096, 4096, &gap));
    maps_free(&maps);
}

static void nearest_gap_of_a_known_space(void **state)
{
    (void)state;
    struct mapping at[] = {
        {.start = 0x400000, .end = 0x500000, .path = "/p"},
        {.start = 0x500000, .end = 0x600000, .path = "[heap]"},
        {.start = 0x7f0000000000, .end = 0x7f0000100000, .path = "/l"},
        {.start = 0x7f0000103000, .end = 0x7f0000200000, .path = "/m"},
        {.start = 0x7fff00000000, .end = 0x7fff00100000, .path = "[stack]"},
    };
    struct maps maps = {.count = 5, .at = at};
    taddr gap;
    assert_true(maps_gap(&maps, 0x7f0000080000, 0x3000, 1ULL << 31, &gap));
    assert_true(gap == 0x7f0000100000);
    assert_true(maps_gap(&maps, 0x7f0000080000, 0x4000, 1ULL << 31, &gap));
    assert_true(gap == 0x7f0000000000 - 0x4000);
    assert_true(maps_gap(&maps, 0x450000, 0x1000, 1ULL << 31, &gap)); /* not where the heap grows */
    assert_true(gap == 0x400000 - 0x1000);
    assert_false(maps_gap(&maps, 0x7fff00080000, 0x1000, 0x1000000, &gap)); /* nor the stack */
}

static void memory_is_copied(void **state)
{
    (void)state;
    static const char text[] = "some bytes";
    char got[sizeof text];
    assert_int_equal(proc_read_memory(getpid(), (uintptr_t)text, got, sizeof got), 0);
    assert_memory_equal(got, text, sizeof text);
    assert_int_equal(proc_read_memory(getpid(), 16, got, sizeof got), -EFAULT);
}

static int find_pipe(void *context, int fd, const char *target)
{
    return fd == *(int *)context && !strncmp(target, "pipe:", 5);
}

static void descriptors_are_listed(void **state)
{
    (void)state;
    int ends[2], none = 9999;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(proc_descriptors(getpid(), find_pipe, &ends[1]), 1);
    assert_int_equal(proc_descriptors(getpid(), find_pipe, &none), 0);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_with_parentheses),
        cmocka_unit_test(signals_and_ids),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(children_are_counted),
        cmocka_unit_test(arguments_of_a_blocked_call),
        cmocka_unit_test(addresses_are_found),
        cmocka_unit_test(odd_paths),
        cmocka_unit_test(gaps_are_free),
        cmocka_unit_test(nearest_gap_of_a_known_space),
        cmocka_unit_test(memory_is_copied),
        cmocka_unit_test(descriptors_are_listed),
    };
    return cmocka_run_group_tests_name("proc", tests, NULL, NULL);
}
