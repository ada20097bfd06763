/* descriptor.c - descriptors themselves, and those that are no files: pipes, counters, timers,
 * signals, watches, processes. */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include "surface.h"

static void duplicates(void)
{
    int fd = make_file("file", "0123456789", 10);
    CALL(dup, fd);
    CALL(dup, -1);
    CALL(dup2, fd, 20);
    CALL(dup2, fd, fd);
    CALL(dup2, -1, 21);
    CALL(dup2, -1, -1);
    CALL(dup2, fd, -1);
    CALL(dup2, fd, 1 << 20);
    CALL(dup3, fd, 22, O_CLOEXEC);
    CALL(fcntl, 22, F_GETFD);
    CALL(dup3, fd, fd, 0);
    CALL(dup3, fd, 23, 77);
    CALL(dup3, fd, -1, 0);
    CALL(fcntl, fd, F_DUPFD, 30);
    CALL(fcntl, fd, F_DUPFD_CLOEXEC, 30);
    CALL(fcntl, fd, F_DUPFD, -1);
    CALL(fcntl, fd, F_DUPFD, 1 << 20);
    CALL(lseek, 20, 4, SEEK_SET);
    CALL(read, 22, other, 2);
    show_bytes("shared offset", other, 2);
    CALL(close, 22);
    CALL(close, 22);
    CALL(close, -1);
    CALL(close_range, 20, 29, 0);
    CALL(read, 20, other, 2);
    CALL(close_range, 30, 31, 4 /* CLOSE_RANGE_CLOEXEC */);
    CALL(fcntl, 30, F_GETFD);
    CALL(close_range, 31, 30, 0);
    CALL(close_range, 30, 31, 77);
    CALL(close_range, 30, ~0u, 0);
    CALL(read, 30, other, 2);
    CALL(dup, fd);
    CALL(kcmp, getpid(), getpid(), 0 /* KCMP_FILE */, fd, fd);
    CALL(kcmp, getpid(), getpid(), 99, fd, fd);
    CALL(kcmp, getpid(), getpid(), 0, fd, 999);
}

static void limits(void)
{
    struct rlimit old, new, back;
    int fd = make_file("file", "", 0);
    CALL(prlimit64, 0, RLIMIT_NOFILE, NULL, &old);
    new = (struct rlimit){40, old.rlim_max};
    CALL(prlimit64, getpid(), RLIMIT_NOFILE, &new, &back);
    show("    as before %d", back.rlim_cur == old.rlim_cur && back.rlim_max == old.rlim_max);
    CALL(dup2, fd, 39);
    CALL(dup2, fd, 40);
    CALL(fcntl, fd, F_DUPFD, 39);
    CALL(fcntl, fd, F_DUPFD, 40);
    CALL(getrlimit, RLIMIT_NOFILE, &back);
    show("    %ld", (long)back.rlim_cur);
    new.rlim_cur = new.rlim_max + 1;
    CALL(setrlimit, RLIMIT_NOFILE, &new);
    CALL(prlimit64, 0, 99, NULL, &old);
    CALL(prlimit64, 0, RLIMIT_NOFILE, BAD, NULL);
    CALL(prlimit64, 0, RLIMIT_NOFILE, NULL, BAD);
    CALL(prlimit64, 999999, RLIMIT_NOFILE, NULL, &old);
    CALL(setrlimit, RLIMIT_NOFILE, &old);
    CALL(setrlimit, RLIMIT_NOFILE, BAD);
    CALL(prlimit64, 0, RLIMIT_CORE, NULL, &old);
    CALL(setrlimit, RLIMIT_CORE, &old);
}

static volatile int too_large;
static void on_size(int signal_number)
{
    (void)signal_number;
    too_large++;
}

/* What the program prints must fit within. */
#define LEAST (8 << 20)

static void size_limit(void)
{
    struct rlimit old, new;
    int fd = make_file("file", "", 0);
    getrlimit(RLIMIT_FSIZE, &old);
    new = (struct rlimit){LEAST, old.rlim_max};
    signal(SIGXFSZ, on_size);
    too_large = 0;
    CALL(setrlimit, RLIMIT_FSIZE, &new);
    CALL(pwrite64, fd, big, 20, LEAST - 10);
    show("    signals %d", too_large);
    CALL(pwrite64, fd, big, 20, LEAST);
    show("    signals %d", too_large);
    CALL(ftruncate, fd, LEAST + 1);
    show("    signals %d", too_large);
    CALL(truncate, "file", LEAST + 1);
    CALL(fallocate, fd, 0, LEAST, 2000);
    show("    signals %d", too_large);
    signal(SIGXFSZ, SIG_IGN);
    CALL(pwrite64, fd, big, BIG, LEAST - 600000);
    CALL(pwrite64, fd, big, BIG, LEAST);
    CALL(prlimit64, 0, RLIMIT_FSIZE, &old, NULL);
    CALL(pwrite64, fd, big, 20, LEAST);
    signal(SIGXFSZ, SIG_DFL);
}

