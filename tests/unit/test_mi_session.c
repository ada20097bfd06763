/*
 * One gdb, spoken to over MI: real gdb wherever it can be had to do what the test needs; elsewhere
 * this program plays gdb itself (play_gdb(), chosen by an extra argument), because real gdb never
 * floods, keeps silent or answers nonsense.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gdbmi/mi_session.h"

#define LONG_MS 20000

/* --- helpers --- */

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct mi_session *open_gdb(void)
{
    struct mi_session *s;
    int error = mi_session_open(&s, NULL);

    if (error)
        fail_msg("cannot open gdb: %s", mi_session_error(s));
    return s;
}

/* This program as gdb, in one of play_gdb()'s parts. */
static int open_fake(struct mi_session **s, const char *part, int deadline_ms)
{
    const char *const argv[] = {part, NULL};
    const struct mi_options o = {.gdb = "/proc/self/exe", .argv = argv, .deadline_ms = deadline_ms};

    return mi_session_open(s, &o);
}

/* A process that sleeps, and dies with this one. */
static pid_t start_target(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    return pid;
}

static void stop_target(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* The rest of the line "NAME:" in /proc/PID/status. */
static void status_field(pid_t pid, const char *name, char *value, size_t size)
{
    char path[64], line[256];
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    file = fopen(path, "r");
    assert_non_null(file);
    *value = '\0';
    while (fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
            snprintf(value, size, "%s", line + strlen(name) + 2);
    fclose(file);
}

/* Waits until the process sleeps and nobody traces it: what a target must be after all that happens
 * here. */
static void assert_free_and_sleeping(pid_t pid)
{
    char state[64], tracer[64];
    int64_t end = now_ms() + LONG_MS;

    do {
        status_field(pid, "State", state, sizeof state);
        status_field(pid, "TracerPid", tracer, sizeof tracer);
        poll(NULL, 0, 1);
    } while ((state[0] != 'S' || atoi(tracer)) && now_ms() < end);
    assert_int_equal(atoi(tracer), 0);
    assert_int_equal(state[0], 'S');
}

/* Waits for the end of a process that need not be a child. */
static void assert_ends(pid_t pid)
{
    int handle = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = {handle, POLLIN, 0};

    if (handle < 0 && errno == ESRCH)
        return;
    assert_true(handle >= 0);
    assert_int_equal(poll(&p, 1, LONG_MS), 1);
    close(handle);
}

static void attach(struct mi_session *s, pid_t pid)
{
    if (mi_command(s, NULL, "-target-attach %d", (int)pid))
        fail_msg("cannot attach: %s", mi_session_error(s));
    assert_int_equal(mi_wait_event(s, "stopped", NULL, -1), 0);
}

/* The target runs, under a catchpoint that it never meets. */
static void let_run(struct mi_session *s)
{
    assert_int_equal(mi_command(s, NULL, "-interpreter-exec console \"catch syscall getpid\""), 0);
    assert_int_equal(mi_command(s, NULL, "-exec-continue"), 0);
}

/* --- the life of a session --- */

static void closing_ends_and_reaps_gdb(void **state)
{
    struct mi_session *s = open_gdb();
    pid_t gdb = mi_session_pid(s);

    (void)state;
    assert_int_equal(kill(gdb, 0), 0);
    mi_session_close(s);
    assert_int_equal(kill(gdb, 0), -1);
    assert_int_equal(waitpid(gdb, NULL, WNOHANG), -1);
    mi_session_close(NULL);
}

static int open_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int n = 0;

    assert_non_null(folder);
    while (readdir(folder))
        n++;
    closedir(folder);
    return n;
}

static void no_descriptor_stays_open_here(void **state)
{
    int before = open_descriptors();
    struct mi_session *s = open_gdb();

    (void)state;
    mi_session_close(s);
    assert_int_equal(mi_session_open(&s, &(struct mi_options){.gdb = "/nonexistent/gdb"}), -ENOENT);
    mi_session_close(s);
    assert_int_equal(open_fake(&s, "leave", LONG_MS), -EPIPE);
    mi_session_close(s);
    assert_int_equal(open_descriptors(), before);
}

/* Whether some descriptor of `pid` is the file that `fd` is here. */
static bool has_file(pid_t pid, int fd)
{
    char folder[64], path[128], ours[256], theirs[256];
    DIR *d;
    struct dirent *e;
    bool found = false;
    ssize_t size;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    size = readlink(path, ours, sizeof ours - 1);
    assert_true(size > 0);
    ours[size] = '\0';
    snprintf(folder, sizeof folder, "/proc/%d/fd", (int)pid);
    d = opendir(folder);
    assert_non_null(d);
    while ((e = readdir(d))) {
        snprintf(path, sizeof path, "%s/%.20s", folder, e->d_name);
        size = readlink(path, theirs, sizeof theirs - 1);
        theirs[size > 0 ? size : 0] = '\0';
        found = found || strcmp(ours, theirs) == 0;
    }
    closedir(d);
    return found;
}

static bool has_in_environment(pid_t pid, const char *text)
{
    char path[64], all[65536];
    int fd;
    ssize_t size;

    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    size = read(fd, all, sizeof all);
    close(fd);
    assert_true(size > 0 && size < (ssize_t)sizeof all);
    return memmem(all, (size_t)size, text, strlen(text)) != NULL;
}

static void gdb_inherits_neither_descriptors_nor_secrets(void **state)
{
    int fds[2];
    struct mi_session *s;

    (void)state;
    assert_int_equal(pipe(fds), 0); /* without close-on-exec, as from a careless parent */
    setenv("SECRET_TOKEN", "hunter2", 1);
    setenv("DEBUGINFOD_URLS", "https://example.org", 1);
    s = open_gdb();
    assert_false(has_file(mi_session_pid(s), fds[0]));
    assert_false(has_file(mi_session_pid(s), fds[1]));
    assert_false(has_in_environment(mi_session_pid(s), "hunter2"));
    assert_false(has_in_environment(mi_session_pid(s), "DEBUGINFOD_URLS"));
    assert_true(has_in_environment(mi_session_pid(s), "LC_ALL=C"));
    mi_session_close(s);
    unsetenv("SECRET_TOKEN");
    unsetenv("DEBUGINFOD_URLS");
    close(fds[0]);
    close(fds[1]);
}

/* A Ctrl-C goes to the foreground process group of the terminal's session: gdb is in neither. */
static void gdb_is_out_of_reach_of_the_terminal(void **state)
{
    struct mi_session *s = open_gdb();
    pid_t gdb = mi_session_pid(s);

    (void)state;
    assert_int_equal(getpgid(gdb), gdb);
    assert_int_equal(getsid(gdb), gdb);
    mi_session_close(s);
}

static void gdb_starts_with_default_signals(void **state)
{
    struct mi_session *s;
    sigset_t blocked, old;
    char mask[64];

    (void)state;
    sigfillset(&blocked);
    sigprocmask(SIG_BLOCK, &blocked, &old);
    signal(SIGINT, SIG_IGN);
    s = open_gdb();
    status_field(mi_session_pid(s), "SigBlk", mask, sizeof mask);
    assert_int_equal(strtoull(mask, NULL, 16), 0);
    status_field(mi_session_pid(s), "SigIgn", mask, sizeof mask);
    assert_int_equal(strtoull(mask, NULL, 16) & 1 << (SIGINT - 1), 0);
    mi_session_close(s);
    signal(SIGINT, SIG_DFL);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static void standard_descriptors_may_be_closed(void **state)
{
    pid_t child = fork();
    int status;

    (void)state;
    if (child == 0) {
        struct mi_session *s;

        close(0);
        close(1);
        close(2);
        status = mi_session_open(&s, NULL) || mi_command(s, NULL, "-list-features");
        mi_session_close(s);
        _exit(status);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* --- opening fails --- */

static void a_missing_gdb_is_named(void **state)
{
    struct mi_session *s;

    (void)state;
    assert_int_equal(mi_session_open(&s, &(struct mi_options){.gdb = "/nonexistent/gdb"}), -ENOENT);
    assert_string_equal(mi_session_error(s),
                        "cannot run \"/nonexistent/gdb\": No such file or directory");
    assert_int_equal(mi_command(s, NULL, "-list-features"), -EPIPE);
    assert_string_equal(mi_session_error(s),
                        "cannot run \"/nonexistent/gdb\": No such file or directory");
    mi_session_close(s);
}

static void a_gdb_that_ends_at_once_is_reported_with_its_last_words(void **state)
{
    struct mi_session *s;
    char expected[128];

    (void)state;
    assert_int_equal(open_fake(&s, "leave", LONG_MS), -EPIPE);
    snprintf(expected, sizeof expected, "gdb (process %d) exited with status 3: no such option",
             (int)mi_session_pid(s));
    assert_string_equal(mi_session_error(s), expected);
    mi_session_close(s);
}

static void a_gdb_without_a_prompt_runs_into_the_deadline(void **state)
{
    struct mi_session *s;
    int64_t start = now_ms();

    (void)state;
    assert_int_equal(open_fake(&s, "silent", 50), -ETIMEDOUT);
    assert_true(now_ms() - start >= 50);
    assert_string_equal(mi_session_error(s), "gdb gave no MI prompt within 50 ms");
    mi_session_close(s);
}

static void a_gdb_that_will_not_leave_is_killed(void **state)
{
    struct mi_session *s;
    pid_t gdb;

    (void)state;
    assert_int_equal(open_fake(&s, "stubborn", LONG_MS), 0);
    gdb = mi_session_pid(s);
    mi_session_set_deadline(s, 30);
    mi_session_close(s);
    assert_int_equal(waitpid(gdb, NULL, WNOHANG), -1);
}

/* --- commands --- */

static void a_sleeping_process_is_attached_read_and_let_go(void **state)
{
    pid_t target = start_target();
    struct mi_session *s = open_gdb();
    const struct mi_value *r;
    uint64_t pc, value;
    unsigned char bytes[2];

    (void)state;
    attach(s, target);
    assert_int_equal(mi_command(s, &r, "-data-list-register-values x 16"), 0);
    assert_int_equal(mi_count(mi_get(r, "register-values")), 1);
    assert_int_equal(mi_u64(r, "register-values[0].value", &pc), 0);
    assert_int_equal(mi_command(s, &r, "-data-evaluate-expression $pc"), 0);
    assert_int_equal(mi_u64(r, "value", &value), 0);
    assert_int_equal(value, pc);
    assert_int_equal(mi_command(s, &r, "-data-read-memory-bytes %#lx 2", (long)pc - 2), 0);
    assert_int_equal(mi_bytes(r, "memory[0].contents", bytes, 2), 0);
    assert_memory_equal(bytes, "\x0f\x05", 2); /* it sleeps behind a syscall instruction */
    assert_int_equal(mi_command(s, NULL, "-target-detach"), 0);
    assert_free_and_sleeping(target);
    mi_session_close(s);
    assert_free_and_sleeping(target);
    stop_target(target);
}

static void closing_lets_an_attached_process_go(void **state)
{
    pid_t target = start_target();
    struct mi_session *s = open_gdb();

    (void)state;
    attach(s, target);
    mi_session_close(s);
    assert_free_and_sleeping(target);
    stop_target(target);
}

/* -gdb-exit is heeded although the target runs: SIGTERM would come only after the deadline. */
static void closing_lets_a_running_process_go(void **state)
{
    pid_t target = start_target();
    struct mi_session *s = open_gdb();
    int64_t start;

    (void)state;
    attach(s, target);
    let_run(s);
    start = now_ms();
    mi_session_close(s);
    assert_true(now_ms() - start < MI_DEADLINE_MS);
    assert_free_and_sleeping(target);
    stop_target(target);
}

static void gdbs_error_is_told(void **state)
{
    struct mi_session *s = open_gdb();
    const struct mi_value *r;

    (void)state;
    assert_int_equal(mi_command(s, &r, "-nonsense"), -EREMOTEIO);
    assert_string_equal(mi_session_error(s), "Undefined MI command: nonsense");
    assert_string_equal(mi_session_error_code(s), "undefined-command");
    assert_string_equal(mi_string(r, "code"), "undefined-command");
    assert_int_equal(mi_command(s, &r, "-target-attach 0"), -EREMOTEIO);
    assert_string_equal(mi_session_error(s), "ptrace: No such process.");
    assert_string_equal(mi_session_error_code(s), "");
    assert_int_equal(mi_command(s, &r, "-list-features"), 0);
    assert_true(mi_count(mi_get(r, "features")) > 3);
    assert_string_equal(mi_session_error(s), "");
    mi_session_close(s);
}

static void console_text_is_that_of_the_last_command(void **state)
{
    struct mi_session *s = open_gdb();
    char *quoted = mi_quote("output \"say \\\"it\\\" \\\\ twice\"");

    (void)state;
    assert_int_equal(mi_command(s, NULL, "-interpreter-exec console %s", quoted), 0);
    assert_string_equal(mi_console(s), "\"say \\\"it\\\" \\\\ twice\"");
    assert_int_equal(mi_command(s, NULL, "echo one\\n"), 0);
    assert_string_equal(mi_console(s), "one\n");
    assert_string_equal(mi_log(s), "echo one\\n\n");
    assert_int_equal(mi_command(s, NULL, "-list-features"), 0);
    assert_string_equal(mi_console(s), "");
    assert_string_equal(mi_log(s), "");
    free(quoted);
    mi_session_close(s);
}

static void a_command_cannot_smuggle_in_another(void **state)
{
    struct mi_session *s = open_gdb();

    (void)state;
    assert_int_equal(mi_command(s, NULL, "-list-features\n-gdb-exit"), -EINVAL);
    assert_int_equal(mi_command(s, NULL, "-list-features\r"), -EINVAL);
    assert_int_equal(mi_session_commands(s), 0);
    assert_int_equal(mi_command(s, NULL, "-list-features"), 0);
    assert_int_equal(mi_session_commands(s), 1);
    mi_session_close(s);
}

static void long_commands_and_answers_pass(void **state)
{
    size_t size = 1000000;
    char *text = malloc(size + 1);
    struct mi_session *s = open_gdb();

    (void)state;
    memset(text, 'x', size);
    text[size] = '\0';
    mi_session_set_deadline(s, LONG_MS);
    assert_int_equal(mi_command(s, NULL, "-interpreter-exec console \"echo %s\"", text), 0);
    assert_string_equal(mi_console(s), text);
    mi_session_close(s);
    free(text);
}

/* The fake writes 4 MB before it reads the rest of a command of 4 MB: both pipes fill up. */
static void a_gdb_that_talks_before_it_listens_is_heard(void **state)
{
    size_t size = 4000000;
    char *text = malloc(size + 1);
    struct mi_session *s;

    (void)state;
    memset(text, 'x', size);
    text[size] = '\0';
    assert_int_equal(open_fake(&s, "flood", LONG_MS), 0);
    assert_int_equal(mi_command(s, NULL, "%s", text), 0);
    assert_int_equal(strlen(mi_console(s)), 4000000);
    mi_session_close(s);
    free(text);
}

static void an_answer_that_is_no_mi_is_a_protocol_error(void **state)
{
    struct mi_session *s;

    (void)state;
    assert_int_equal(open_fake(&s, "nonsense", LONG_MS), 0);
    assert_int_equal(mi_command(s, NULL, "-list-features"), -EPROTO);
    assert_string_equal(mi_session_error(s),
                        "gdb's answer cannot be understood: string without an end");
    mi_session_close(s);
}

static void a_given_up_answer_does_not_answer_the_next_command(void **state)
{
    struct mi_session *s = open_gdb();
    int64_t start;

    (void)state;
    kill(mi_session_pid(s), SIGSTOP);
    assert_int_equal(mi_session_set_deadline(s, 50), MI_DEADLINE_MS);
    start = now_ms();
    assert_int_equal(mi_command(s, NULL, "-interpreter-exec console \"echo old\""), -ETIMEDOUT);
    assert_true(now_ms() - start >= 50);
    assert_true(now_ms() - start < 5000);
    assert_string_equal(
        mi_session_error(s),
        "gdb did not answer \"1-interpreter-exec console \"echo old\"\" within 50 ms");
    mi_session_set_deadline(s, LONG_MS);
    kill(mi_session_pid(s), SIGCONT);
    assert_int_equal(mi_command(s, NULL, "-interpreter-exec console \"echo new\""), 0);
    assert_string_equal(mi_console(s), "new");
    mi_session_close(s);
}

static void count_signal(int signal)
{
    (void)signal;
}

static void signals_do_not_disturb(void **state)
{
    const struct sigaction act = {.sa_handler = count_signal}; /* no SA_RESTART */
    const struct itimerval on = {{0, 500}, {0, 500}}, off = {0};
    pid_t target = start_target();
    struct mi_session *s;
    const struct mi_value *r;

    (void)state;
    sigaction(SIGALRM, &act, NULL);
    setitimer(ITIMER_REAL, &on, NULL);
    s = open_gdb();
    attach(s, target);
    for (int i = 0; i < 50; i++)
        assert_int_equal(mi_command(s, &r, "-data-list-register-values x 16"), 0);
    assert_int_equal(mi_wait_event(s, "never", NULL, 50), -ETIMEDOUT);
    mi_session_close(s);
    setitimer(ITIMER_REAL, &off, NULL);
    signal(SIGALRM, SIG_DFL);
    assert_free_and_sleeping(target);
    stop_target(target);
}

struct seen {
    int to, from;
    char first[64];
};

static void see(void *context, char direction, const char *line, size_t size)
{
    struct seen *seen = context;

    if (direction == '>' && seen->to++ == 0)
        snprintf(seen->first, sizeof seen->first, "%.*s", (int)size, line);
    seen->from += direction == '<' && size == 6 && memcmp(line, "1^done", 6) == 0;
}

static void the_trace_shows_both_directions(void **state)
{
    struct seen seen = {0};
    struct mi_session *s;

    (void)state;
    assert_int_equal(
        mi_session_open(&s, &(struct mi_options){.trace = see, .trace_context = &seen}), 0);
    assert_int_equal(mi_command(s, NULL, "-gdb-set %s off", "confirm"), 0);
    assert_int_equal(seen.to, 1);
    assert_string_equal(seen.first, "1-gdb-set confirm off");
    assert_int_equal(seen.from, 1);
    mi_session_close(s);
    assert_int_equal(seen.to, 2);
}

/* --- events --- */

static void events_are_taken_by_class_and_in_order(void **state)
{
    pid_t target = start_target();
    struct mi_session *s = open_gdb();
    const struct mi_value *event;
    uint64_t pid;

    (void)state;
    assert_int_equal(mi_wait_event(s, NULL, &event, 0), 0);
    assert_string_equal(mi_event_class(s), "thread-group-added");
    assert_string_equal(mi_string(event, "id"), "i1");
    mi_drop_events(s, NULL);
    attach(s, target);
    assert_int_equal(mi_wait_event(s, "library-loaded", &event, 0), 0);
    assert_non_null(mi_string(event, "ranges[0].from"));
    assert_int_equal(mi_wait_event(s, NULL, &event, 0), 0);
    assert_string_equal(mi_event_class(s), "thread-group-started");
    assert_int_equal(mi_u64(event, "pid", &pid), 0);
    assert_int_equal(pid, target);
    mi_drop_events(s, "library-loaded");
    assert_int_equal(mi_wait_event(s, "library-loaded", &event, 0), -ETIMEDOUT);
    assert_null(event);
    assert_int_equal(mi_wait_event(s, "thread-created", NULL, 0), 0);
    mi_drop_events(s, NULL);
    assert_int_equal(mi_wait_event(s, NULL, NULL, 0), -ETIMEDOUT);
    mi_session_close(s);
    stop_target(target);
}

static void waiting_for_an_event_ends_at_its_deadline(void **state)
{
    struct mi_session *s = open_gdb();
    int64_t start = now_ms();

    (void)state;
    assert_int_equal(mi_wait_event(s, "stopped", NULL, 60), -ETIMEDOUT);
    assert_true(now_ms() - start >= 60);
    assert_true(now_ms() - start < 5000);
    assert_string_equal(mi_session_error(s), "no \"stopped\" came from gdb within 60 ms");
    mi_session_close(s);
}

/* The fake sends one "*stopped" and then 5000 "=noise" for one command. */
static void a_full_queue_loses_the_oldest_but_never_a_stop(void **state)
{
    struct mi_session *s;
    const struct mi_value *event;
    uint64_t n;

    (void)state;
    assert_int_equal(open_fake(&s, "noise", LONG_MS), 0);
    assert_int_equal(mi_command(s, NULL, "-make-noise"), 0);
    assert_int_equal(mi_wait_event(s, "stopped", NULL, 0), 0);
    assert_int_equal(mi_wait_event(s, "noise", &event, 0), 0);
    assert_int_equal(mi_u64(event, "n", &n), 0);
    assert_int_equal(n, 5000 - 4095);
    mi_session_close(s);
}

/* --- death --- */

static void assert_killed(struct mi_session *s)
{
    char expected[128];

    snprintf(expected, sizeof expected, "gdb (process %d) was killed by signal 9 (Killed)",
             (int)mi_session_pid(s));
    assert_string_equal(mi_session_error(s), expected);
    assert_int_equal(mi_wait_event(s, "never", NULL, -1), -EPIPE);
    assert_string_equal(mi_session_error(s), expected);
    assert_int_equal(mi_command(s, NULL, "-list-features"), -EPIPE);
    assert_string_equal(mi_session_error(s), expected);
}

static void the_death_of_gdb_is_noticed_by_a_command(void **state)
{
    pid_t target = start_target();
    struct mi_session *s = open_gdb();

    (void)state;
    attach(s, target);
    kill(mi_session_pid(s), SIGKILL);
    assert_int_equal(mi_command(s, NULL, "-list-features"), -EPIPE);
    assert_killed(s);
    assert_free_and_sleeping(target);
    mi_session_close(s);
    stop_target(target);
}

static void the_death_of_gdb_is_noticed_while_waiting(void **state)
{
    pid_t target = start_target();
    struct mi_session *s = open_gdb();
    pid_t killer;

    (void)state;
    attach(s, target);
    let_run(s);
    mi_drop_events(s, NULL);
    killer = fork();
    if (killer == 0)
        _exit(kill(mi_session_pid(s), SIGKILL));
    assert_int_equal(mi_wait_event(s, "stopped", NULL, LONG_MS), -EPIPE);
    assert_killed(s);
    waitpid(killer, NULL, 0);
    assert_free_and_sleeping(target);
    mi_session_close(s);
    stop_target(target);
}

static void an_ordered_exit_is_no_error(void **state)
{
    struct mi_session *s = open_gdb();

    (void)state;
    assert_int_equal(mi_command(s, NULL, "-gdb-exit"), 0);
    assert_ends(mi_session_pid(s));
    assert_int_equal(mi_command(s, NULL, "-list-features"), -EPIPE);
    assert_non_null(strstr(mi_session_error(s), "exited with status 0"));
    mi_session_close(s);
}

static void gdbs_end_is_noticed_where_children_are_not_waited_for(void **state)
{
    struct mi_session *s;

    (void)state;
    signal(SIGCHLD, SIG_IGN);
    s = open_gdb();
    kill(mi_session_pid(s), SIGKILL);
    assert_int_equal(mi_command(s, NULL, "-list-features"), -EPIPE);
    mi_session_close(s);
    signal(SIGCHLD, SIG_DFL);
}

static void gdb_dies_at_the_command_that_the_fault_names(void **state)
{
    static const char *const variables[] = {"HIJACK_FAULT_GDB", "HIJACK_FAULT_GDB_BEFORE"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct mi_session *s;

        setenv(variables[i], "3", 1);
        s = open_gdb();
        assert_int_equal(mi_command(s, NULL, "-gdb-set confirm off"), 0);
        assert_int_equal(mi_command(s, NULL, "-gdb-set confirm off"), 0);
        assert_int_equal(
            mi_command(s, NULL, "-interpreter-exec console \"shell kill -STOP $PPID\""), -EPIPE);
        assert_int_equal(mi_session_commands(s), 3);
        assert_killed(s);
        assert_int_equal(mi_session_commands(s), 3);
        assert_null(getenv(variables[i])); /* the next gdb lives */
        mi_session_close(s);
    }
}

/* A driver that has attached (and let the target run) reports gdb's pid and is killed: the target
 * must be free again and gdb gone, by nothing but the end-of-file on its stdin. */
static void kill_a_driver(bool target_runs)
{
    pid_t target = start_target(), driver, gdb = 0;
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    driver = fork();
    if (driver == 0) {
        struct mi_session *s = open_gdb();

        attach(s, target);
        if (target_runs)
            let_run(s);
        gdb = mi_session_pid(s);
        if (write(fds[1], &gdb, sizeof gdb) == sizeof gdb)
            pause();
        _exit(1);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &gdb, sizeof gdb), sizeof gdb);
    close(fds[0]);
    kill(driver, SIGKILL);
    waitpid(driver, NULL, 0);
    assert_ends(gdb);
    assert_free_and_sleeping(target);
    stop_target(target);
}

static void a_killed_driver_leaves_a_stopped_target_free(void **state)
{
    (void)state;
    kill_a_driver(false);
}

static void a_killed_driver_leaves_a_running_target_free(void **state)
{
    (void)state;
    kill_a_driver(true);
}

/* --- this program as gdb --- */

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    fflush(stdout);
}

/* Reads the rest of a line. False at the end of the input. */
static bool skip_line(void)
{
    int c;

    while ((c = getchar()) != EOF && c != '\n')
        ;
    return c == '\n';
}

static int play_flood(void)
{
    static char block[1001];

    memset(block, 'y', 1000);
    if (getchar() == EOF)
        return 0;
    for (int i = 0; i < 4000; i++)
        say("~\"%s\"\n", block);
    skip_line();
    say("1^done\n(gdb) \n");
    return skip_line();
}

static int play_noise(void)
{
    skip_line();
    say("*stopped\n");
    for (int i = 0; i < 5000; i++)
        printf("=noise,n=\"%d\"\n", i);
    say("1^done\n(gdb) \n");
    return skip_line();
}

static int play_gdb(const char *part)
{
    if (strcmp(part, "leave") == 0) {
        fputs("no such option\nmore\n", stderr);
        return 3;
    }
    if (strcmp(part, "silent") == 0)
        return skip_line();
    if (strcmp(part, "stubborn") == 0)
        signal(SIGTERM, SIG_IGN);
    say("(gdb) \n");
    if (strcmp(part, "flood") == 0)
        return play_flood();
    if (strcmp(part, "noise") == 0)
        return play_noise();
    if (strcmp(part, "nonsense") == 0) {
        skip_line();
        say("1^done,a=\"b\n");
        return skip_line();
    }
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closing_ends_and_reaps_gdb),
        cmocka_unit_test(no_descriptor_stays_open_here),
        cmocka_unit_test(gdb_inherits_neither_descriptors_nor_secrets),
        cmocka_unit_test(gdb_is_out_of_reach_of_the_terminal),
        cmocka_unit_test(gdb_starts_with_default_signals),
        cmocka_unit_test(standard_descriptors_may_be_closed),
        cmocka_unit_test(a_missing_gdb_is_named),
        cmocka_unit_test(a_gdb_that_ends_at_once_is_reported_with_its_last_words),
        cmocka_unit_test(a_gdb_without_a_prompt_runs_into_the_deadline),
        cmocka_unit_test(a_gdb_that_will_not_leave_is_killed),
        cmocka_unit_test(a_sleeping_process_is_attached_read_and_let_go),
        cmocka_unit_test(closing_lets_an_attached_process_go),
        cmocka_unit_test(closing_lets_a_running_process_go),
        cmocka_unit_test(gdbs_error_is_told),
        cmocka_unit_test(console_text_is_that_of_the_last_command),
        cmocka_unit_test(a_command_cannot_smuggle_in_another),
        cmocka_unit_test(long_commands_and_answers_pass),
        cmocka_unit_test(a_gdb_that_talks_before_it_listens_is_heard),
        cmocka_unit_test(an_answer_that_is_no_mi_is_a_protocol_error),
        cmocka_unit_test(a_given_up_answer_does_not_answer_the_next_command),
        cmocka_unit_test(signals_do_not_disturb),
        cmocka_unit_test(the_trace_shows_both_directions),
        cmocka_unit_test(events_are_taken_by_class_and_in_order),
        cmocka_unit_test(waiting_for_an_event_ends_at_its_deadline),
        cmocka_unit_test(a_full_queue_loses_the_oldest_but_never_a_stop),
        cmocka_unit_test(the_death_of_gdb_is_noticed_by_a_command),
        cmocka_unit_test(the_death_of_gdb_is_noticed_while_waiting),
        cmocka_unit_test(an_ordered_exit_is_no_error),
        cmocka_unit_test(gdbs_end_is_noticed_where_children_are_not_waited_for),
        cmocka_unit_test(gdb_dies_at_the_command_that_the_fault_names),
        cmocka_unit_test(a_killed_driver_leaves_a_stopped_target_free),
        cmocka_unit_test(a_killed_driver_leaves_a_running_target_free),
    };

    if (argc > 1 && strcmp(argv[1], "-nx") == 0)
        return play_gdb(argv[argc - 1]);
    return cmocka_run_group_tests_name("mi_session", tests, NULL, NULL);
}
