/*
 * trial.c - a program that plays every part around the shadow, so that the shadow can be tested
 * without gdb.
 *
 *   trial spawn ROUNDS SHADOW          starts a shadow that often and checks that the program
 * cannot notice trial sub SHADOW                   is a subreaper: must be refused trial app SCENE
 * DIR SHADOW         sets SCENE up in DIR, starts a shadow, takes checkpoints on signal 63 trial
 * back SCENE IMAGE [OPTION]... takes the descriptors of IMAGE and checks SCENE: --fd N=PATH,
 * --rollback-files,
 *                                      --accept-changed-files, --shadow FILE, --abandon (end before
 * FRAME_DONE),
 *                                      --stay (print "back PID" and wait for a line)
 *
 * An image here is hijack_params and the descriptor table. It is linked with the in-target sources
 * themselves.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <dirent.h>
#include <unistd.h>

#include "restart/fds.h"
#include "restart/starter_fds.h"
#include "shadow/control.h"
#include "stubs/agent.h"
#include "stubs/link.h"

struct hijack_params hijack_params;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s (errno %s)\n", __FILE__, __LINE__, #condition,      \
                    strerror(errno));                                                              \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static void fill_params(const char *shadow)
{
    char why[256];
    struct control_process self;
    CHECK(control_process(getpid(), &self) == 0);
    hijack_params.version = HIJACK_AGENT_VERSION;
    hijack_params.size = sizeof hijack_params;
    hijack_params.signal = 63;
    hijack_params.pid = getpid();
    hijack_params.start_time = self.start_time;
    CHECK(control_new_key(hijack_params.key) == 0);
    CHECK(getcwd(hijack_params.directory, sizeof hijack_params.directory));
    CHECK(control_socket_path(geteuid(), getegid(), hijack_params.key, hijack_params.socket, why,
                              sizeof why) == 0);
    CHECK(realpath(shadow, hijack_params.shadow));
}

/* --- spawn --- */

static volatile sig_atomic_t children;

static void count_child(int signal)
{
    (void)signal;
    children++;
}

/* A text of all open descriptors and what they are. */
static void list_descriptors(char *out, size_t size)
{
    size_t used = 0;
    out[0] = 0;
    for (int fd = 0; fd < 256; fd++) {
        char path[64], target[256];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length < 0)
            continue;
        target[length] = 0;
        used += (size_t)snprintf(out + used, size - used, "%d %s\n", fd, target);
    }
}

static void end_shadow(void)
{
    struct control c;
    CHECK(control_open(&c, hijack_params.socket, NULL) == 0);
    CHECK(control_end(&c) == 0);
    char byte;
    CHECK(read(c.fd, &byte, 1) == 0); /* it has let go of its end */
    control_close(&c);
}

static void one_round(void)
{
    static char before[8192], after[8192];
    sigset_t all, old, pending;
    list_descriptors(before, sizeof before);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &old);
    long shadow = hijack_start_shadow();
    sigpending(&pending);
    sigprocmask(SIG_SETMASK, &old, NULL);
    if (shadow < 0)
        fprintf(stderr, "hijack_start_shadow: %s\n", strerror((int)-shadow));
    CHECK(shadow > 0);
    CHECK(!sigismember(&pending, SIGCHLD) && !children);
    CHECK(wait4(-1, NULL, WNOHANG | 0x40000000 /* __WALL */, NULL) == -1 && errno == ECHILD);
    list_descriptors(after, sizeof after);
    CHECK(!strcmp(before, after));
    CHECK(kill((pid_t)shadow, 0) == 0);
    end_shadow();
}

static int spawn(int rounds, const char *shadow)
{
    signal(SIGCHLD, count_child);
    fill_params(shadow);
    for (int i = 0; i < rounds; i++)
        one_round();
    CHECK(!children);
    CHECK(access(hijack_params.socket, F_OK) < 0); /* the last one has tidied up or does so now */
    puts("nothing noticed");
    return 0;
}

/* --- scenes --- */

enum {
    FILE_A = 10,
    DUP_A,
    OPEN_A,
    UNLINKED,
    PIPE_IN,
    PIPE_OUT,
    EVENT,
    TIMER,
    EPOLL,
    NUL,
    DIRECTORY,
    FLOCKED,
    SOCK,
    PEER,
    SIGNALS,
    MEMINFO
};