static volatile int broken;
static void on_pipe(int signal_number)
{
    (void)signal_number;
    broken++;
}

static void pipes(void)
{
    int ends[2] = {-1, -1};
    struct iovec one = {other, 1};
    CALL(pipe, ends);
    show("    ends %d %d", ends[0], ends[1]);
    CALL(pipe, BAD);
    CALL(pipe2, ends, O_CLOEXEC | O_NONBLOCK);
    show("    ends %d %d", ends[0], ends[1]);
    CALL(pipe2, ends, 1 << 30);
    CALL(pipe2, NULL, 0);
    CALL(fcntl, ends[0], F_GETFD);
    CALL(fcntl, ends[0], F_GETFL);
    CALL(read, ends[0], other, 1);
    CALL(close, ends[0]);
    signal(SIGPIPE, on_pipe);
    broken = 0;
    CALL(write, ends[1], "x", 1);
    show("    signals %d", broken);
    CALL(writev, ends[1], &one, 1);
    show("    signals %d", broken);
    signal(SIGPIPE, SIG_IGN);
    CALL(write, ends[1], "x", 1);
    show("    signals %d", broken);
}

static void counters(void)
{
    uint64_t value = 3;
    int fd = CALL(eventfd2, 5, EFD_NONBLOCK);
    CALL(write, fd, &value, 8);
    CALL(read, fd, &value, 8);
    show("    %ld", (long)value);
    CALL(read, fd, &value, 8);
    CALL(write, fd, &value, 4);
    CALL(read, fd, &value, 4);
    value = ~0ull;
    CALL(write, fd, &value, 8);
    CALL(eventfd, 1);
    CALL(eventfd2, 1, 77777);
    fd = CALL(eventfd2, 2, EFD_SEMAPHORE);
    CALL(read, fd, &value, 8);
    show("    %ld", (long)value);
    fd = CALL(memfd_create, "memory", 3 /* MFD_CLOEXEC | MFD_ALLOW_SEALING */);
    CALL(write, fd, "0123456789", 10);
    CALL(fcntl, fd, 1024 + 9 /* F_ADD_SEALS */, 8 /* F_SEAL_WRITE */);
    CALL(write, fd, "x", 1);
    CALL(fcntl, fd, 1024 + 10);
    CALL(memfd_create, BAD, 0);
    CALL(memfd_create, "memory", 77777);
}

static void timers(void)
{
    struct itimerspec soon = {{0, 0}, {0, 1}}, later = {{7, 0}, {1000, 0}}, now = {{9, 9}, {9, 9}};
    uint64_t count = 0;
    int fd = CALL(timerfd_create, CLOCK_MONOTONIC, 0);
    CALL(timerfd_settime, fd, 0, &later, NULL);
    CALL(timerfd_settime, fd, 0, &soon, &now);
    show("    every %ld, in %d", (long)now.it_interval.tv_sec, now.it_value.tv_sec > 900);
    CALL(read, fd, &count, 8);
    show("    %ld", (long)count);
    CALL(timerfd_gettime, fd, &now);
    show("    in %ld.%09ld", (long)now.it_value.tv_sec, now.it_value.tv_nsec);
    CALL(timerfd_gettime, fd, BAD);
    CALL(timerfd_gettime, 0, &now);
    CALL(timerfd_settime, fd, 0, BAD, NULL);
    CALL(timerfd_settime, fd, 0, NULL, NULL);
    CALL(timerfd_settime, fd, 0, &later, BAD);
    CALL(timerfd_settime, fd, 77, &later, NULL);
    soon.it_value.tv_nsec = 2000000000;
    CALL(timerfd_settime, fd, 0, &soon, NULL);
    CALL(timerfd_create, 99, 0);
    CALL(timerfd_create, CLOCK_REALTIME, 77777);
    CALL(timerfd_settime, -1, 0, &later, NULL);
}

