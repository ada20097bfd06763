/*
 * descriptors.c - one of every kind of descriptor, set up once and used at the end.
 *
 * Regular file with an offset shared by dup and another open of it, unlinked file, pipes and a
 * socket to another process, eventfd, timerfd, epoll set, /dev/null, directory, record lock and
 * flock. The other process is the parent: it answers on the pipe and the socket, tries the locks
 * when asked to, and appends "end of file on ..." to the file DIRECTORY/peer when an end closes.
 * The child is the program under test, its process id is in $READY. Usage: descriptors DIRECTORY
 */
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include "tests/targets/target.h"

static int to_peer[2], from_peer[2], pair[2];
static const char *directory;

static const char *path(const char *file)
{
    static char name[2][4096];
    static int turn;

    turn = !turn;
    snprintf(name[turn], sizeof name[turn], "%s/%s", directory, file);
    return name[turn];
}

static int open_file(const char *file, int flags)
{
    int fd = open(path(file), flags, 0600);

    if (fd < 0)
        cannot(file);
    return fd;
}

/* --- the peer --- */

static void report(const char *text)
{
    int fd = open_file("peer", O_WRONLY | O_CREAT | O_APPEND);

    if (write(fd, text, strlen(text)) < 0)
        cannot("peer");
    close(fd);
}

/* 'b': both locks are held by somebody else; 'f', 'r': flock or record lock is free. */
static char try_locks(void)
{
    int flocked = open_file("flock", O_RDWR), recorded = open_file("record", O_RDWR);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5};
    int flock_held = flock(flocked, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    int record_held = fcntl(recorded, F_SETLK, &lock) < 0 && (errno == EAGAIN || errno == EACCES);

    close(flocked);
    close(recorded);
    return flock_held && record_held ? 'b' : record_held ? 'f' : 'r';
}

static int answer(int from, int to, const char *what)
{
    char text[64], byte;

    if (read(from, &byte, 1) != 1) {
        snprintf(text, sizeof text, "end of file on %s\n", what);
        report(text);
        return 0;
    }
    if (byte == '?')
        byte = try_locks();
    if (write(to, &byte, 1) != 1)
        report("an answer was refused\n");
    return 1;
}

/* Lives until the program under test, wherever it is, has closed both. */
static int serve(void)
{
    struct pollfd fd[2] = {{to_peer[0], POLLIN, 0}, {pair[1], POLLIN, 0}};

    signal(SIGPIPE, SIG_IGN);
    close(to_peer[1]);
    close(from_peer[0]);
    close(pair[0]);
    while (fd[0].fd >= 0 || fd[1].fd >= 0) {
        if (poll(fd, 2, -1) < 0)
            cannot("poll");
        if (fd[0].revents && !answer(to_peer[0], from_peer[1], "the pipe"))
            fd[0].fd = -1;
        if (fd[1].revents && !answer(pair[1], pair[1], "the socket"))
            fd[1].fd = -1;
    }
    return 0;
}

/* --- the program under test --- */

static struct {
    int file, dup, other, unlinked, event, timer, epoll, null, dir, flock, record, cloexec;
} fd;

static void open_files(void)
{
    fd.file = open_file("file", O_RDWR | O_CREAT | O_TRUNC);
    if (write(fd.file, "0123456789abcdefghij", 20) != 20 || lseek(fd.file, 5, SEEK_SET) != 5)
        cannot("file");
    fd.dup = dup(fd.file);
    fd.other = open_file("file", O_RDONLY);
    lseek(fd.other, 12, SEEK_SET);
    fd.unlinked = open_file("unlinked", O_RDWR | O_CREAT | O_TRUNC);
    if (write(fd.unlinked, "still there", 11) != 11 || unlink(path("unlinked")))
        cannot("unlinked file");
    fd.null = open("/dev/null", O_WRONLY);
    fd.dir = open_file(".", O_RDONLY | O_DIRECTORY);
    fd.cloexec = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void take_locks(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5};

    fd.flock = open_file("flock", O_RDWR | O_CREAT);
    fd.record = open_file("record", O_RDWR | O_CREAT);
    if (flock(fd.flock, LOCK_EX) || fcntl(fd.record, F_SETLK, &lock))
        cannot("locks");
}