static void put(int fd, int number, int cloexec)
{
    CHECK(fd >= 0);
    CHECK(fd != number);
    CHECK(dup3(fd, number, cloexec ? O_CLOEXEC : 0) == number);
    close(fd);
}

static void put_posix_lock(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10};
    CHECK(fcntl(FILE_A, F_SETLK, &lock) == 0);
}

static void set_named(void)
{
    struct itimerspec hour = {{7, 0}, {3600, 0}};
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 0x1122334455667788};
    int ends[2];
    put(open("a", O_RDWR | O_CREAT | O_TRUNC, 0600), FILE_A, 0);
    CHECK(write(FILE_A, "0123456789abcdefghijklmnopqrstuvwxyz", 36) == 36);
    CHECK(lseek(FILE_A, 5, SEEK_SET) == 5);
    CHECK(dup2(FILE_A, DUP_A) == DUP_A);
    put(open("a", O_RDONLY), OPEN_A, 1);
    CHECK(lseek(OPEN_A, 2, SEEK_SET) == 2);
    CHECK(pipe(ends) == 0);
    put(ends[0], PIPE_IN, 0);
    put(ends[1], PIPE_OUT, 0);
    put(eventfd(7, EFD_NONBLOCK), EVENT, 0);
    put(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), TIMER, 0);
    CHECK(timerfd_settime(TIMER, 0, &hour, NULL) == 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    put(signalfd(-1, &set, SFD_NONBLOCK), SIGNALS, 0);
    put(open("/proc/meminfo", O_RDONLY), MEMINFO, 0);
    put(epoll_create1(0), EPOLL, 0);
    CHECK(epoll_ctl(EPOLL, EPOLL_CTL_ADD, EVENT, &event) == 0);
    event.data.u64 = SIGNALS;
    CHECK(epoll_ctl(EPOLL, EPOLL_CTL_ADD, SIGNALS, &event) == 0);
    put(open("/dev/null", O_WRONLY), NUL, 0);
    put(open(".", O_RDONLY | O_DIRECTORY), DIRECTORY, 1);
    put(open("l", O_WRONLY | O_APPEND | O_CREAT, 0600), FLOCKED, 0);
    CHECK(flock(FLOCKED, LOCK_EX) == 0);
    put_posix_lock();
}

/* Another process: it sees what the program holds as anyone would. 1: the lock is taken. */
static int lock_is_taken(const char *path, int posix)
{
    int status;
    pid_t other = fork();
    if (!other) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10};
        int fd = open(path, O_RDWR);
        _exit(posix ? fcntl(fd, F_SETLK, &lock) < 0 : flock(fd, LOCK_EX | LOCK_NB) < 0);
    }
    CHECK(waitpid(other, &status, 0) == other);
    return WEXITSTATUS(status);
}

static void check_files(void)
{
    char byte;
    CHECK(lseek(FILE_A, 0, SEEK_CUR) == 5);
    CHECK(read(DUP_A, &byte, 1) == 1 && byte == '5');
    CHECK(lseek(FILE_A, 0, SEEK_CUR) == 6); /* one description */
    CHECK(lseek(OPEN_A, 0, SEEK_CUR) == 2); /* another one */
    CHECK(fcntl(OPEN_A, F_GETFD) == FD_CLOEXEC && fcntl(FILE_A, F_GETFD) == 0);
    CHECK((fcntl(OPEN_A, F_GETFL) & O_ACCMODE) == O_RDONLY);
    CHECK(fcntl(FLOCKED, F_GETFL) & O_APPEND);
    CHECK(write(NUL, "x", 1) == 1);
    CHECK(fcntl(DIRECTORY, F_GETFD) == FD_CLOEXEC && faccessat(DIRECTORY, "a", R_OK, 0) == 0);
    CHECK(lock_is_taken("a", 1));
    CHECK(lock_is_taken("l", 0));
}