/* A signal that the program sends itself arrives through its signalfd. */
static void signals(void)
{
    struct signalfd_siginfo info;
    uint64_t set = 1ull << (SIGUSR2 - 1), none = 0, old;
    CALL(rt_sigprocmask, SIG_BLOCK, &set, &old, 8);
    int fd = CALL(signalfd4, -1, &set, 8, O_NONBLOCK | O_CLOEXEC);
    CALL(read, fd, &info, sizeof info);
    CALL(kill, getpid(), SIGUSR2);
    memset(&info, 0, sizeof info);
    CALL(read, fd, &info, sizeof info);
    show("    signal %u, ours %d, code %d", info.ssi_signo, info.ssi_pid == (uint32_t)getpid(),
         info.ssi_code);
    CALL(read, fd, &info, sizeof info);
    CALL(read, fd, &info, 10);
    CALL(signalfd4, fd, &none, 8, 0);
    CALL(signalfd4, 0, &set, 8, 0);
    CALL(signalfd4, -1, &set, 7, 0);
    CALL(signalfd4, -1, BAD, 8, 0);
    CALL(signalfd4, -1, &set, 8, 77);
    CALL(signalfd, -1, &set, 8);
    CALL(signalfd, -1, BAD, 8);
    CALL(rt_sigprocmask, SIG_SETMASK, &old, NULL, 8);
}

static void show_events(const char *at, long size)
{
    for (long i = 0; i < size;) {
        const struct inotify_event *e = (const void *)(at + i);
        show("    watch %d, mask %x, cookie %d, name '%s'", e->wd, e->mask, e->cookie != 0,
             e->len ? e->name : "");
        i += (long)(sizeof *e + e->len);
    }
}

static void watches(void)
{
    int fd = CALL(inotify_init1, O_NONBLOCK),
        watch = CALL(inotify_add_watch, fd, ".", IN_ALL_EVENTS);
    CALL(inotify_init1, 77);
    CALL(inotify_init);
    CALL(inotify_add_watch, fd, "none", IN_MODIFY);
    CALL(inotify_add_watch, fd, BAD, IN_MODIFY);
    CALL(inotify_add_watch, fd, ".", 0);
    CALL(inotify_add_watch, 0, ".", IN_MODIFY);
    int file = CALL(open, "file", O_RDWR | O_CREAT, 0600);
    CALL(write, file, "x", 1);
    CALL(close, file);
    CALL(rename, "file", "moved");
    memset(other, 0, 4096);
    show_events((char *)other, SOME(read, fd, other, 4096));
    CALL(read, fd, other, 4096);
    CALL(inotify_rm_watch, fd, watch);
    CALL(inotify_rm_watch, fd, watch);
    CALL(inotify_rm_watch, -1, watch);
    CALL(read, fd, other, 3);
    show_events((char *)other, CALL(read, fd, other, 4096));
}

static void file_system_watches(void)
{
    int fd = CALL(fanotify_init, O_NONBLOCK, O_RDONLY);
    CALL(fanotify_init, 1u << 31, 0);
    CALL(fanotify_mark, fd, 1, 2 /* FAN_MODIFY */, AT_FDCWD, ".");
    CALL(fanotify_mark, fd, 1, 2, AT_FDCWD, "none");
    CALL(fanotify_mark, fd, 1, 2, AT_FDCWD, BAD);
    CALL(fanotify_mark, fd, 77, 2, AT_FDCWD, ".");
    CALL(fanotify_mark, -1, 1, 2, AT_FDCWD, ".");
    CALL(read, fd, other, 4096);
}

static void processes(void)
{
    int self = CALL(pidfd_open, getpid(), 0), fd = make_file("file", "0123456789", 10);
    CALL(pidfd_open, 999999, 0);
    CALL(pidfd_open, -1, 0);
    CALL(pidfd_open, getpid(), 77);
    int copy = CALL(pidfd_getfd, self, fd, 0);
    CALL(read, copy, other, 3);
    show_bytes("through the copy", other, 3);
    CALL(pidfd_getfd, self, 999, 0);
    CALL(pidfd_getfd, -1, fd, 0);
    CALL(pidfd_getfd, self, fd, 7);
    CALL(pidfd_send_signal, self, 0, NULL, 0);
    CALL(pidfd_send_signal, self, 99, NULL, 0);
    CALL(pidfd_send_signal, fd, 0, NULL, 0);
    CALL(pidfd_send_signal, self, 0, BAD, 0);
    CALL(pidfd_send_signal, -1, 0, NULL, 0);
}

const struct surface_case descriptor_cases[] = {
    {"duplicates", duplicates},
    {"limit of descriptors", limits},
    {"limit of file sizes", size_limit},
    {"pipes", pipes},
    {"eventfd, memfd", counters},
    {"timerfd", timers},
    {"signalfd", signals},
    {"inotify", watches},
    {"fanotify", file_system_watches},
    {"pidfd", processes},
    {NULL, NULL},
};
