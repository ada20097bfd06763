/* signal.c - signals: a handler ends a wait, or the wait begins again; masks that hold while one
 * waits; sending. The timer ticks every 5 ms, so that no order of events is a matter of luck: with
 * SA_RESTART it is the handler itself that, after some ticks, makes the wait end. */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/syscall.h>

#include "surface.h"

static int ends[2], locked, listener, queue_id, set_id;

static void send_byte(void)
{
    if (syscall(SYS_write, ends[1], "x", 1) != 1)
        show("send_byte");
}

static void take_bytes(void)
{
    if (syscall(SYS_read, ends[0], other, 65536) <= 0)
        show("take_bytes");
}

static void unlock(void)
{
    flock(locked, LOCK_UN);
    fcntl(locked, F_OFD_SETLK, &(struct flock){F_UNLCK, SEEK_SET, 0, 0, 0});
}

static void accept_one(void)
{
    close(accept(listener, NULL, NULL));
}

static void raise_semaphore(void)
{
    semop(set_id, &(struct sembuf){0, 1, 0}, 1);
}

static void send_message(void)
{
    struct {
        long type;
        char text[4];
    } message = {1, "abc"};
    msgsnd(queue_id, &message, 4, 0);
}

static void reading(void)
{
    char byte = 0;
    struct iovec part = {&byte, 1};
    if (pipe(ends))
        return;
    tick(0, NULL);
    CALL(read, ends[0], &byte, 1);
    CALL(readv, ends[0], &part, 1);
    CALL(splice, ends[0], NULL, ends[1], NULL, 1, 0);
    tick(SA_RESTART, send_byte);
    CALL(read, ends[0], &byte, 1);
    tick(SA_RESTART, send_byte);
    CALL(readv, ends[0], &part, 1);
    tick_end();
    show("    %c", byte);
}

static void writing(void)
{
    if (pipe(ends))
        return;
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    while (write(ends[1], big, 65536) > 0)
        ;
    fcntl(ends[1], F_SETFL, 0);
    tick(0, NULL);
    CALL(write, ends[1], big, 1);
    tick(SA_RESTART, take_bytes);
    CALL(write, ends[1], big, 1);
    tick(0, NULL); /* what was written before the signal counts */
    CALL(write, ends[1], big, 200000);
    tick_end();
}

static void locking(void)
{
    struct flock whole = {F_WRLCK, SEEK_SET, 0, 0, 0};
    locked = make_file("file", "0123456789", 10);
    int second = open("file", O_RDWR);
    flock(locked, LOCK_EX);
    tick(0, NULL);
    CALL(flock, second, LOCK_EX);
    tick(SA_RESTART, unlock);
    CALL(flock, second, LOCK_EX);
    flock(second, LOCK_UN);
    fcntl(locked, F_OFD_SETLK, &whole);
    tick(0, NULL);
    CALL(fcntl, second, F_OFD_SETLKW, &whole);
    CALL(fcntl, second, F_SETLKW, &whole);
    tick(SA_RESTART, unlock);
    CALL(fcntl, second, F_SETLKW, &whole);
    tick_end();
}

static void accepting(void)
{
    struct sockaddr_un name = {AF_UNIX, "door"};
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listener, (void *)&name, sizeof name) || listen(listener, 0))
        return;
    int client = socket(AF_UNIX, SOCK_STREAM, 0), more = socket(AF_UNIX, SOCK_STREAM, 0);
    tick(0, NULL);
    CALL(accept, listener, NULL, NULL);
    CALL(accept4, listener, NULL, NULL, 0);
    tick_end();
    CALL(connect, client, &name, sizeof name);
    tick(0, NULL);
    CALL(connect, more, &name, sizeof name);
    tick(SA_RESTART, accept_one);
    CALL(connect, more, &name, sizeof name);
    tick_end();
}