static void check_anonymous(void)
{
    uint64_t count;
    struct itimerspec timer;
    struct epoll_event event;
    sigset_t set;
    struct signalfd_siginfo info;
    CHECK(epoll_wait(EPOLL, &event, 1, 0) == 1 && event.data.u64 == 0x1122334455667788);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    CHECK(epoll_wait(EPOLL, &event, 1, 0) == 1 && event.data.u64 == SIGNALS);
    CHECK(read(SIGNALS, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR1);
    CHECK(read(EVENT, &count, sizeof count) == sizeof count && count == 7);
    CHECK(read(EVENT, &count, sizeof count) < 0 && errno == EAGAIN);
    CHECK(timerfd_gettime(TIMER, &timer) == 0 && timer.it_interval.tv_sec == 7);
    CHECK(timer.it_value.tv_sec > 3500 && timer.it_value.tv_sec <= 3600);
}

static void check_named(void)
{
    char text[8];
    check_files();
    check_anonymous();
    CHECK(write(PIPE_OUT, "ping", 4) == 4 && read(PIPE_IN, text, sizeof text) == 4);
}

static void set_all(void)
{
    int pair[2];
    set_named();
    put(open("u", O_RDWR | O_CREAT | O_TRUNC, 0600), UNLINKED, 0);
    CHECK(write(UNLINKED, "unlinked", 8) == 8 && unlink("u") == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    put(pair[0], SOCK, 0);
    put(pair[1], PEER, 0);
    CHECK(write(SOCK, "hello", 5) == 5);
    CHECK(write(PIPE_OUT, "xyz", 3) == 3);
}

static void check_all(void)
{
    char text[8] = "";
    check_files();
    check_anonymous();
    CHECK(read(PIPE_IN, text, sizeof text) == 3 && !memcmp(text, "xyz", 3));
    CHECK(pread(UNLINKED, text, 8, 0) == 8 && !memcmp(text, "unlinked", 8));
    CHECK(read(PEER, text, sizeof text) == 5 && !memcmp(text, "hello", 5));
    CHECK(write(PEER, "back", 4) == 4 && read(SOCK, text, sizeof text) == 4);
}

/* The write end of a named pipe, for a reader outside. */
static void set_fifo(void)
{
    put(open("fifo", O_WRONLY), PIPE_OUT, 0);
    CHECK(write(PIPE_OUT, "before ", 7) == 7);
}

static void check_fifo(void)
{
    CHECK(write(PIPE_OUT, "after\n", 6) == 6);
}

static void set_append(void)
{
    put(open("log", O_WRONLY | O_APPEND | O_CREAT, 0600), FILE_A, 0);
    CHECK(write(FILE_A, "one\n", 4) == 4);
}

static void check_append(void)
{
    CHECK(write(FILE_A, "two\n", 4) == 4);
}

static void set_many(void)
{
    for (int fd = 10; fd < 910; fd++)
        CHECK(dup2(1, fd) == fd);
    for (int fd = 20; fd < 900; fd += 3)
        put(eventfd((unsigned)fd, EFD_NONBLOCK), fd, 0);
}

static void check_many(void)
{
    for (int fd = 20; fd < 900; fd += 3) {
        uint64_t count;
        CHECK(read(fd, &count, sizeof count) == sizeof count && count == (uint64_t)fd);
    }
    for (int fd = 0; fd < 910; fd++)
        CHECK((fcntl(fd, F_GETFD) >= 0) == (fd < 3 || fd >= 10));
    CHECK(fcntl(910, F_GETFD) < 0);
}

/* 0, 1 and 2 are a terminal, and so is this one. */
static void set_terminal(void)
{
    struct termios modes;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 99};
    put(open("/dev/tty", O_RDWR), FILE_A, 0);
    CHECK(tcgetattr(FILE_A, &modes) == 0 && modes.c_lflag & ICANON);
    modes.c_lflag &= ~(tcflag_t)ICANON;
    CHECK(tcsetattr(FILE_A, TCSANOW, &modes) == 0);
    put(epoll_create1(0), EPOLL, 0);
    CHECK(epoll_ctl(EPOLL, EPOLL_CTL_ADD, FILE_A, &event) == 0);
}

static void check_terminal(void)
{
    for (int fd = 0; fd < 3; fd++)
        CHECK(isatty(fd));
    CHECK(isatty(FILE_A) && ttyname(FILE_A) && !strcmp(ttyname(0), ttyname(FILE_A)));
    CHECK(tcgetpgrp(FILE_A) == getpgrp());
    struct termios modes;
    struct epoll_event event = {.events = EPOLLIN};
    CHECK(tcgetattr(FILE_A, &modes) == 0 && !(modes.c_lflag & ICANON));
    CHECK(epoll_ctl(EPOLL, EPOLL_CTL_MOD, FILE_A, &event) == 0); /* ENOENT were it not in the set */
    printf("terminal %s\n", ttyname(0));
    fflush(stdout);
}

static void set_none(void)
{
}

/* --- scenes of failure --- */

static int dies, mute;

static void set_dies(void)
{
    dies = 1;
}

static void set_mute(void)
{
    mute = 1;
}

static void set_blocked(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, 63);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

/* After a line the program is another one, which handles nothing. */
static int executes;

static void set_exec(void)
{
    executes = 1;
}

static const struct scene {
    const char *name;
    void (*set)(void), (*check)(void);
} scenes[] = {
    {"named", set_named, check_named},
    {"all", set_all, check_all},
    {"fifo", set_fifo, check_fifo},
    {"append", set_append, check_append},
    {"many", set_many, check_many},
    {"none", set_none, set_none},
    {"terminal", set_terminal, check_terminal},
    {"dies", set_dies, set_none},
    {"mute", set_mute, set_none},
    {"blocked", set_blocked, set_none},
    {"exec", set_exec, set_none},
};

static const struct scene *find_scene(const char *name)
{
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
        if (!strcmp(scenes[i].name, name))
            return &scenes[i];
    CHECK(!"a scene of that name");
    return NULL;
}

/* --- app --- */

static struct frame_report report;
static struct frame_request request;

static long fail_report(const char *step, long error)
{
    report.error = (int32_t)error;
    snprintf(report.step, sizeof report.step, "%s", step);
    return error;
}

static long write_image(const struct fds_table *table)
{
    if (request.path[0])
        strcpy(report.path, request.path);
    else
        snprintf(report.path, sizeof report.path, "%.3000s/hijack.%d.%llu.ckpt",
                 hijack_params.directory, getpid(), (unsigned long long)hijack_params.start_time);
    int fd = open(report.path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        return -errno;
    ssize_t size = write(fd, &hijack_params, sizeof hijack_params);
    if (size > 0)
        size += write(fd, table->data, table->size);
    close(fd);
    report.bytes = (uint64_t)size;
    return 0;
}

static long checkpoint(struct link *link)
{
    struct fds_table table;
    int leave = request.flags & FRAME_LEAVE;
    long error = fds_collect(&table, &link->fd, 1);
    if (error)
        return fail_report("collect", error);
    error = fds_sync(&table, report.text, sizeof report.text);
    if (!error && leave)
        error = fds_check_leaving(&table, report.text, sizeof report.text);
    if (error)
        return fail_report("check", error);
    error = write_image(&table);
    if (!error && leave)
        error = link_give_descriptors(link, &table);
    if (!error && leave)
        error = link_commit(link);
    fds_free(&table);
    report.left = !error && leave;
    return error ? fail_report("write", error) : 0;
}

static void handler(int signal)
{
    static char before[16384], after[16384];
    struct link link;
    (void)signal;
    int saved = errno;
    list_descriptors(before, sizeof before);
    memset(&request, 0, sizeof request);
    memset(&report, 0, sizeof report);
    int error = link_open(&link);
    int asked = error ? 0 : link_take_request(&link, &request);
    if (asked == -ECANCELED) {
        if (write(1, "canceled\n", 9) < 0)
            _exit(9);
    } else if (dies) {
        kill(getpid(), SIGKILL);
    } else if (!mute) {
        checkpoint(&link);
        if (!error)
            link_report(&link, &report);
    }
    if (report.left)
        _exit(
            request.exit_status); /* which ends the connection: before, it would say that we stay */
    link_close(&link);
    list_descriptors(after, sizeof after);
    if (strcmp(before, after))
        _exit(9);
    errno = saved;
}

static int app(const char *scene, const char *directory, const char *shadow)
{
    struct sigaction action = {.sa_handler = handler};
    char line[8];
    fill_params(shadow);
    CHECK(chdir(directory) == 0);
    CHECK(getcwd(hijack_params.directory, sizeof hijack_params.directory));
    find_scene(scene)->set();
    sigfillset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    CHECK(sigaction(63, &action, NULL) == 0);
    long pid = hijack_start_shadow();
    CHECK(pid > 0);
    printf("app %d shadow %ld\n", getpid(), pid);
    fflush(stdout);
    while (read(0, line, sizeof line) > 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (executes)
            execlp("cat", "cat", (char *)NULL);
    }
    return 0;
}

static int locked(const char *path)
{
    static const char *const names[] = {"none", "posix", "flock", "both"};
    puts(names[lock_is_taken(path, 1) | lock_is_taken(path, 0) << 1]);
    return 0;
}

/* --- back --- */

static char *read_image(const char *path, size_t *size)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && fstat(fd, &st) == 0 && (size_t)st.st_size > sizeof hijack_params);
    char *bytes = malloc((size_t)st.st_size);
    CHECK(read(fd, bytes, (size_t)st.st_size) == st.st_size);
    close(fd);
    memcpy(&hijack_params, bytes, sizeof hijack_params);
    *size = (size_t)st.st_size - sizeof hijack_params;
    return bytes + sizeof hijack_params;
}

