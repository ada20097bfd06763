/*
 * test_preflight.c - every reason against a hijack, each found on a real process that has it, and
 * not on one that has not. What needs other users or programs is in tests/doctor.bats.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <pthread.h>
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
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/preflight.h"

#include <cmocka.h> /* last: it defines a macro fail() */

/* No process is left behind when the test is killed, or its parent before it could ask for that. */
static void end_with(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
}

/* A child that does `body` and then says so with a byte, and waits. */
static pid_t child(void (*body)(void))
{
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        end_with(parent);
        close(ends[0]);
        body();
        if (write(ends[1], "", 1) != 1)
            _exit(1);
        close(ends[1]);
        for (;;)
            pause();
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static const struct finding *find(const struct findings *findings, const char *id)
{
    for (size_t i = 0; i < findings->count; i++)
        if (!strcmp(findings->at[i].id, id))
            return &findings->at[i];
    return NULL;
}

static struct preflight_options options;

/* The process has this finding with this severity; its text holds `words`. */
static void expect(pid_t pid, enum finding_severity severity, const char *id, const char *words)
{
    struct findings findings;
    struct failure f;
    assert_int_equal(preflight_process(pid, &options, &findings, &f), 0);
    const struct finding *found = find(&findings, id);
    if (!found)
        fail_msg("not found: %s", id);
    assert_int_equal(found->severity, severity);
    if (!strstr(found->text, words))
        fail_msg("no \"%s\" in: %s", words, found->text);
    findings_free(&findings);
}

static void expect_not(pid_t pid, const char *id)
{
    struct findings findings;
    struct failure f;
    assert_int_equal(preflight_process(pid, &options, &findings, &f), 0);
    assert_null(find(&findings, id));
    findings_free(&findings);
}

static void nothing(void)
{
}

static void ordinary_process(void **state)
{
    (void)state;
    struct findings findings;
    struct failure f;
    pid_t pid = child(nothing);
    assert_int_equal(preflight_process(pid, &options, &findings, &f), 0);
    const struct finding *worst = findings_worst(&findings, FINDING_REFUSE_CHECKPOINT);
    if (worst)
        fail_msg("%s: %s", worst->id, worst->text);
    findings_free(&findings);
    end(pid);
}

static void itself_and_its_ancestors(void **state)
{
    (void)state;
    expect(getpid(), FINDING_REFUSE, "self", "itself");
    expect(getppid(), FINDING_REFUSE, "ancestor", "another shell");
}

static void no_such_process(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    while (kill(pid, 0) == 0 && waitpid(pid, NULL, 0) < 0)
        ;
    expect(pid, FINDING_REFUSE, "no-process", "no process");
}

static void zombie(void **state)
{
    (void)state;
    siginfo_t info;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    expect(pid, FINDING_REFUSE, "zombie", "zombie");
    waitpid(pid, NULL, 0);
}

static void stopped(void **state)
{
    (void)state;
    int status;
    pid_t pid = child(nothing);
    kill(pid, SIGSTOP);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    expect(pid, FINDING_REFUSE, "stopped", "kill -CONT");
    kill(pid, SIGCONT);
    waitpid(pid, &status, WCONTINUED);
    expect_not(pid, "stopped");
    end(pid);
}

static void traced(void **state)
{
    (void)state;
    pid_t pid = child(nothing);
    expect_not(pid, "tracer");
    assert_int_equal(ptrace(PTRACE_SEIZE, pid, 0, 0), 0);
    expect(pid, FINDING_REFUSE, "tracer", "another tracer (test_preflight, process ");
    end(pid);
}

static void *wait_here(void *unused)
{
    pause();
    return unused;
}

static void two_threads(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_here, NULL))
        _exit(1);
}

static void threads(void **state)
{
    (void)state;
    pid_t pid = child(two_threads);
    expect(pid, FINDING_NOTE, "threads", "2 threads");
    end(pid);
}

static void allow_everything(void)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {1, &allow};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        _exit(1);
}