static void receiving(void)
{
    struct iovec part = {other, 10};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    struct mmsghdr several[2] = {{message, 0}, {message, 0}};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
        return;
    tick(0, NULL);
    CALL(recvfrom, ends[0], other, 10, 0, NULL, NULL);
    CALL(recvmsg, ends[0], &message, 0);
    CALL(recvmmsg, ends[0], several, 2, 0, NULL);
    tick(SA_RESTART, send_byte);
    CALL(recvfrom, ends[0], other, 10, 0, NULL, NULL);
    tick(SA_RESTART, send_byte);
    CALL(recvmsg, ends[0], &message, 0);
    const struct timeval limit = {0, 1000};
    tick_end();
    CALL(setsockopt, ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    CALL(recvfrom, ends[0], other, 10, 0, NULL, NULL);
}

/* These end with EINTR whatever the handler has (signal(7)). */
static void waiting(void)
{
    struct pollfd p = {-1, 0, 0};
    struct epoll_event event;
    struct timespec hour = {3600, 0};
    int q = epoll_create1(0);
    if (pipe(ends))
        return;
    tick(SA_RESTART, NULL);
    CALL(poll, &p, 1, -1);
    CALL(poll, &p, 1, 3600000);
    CALL(ppoll, &p, 1, &hour, NULL, 8);
    show("    left %d", hour.tv_sec == 3599);
    CALL(select, 0, NULL, NULL, NULL, NULL);
    CALL(pselect6, 0, NULL, NULL, NULL, NULL, NULL);
    CALL(epoll_wait, q, &event, 1, -1);
    CALL(epoll_pwait, q, &event, 1, -1, NULL, 8);
    CALL(epoll_pwait2, q, &event, 1, NULL, NULL, 8);
    CALL(nanosleep, &hour, NULL);
    CALL(clock_nanosleep, CLOCK_MONOTONIC, 0, &hour, NULL);
    CALL(pause);
    tick_end();
}

static void queues(void)
{
    struct {
        long type;
        char text[8];
    } message = {0};
    struct sembuf down = {0, -1, 0};
    queue_id = msgget(IPC_PRIVATE, 0600);
    set_id = semget(IPC_PRIVATE, 1, 0600);
    tick(SA_RESTART, NULL);
    CALL(msgrcv, queue_id, &message, 8, 0, 0);
    CALL(semop, set_id, &down, 1);
    CALL(semtimedop, set_id, &down, 1, NULL);
    tick_end();
    send_message();
    CALL(msgrcv, queue_id, &message, 8, 0, 0);
    raise_semaphore();
    CALL(semop, set_id, &down, 1);
    msgctl(queue_id, IPC_RMID, NULL);
    semctl(set_id, 0, IPC_RMID);
}

static volatile int handled;
static void on_user(int signal_number)
{
    handled += signal_number;
}

/* A signal that is blocked but not while one waits ends the wait at once. */
static void masks(void)
{
    uint64_t user = 1ull << (SIGUSR1 - 1), none = 0, old, now = 7;
    const uint64_t pair[2] = {(uintptr_t)&none, 8};
    const struct timespec hour = {3600, 0};
    struct epoll_event event;
    int q = epoll_create1(0);
    signal(SIGUSR1, on_user);
    handled = 0;
    CALL(rt_sigprocmask, SIG_BLOCK, &user, &old, 8);
    CALL(kill, getpid(), SIGUSR1);
    CALL(poll, NULL, 0, 1);
    CALL(rt_sigpending, &now, 8);
    show("    handled %d, pending %lx", handled, (long)now);
    CALL(pselect6, 0, NULL, NULL, NULL, NULL, pair);
    show("    handled %d", handled);
    CALL(kill, getpid(), SIGUSR1);
    CALL(ppoll, NULL, 0, NULL, &none, 8);
    show("    handled %d", handled);
    CALL(kill, getpid(), SIGUSR1);
    CALL(epoll_pwait, q, &event, 1, -1, &none, 8);
    show("    handled %d", handled);
    CALL(kill, getpid(), SIGUSR1);
    CALL(epoll_pwait2, q, &event, 1, &hour, &none, 8);
    show("    handled %d", handled);
    CALL(kill, getpid(), SIGUSR1);
    CALL(rt_sigsuspend, &none, 8);
    show("    handled %d", handled);
    CALL(rt_sigsuspend, &none, 7);
    CALL(rt_sigsuspend, BAD, 8);
    CALL(kill, getpid(), SIGUSR1);
    siginfo_t info;
    CALL(rt_sigtimedwait, &user, &info, NULL, 8);
    show("    signal %d, code %d, ours %d", info.si_signo, info.si_code, info.si_pid == getpid());
    CALL(rt_sigtimedwait, &user, &info, &(struct timespec){0}, 8);
    CALL(rt_sigprocmask, SIG_SETMASK, NULL, &now, 8);
    show("    mask %lx", (long)now);
    CALL(rt_sigprocmask, 99, &user, NULL, 8);
    CALL(rt_sigprocmask, SIG_BLOCK, &user, NULL, 7);
    CALL(rt_sigprocmask, SIG_BLOCK, BAD, NULL, 8);
    CALL(rt_sigprocmask, SIG_SETMASK, &old, BAD, 8);
    CALL(rt_sigprocmask, SIG_SETMASK, &old, NULL, 8);
    show("    handled %d", handled);
}

struct kernel_action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static void sending(void)
{
    struct kernel_action old;
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
    stack_t stack;
    signal(SIGUSR1, on_user);
    handled = 0;
    CALL(kill, getpid(), SIGUSR1);
    CALL(tkill, syscall(SYS_gettid), SIGUSR1);
    CALL(tgkill, getpid(), syscall(SYS_gettid), SIGUSR1);
    CALL(rt_sigqueueinfo, getpid(), SIGUSR1, &info);
    CALL(rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), SIGUSR1, &info);
    show("    handled %d", handled);
    CALL(kill, getpid(), 0);
    CALL(kill, getpid(), 99);
    CALL(kill, 999999, 0);
    CALL(kill, -999999, 0);
    CALL(tkill, 999999, 0);
    CALL(tkill, -1, 0);
    CALL(tgkill, getpid(), 999999, 0);
    CALL(tgkill, -1, 1, 0);
    CALL(rt_sigqueueinfo, getpid(), SIGUSR1, BAD);
    CALL(rt_sigqueueinfo, 999999, 0, &info);
    CALL(rt_tgsigqueueinfo, getpid(), 999999, 0, &info);
    CALL(rt_sigaction, SIGUSR1, NULL, &old, 8);
    show("    handler %d", old.handler == on_user);
    CALL(rt_sigaction, SIGKILL, NULL, &old, 8);
    CALL(rt_sigaction, SIGKILL, &old, NULL, 8);
    CALL(rt_sigaction, 99, NULL, &old, 8);
    CALL(rt_sigaction, SIGUSR1, BAD, NULL, 8);
    CALL(rt_sigaction, SIGUSR1, NULL, BAD, 8);
    CALL(rt_sigaction, SIGUSR1, NULL, &old, 7);
    CALL(sigaltstack, NULL, &stack);
    show("    flags %d", stack.ss_flags);
    CALL(sigaltstack, &(stack_t){.ss_flags = 99}, NULL);
    CALL(sigaltstack, BAD, NULL);
    CALL(sigaltstack, NULL, BAD);
}

const struct surface_case signal_cases[] = {
    {"a signal while reading", reading},
    {"a signal while writing", writing},
    {"a signal while locking", locking},
    {"a signal while accepting and connecting", accepting},
    {"a signal while receiving", receiving},
    {"a signal while waiting", waiting},
    {"a signal while waiting for a queue", queues},
    {"masks", masks},
    {"sending signals", sending},
    {NULL, NULL},
};