static int stay, abandon;

static void parse(int argc, char **argv, struct starter_fds_options *o, const char **named)
{
    for (int i = 0; i < argc; i++) {
        if (!strcmp(argv[i], "--fd"))
            named[o->named_count++] = argv[++i];
        else if (!strcmp(argv[i], "--shadow"))
            o->shadow = argv[++i];
        else if (!strcmp(argv[i], "--rollback-files"))
            o->rollback = 1;
        else if (!strcmp(argv[i], "--accept-changed-files"))
            o->accept_changed = 1;
        else if (!strcmp(argv[i], "--copy"))
            o->copy = 1;
        else if (!strcmp(argv[i], "--stay"))
            stay = 1;
        else if (!strcmp(argv[i], "--abandon"))
            abandon = 1;
    }
    o->named = named;
}

static void wait_for_line(void)
{
    char line[8];
    printf("back %d\n", getpid());
    fflush(stdout);
    while (read(0, line, sizeof line) < 0)
        CHECK(errno == EINTR);
}

static int back(const char *scene, const char *image, int argc, char **argv)
{
    static char error[8192], answer[8192];
    const char *named[16];
    size_t size;
    int kept = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    int *keep[] = {&kept};
    struct starter_fds_options o = {.params = &hijack_params, .keep = keep, .keep_count = 1};
    struct starter_fds_session session;
    char *note = read_image(image, &size);
    parse(argc, argv, &o, named);
    int result = starter_fds_restore(&o, note, size, &session, error, sizeof error);
    if (result) {
        fprintf(stderr, "refused: %s\n", error);
        return 1;
    }
    if (session.warning[0])
        fprintf(stderr, "warning: %s\n", session.warning);
    if (abandon)
        return 0;
    CHECK(kept >= session.floor && close(kept) == 0);
    if (session.connection >= 0) {
        CHECK(session.connection >= session.floor);
        CHECK(write(session.connection, session.done, session.done_size) ==
              (ssize_t)session.done_size);
        CHECK(read(session.connection, answer, sizeof answer) > 0);
        close(session.connection);
    }
    CHECK(fcntl(session.floor, F_GETFD) < 0);
    find_scene(scene)->check();
    if (stay) {
        struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
        sigfillset(&action.sa_mask);
        sigaction(63, &action, NULL);
        wait_for_line();
    }
    fprintf(stderr, "all there%s\n", session.connection >= 0 ? ", from the shadow" : "");
    return 0;
}

int main(int argc, char **argv)
{
    close_range(3, ~0u, 0); /* whatever the test's shell left open */
    if (argc == 4 && !strcmp(argv[1], "spawn"))
        return spawn(atoi(argv[2]), argv[3]);
    if (argc == 3 && !strcmp(argv[1], "refused")) {
        if (getpid() != 1)
            prctl(PR_SET_CHILD_SUBREAPER, 1);
        fill_params(argv[2]);
        printf("%s\n", strerrorname_np((int)-hijack_start_shadow()));
        return 0;
    }
    if (argc == 3 && !strcmp(argv[1], "locked"))
        return locked(argv[2]);
    if (argc == 5 && !strcmp(argv[1], "app"))
        return app(argv[2], argv[3], argv[4]);
    if (argc >= 4 && !strcmp(argv[1], "back"))
        return back(argv[2], argv[3], argc - 4, argv + 4);
    return 2;
}