static void seccomp_filter(void **state)
{
    (void)state;
    pid_t pid = child(allow_everything);
    expect(pid, FINDING_REFUSE, "seccomp", "--trust-seccomp");
    options.trust_seccomp = true;
    expect(pid, FINDING_REFUSE_CHECKPOINT, "seccomp", "restart");
    options.trust_seccomp = false;
    end(pid);
}

static void with_children(void)
{
    for (int i = 0; i < 2; i++)
        child(nothing);
}

static void live_children(void **state)
{
    (void)state;
    pid_t pid = child(with_children);
    expect(pid, FINDING_REFUSE_CHECKPOINT, "children", "2 children");
    end(pid);
}

static void set_up_ring(void)
{
    struct io_uring_params params = {0};
    if (syscall(SYS_io_uring_setup, 4, &params) < 0)
        _exit(1);
}

static void io_uring(void **state)
{
    (void)state;
    struct io_uring_params params = {0};
    long fd = syscall(SYS_io_uring_setup, 4, &params);
    if (fd < 0) {
        print_message("# skipped: this kernel has no io_uring: %s\n", strerror(errno));
        return; /* cmocka's skip() says "not ok" to prove */
    }
    close((int)fd);
    pid_t pid = child(set_up_ring);
    expect(pid, FINDING_REFUSE, "io_uring", "io_uring");
    end(pid);
}

static void map_memfd(void)
{
    int fd = memfd_create("x", 0);
    if (fd < 0 || ftruncate(fd, 4096) ||
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED)
        _exit(1);
}

static void shared_memory(void **state)
{
    (void)state;
    pid_t pid = child(map_memfd);
    expect(pid, FINDING_REFUSE_CHECKPOINT, "shared_anonymous", "/memfd:x");
    end(pid);
}

static void open_all(void)
{
    struct rlimit limit = {64, 64};
    setrlimit(RLIMIT_NOFILE, &limit);
    while (open("/dev/null", O_RDONLY) >= 0)
        ;
}

static void open_most(void)
{
    open_all();
    for (int fd = 50; fd < 55; fd++)
        close(fd);
}

static void descriptor_table(void **state)
{
    (void)state;
    pid_t pid = child(open_most);
    expect(pid, FINDING_REFUSE_CHECKPOINT, "descriptors", "of its 64");
    end(pid);
    expect_not(getpid(), "descriptors");
}

static void open_all_but_the_pipe(void)
{
    open_all(); /* the pipe's end is closed after it has told: one is free then */
    dup2(0, 3);
}

static void full_descriptor_table(void **state)
{
    (void)state;
    pid_t pid = child(open_all_but_the_pipe);
    struct rlimit lower = {32, 32};
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &lower, NULL), 0);
    expect(pid, FINDING_REFUSE, "descriptors", "prlimit --pid");
    end(pid);
}

static void not_dumpable(void)
{
    prctl(PR_SET_DUMPABLE, 0);
}

static void not_dumpable_process(void **state)
{
    (void)state;
    if (getuid() == 0) {
        print_message("# skipped: /proc tells it of other users' processes only\n");
        return; /* cmocka's skip() says "not ok" to prove */
    }
    pid_t pid = child(not_dumpable);
    expect(pid, FINDING_REFUSE, "not-dumpable", "dumpable");
    end(pid);
}

/* --- the checkpoint signal --- */

static uint64_t bit(int number)
{
    return 1ULL << (number - 1);
}

static void choice_of_signal(void **state)
{
    (void)state;
    struct proc_info p = {0};
    assert_int_equal(preflight_signal(&p, 0), 63);
    assert_int_equal(preflight_signal(&p, 50), 50);
    assert_int_equal(preflight_signal(&p, SIGKILL), 0);
    assert_int_equal(preflight_signal(&p, 65), 0);
    p.signals_caught = bit(63);
    p.signals_ignored = bit(62);
    p.signals_blocked = bit(61);
    assert_int_equal(preflight_signal(&p, 0), 60);
    assert_int_equal(preflight_signal(&p, 62), 0);
    p.signals_blocked = ~0ULL;
    assert_int_equal(preflight_signal(&p, 0), 61);
    assert_int_equal(preflight_signal(&p, 61), 0);
    p.signals_ignored = ~0ULL;
    assert_int_equal(preflight_signal(&p, 0), 0);
}