static void make_events(void)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 4711};
    struct itimerspec later = {{7, 0}, {5000, 0}};

    fd.event = eventfd(42, EFD_NONBLOCK);
    fd.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    fd.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (fd.event < 0 || fd.timer < 0 || timerfd_settime(fd.timer, 0, &later, NULL) ||
        fd.epoll < 0 || epoll_ctl(fd.epoll, EPOLL_CTL_ADD, fd.event, &event))
        cannot("events");
}

static void check_byte(int from, char expected, const char *what)
{
    char byte = 0;
    ssize_t got = read(from, &byte, 1);

    CHECK(got == 1 && byte == expected, "%s: read %zd, '%c' instead of '%c'%s%s", what, got,
          byte ? byte : '-', expected, got < 0 ? ": " : "", got < 0 ? strerror(errno) : "");
}

static void check_files(void)
{
    struct stat status;
    char text[12] = "";

    check_byte(fd.file, '5', "file");
    check_byte(fd.dup, '6', "the dup of file, which shares its offset");
    check_byte(fd.file, '7', "file again");
    check_byte(fd.other, 'c', "the other open of file");
    CHECK(pread(fd.unlinked, text, 11, 0) == 11 && !strcmp(text, "still there"),
          "unlinked file: \"%s\"", text);
    CHECK(!fstat(fd.unlinked, &status) && status.st_nlink == 0, "unlinked file: %ld links",
          (long)status.st_nlink);
    CHECK(write(fd.null, "x", 1) == 1, "/dev/null: %s", strerror(errno));
    CHECK(faccessat(fd.dir, "flock", F_OK, 0) == 0, "directory: %s", strerror(errno));
    CHECK(fcntl(fd.cloexec, F_GETFD) == FD_CLOEXEC, "close-on-exec: %d",
          fcntl(fd.cloexec, F_GETFD));
    CHECK((fcntl(fd.file, F_GETFL) & O_ACCMODE) == O_RDWR, "file: flags %#x",
          (unsigned)fcntl(fd.file, F_GETFL));
}

static void ask(int to, int from, char question, char expected, const char *what)
{
    CHECK(write(to, &question, 1) == 1, "%s: write: %s", what, strerror(errno));
    check_byte(from, expected, what);
}

static void check_peers(void)
{
    ask(to_peer[1], from_peer[0], 'p', 'p', "pipes");
    ask(pair[0], pair[0], 's', 's', "socket");
    ask(pair[0], pair[0], '?', 'b', "locks (b: both held, f: flock free, r: record lock free)");
}

static void check_events(void)
{
    struct epoll_event event = {0};
    struct itimerspec left;
    uint64_t count = 0;

    CHECK(epoll_wait(fd.epoll, &event, 1, 0) == 1 && event.data.u64 == 4711, "epoll set: %s",
          strerror(errno));
    CHECK(read(fd.event, &count, sizeof count) == sizeof count && count == 42, "eventfd: %lu",
          (unsigned long)count);
    CHECK(epoll_wait(fd.epoll, &event, 1, 0) == 0, "epoll set: an event too many");
    CHECK(!timerfd_gettime(fd.timer, &left) && left.it_interval.tv_sec == 7 &&
              left.it_value.tv_sec > 4900 && left.it_value.tv_sec <= 5000,
          "timerfd: %ld s left, every %ld s", (long)left.it_value.tv_sec,
          (long)left.it_interval.tv_sec);
}

static int test(void)
{
    signal(SIGPIPE, SIG_IGN);
    close(to_peer[0]);
    close(from_peer[1]);
    close(pair[1]);
    open_files();
    take_locks();
    make_events();
    ready();
    do
        rest(5);
    while (!stop_asked());
    check_files();
    check_peers();
    check_events();
    return finish();
}

int main(int argc, char **argv)
{
    int status;
    pid_t child;

    directory = argc > 1 ? argv[1] : "/tmp";
    if (pipe(to_peer) || pipe(from_peer) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ||
        (child = fork()) < 0)
        cannot("peer");
    if (!child)
        return test();
    serve();
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