static void ignore_all(void)
{
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        signal(number, SIG_IGN);
}

static void no_signal_left(void **state)
{
    (void)state;
    pid_t pid = child(ignore_all);
    expect(pid, FINDING_REFUSE, "signal", "none is left");
    options.signal = 40;
    expect(pid, FINDING_REFUSE, "signal", "signal 40");
    options.signal = SIGUSR2;
    expect_not(pid, "signal");
    options.signal = 0;
    end(pid);
}

/* --- our library --- */

static void library_in_its_eyes(void **state)
{
    (void)state;
    char directory[] = "/var/tmp/test_preflight.XXXXXX", path[64];
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/libhijack.so", directory);
    int fd = open(path, O_CREAT | O_WRONLY, 0644);
    assert_true(fd >= 0 && ftruncate(fd, 4096) == 0);
    close(fd);
    pid_t pid = child(nothing);
    options.library = path;
    expect_not(pid, "library");
    expect_not(pid, "library-place");
    expect_not(pid, "library-access");
    if (getuid() == 0) { /* root's target, and everybody may write the library */
        expect_not(pid, "library-trust");
        chmod(path, 0666);
        expect(pid, FINDING_REFUSE, "library-trust", "as root");
    }
    unlink(path);
    rmdir(directory);
    options.library = NULL;
    end(pid);
}

static void become_nobody(void)
{
    if (setgroups(0, NULL) || setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
        _exit(1);
    prctl(PR_SET_DUMPABLE, 1);
}

static void library_closed_to_its_user(void **state)
{
    (void)state;
    if (getuid() != 0) {
        print_message("# skipped: needs root\n");
        return; /* cmocka's skip() says "not ok" to prove */
    }
    char directory[] = "/var/tmp/test_preflight.XXXXXX", path[64];
    assert_non_null(mkdtemp(directory)); /* mode 0700 */
    snprintf(path, sizeof path, "%s/libhijack.so", directory);
    close(open(path, O_CREAT | O_WRONLY, 0644));
    pid_t pid = child(become_nobody);
    options.library = path;
    expect(pid, FINDING_REFUSE, "library-access", directory);
    chmod(directory, 0755);
    expect_not(pid, "library-access");
    unlink(path);
    rmdir(directory);
    options.library = NULL;
    end(pid);
}

static void map_library(void)
{
    char path[] = "/tmp/libhijack.so";
    int fd = open(path, O_CREAT | O_RDWR, 0644);
    if (fd < 0 || ftruncate(fd, 4096) ||
        mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED)
        _exit(1);
    unlink(path);
}

static void hijacked_already(void **state)
{
    (void)state;
    pid_t pid = child(map_library);
    expect(pid, FINDING_REFUSE, "hijacked", "release");
    end(pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_process),
        cmocka_unit_test(itself_and_its_ancestors),
        cmocka_unit_test(no_such_process),
        cmocka_unit_test(zombie),
        cmocka_unit_test(stopped),
        cmocka_unit_test(traced),
        cmocka_unit_test(threads),
        cmocka_unit_test(seccomp_filter),
        cmocka_unit_test(live_children),
        cmocka_unit_test(io_uring),
        cmocka_unit_test(shared_memory),
        cmocka_unit_test(descriptor_table),
        cmocka_unit_test(full_descriptor_table),
        cmocka_unit_test(not_dumpable_process),
        cmocka_unit_test(choice_of_signal),
        cmocka_unit_test(no_signal_left),
        cmocka_unit_test(library_in_its_eyes),
        cmocka_unit_test(library_closed_to_its_user),
        cmocka_unit_test(hijacked_already),
    };
    return cmocka_run_group_tests_name("preflight", tests, NULL, NULL);
}
