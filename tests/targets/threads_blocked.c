/*
 * threads_blocked.c - a thread in each call that blocks; an EINTR or an early return in any of them
 * is the failure.
 *
 * Usage: threads_blocked [checkpointed]. With the argument, without the call that the C library's
 * syscall() makes: musl's returns EINTR when a checkpoint interrupts it. The first thread watches
 * for $STOP; then it does what ends each call, and joins. The calls that only a signal ends get one
 * that is sent to their thread.
 */
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "tests/targets/target.h"

#define FOREVER 100000 /* seconds */

static int pipe_end[2], pair[2], listener, epoll, semaphores, queue, futex_word, locked[2];
static struct sockaddr_un name = {.sun_family = AF_UNIX};
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, held = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t semaphore;
static volatile int ending; /* from now on calls may end */
static __thread volatile int woken;

static void on_wake(int signal)
{
    (void)signal;
    woken = 1;
}

static const struct timespec forever = {FOREVER, 0};

static struct timespec far_away(clockid_t clock)
{
    struct timespec until;

    clock_gettime(clock, &until);
    until.tv_sec += FOREVER;
    return until;
}

static int interrupted(long result)
{
    return result < 0 && errno == EINTR && woken;
}

/* --- the calls: 1 when they ended as they should --- */

static int call_read(void)
{
    char byte;

    return read(pipe_end[0], &byte, 0) == 0 && recv(pair[0], &byte, 1, MSG_PEEK) == 1;
}

static int call_receive(void)
{
    char byte;

    return recvfrom(pair[0], &byte, 1, MSG_PEEK, NULL, NULL) == 1;
}

static int call_accept(void)
{
    return accept(listener, NULL, NULL) >= 0;
}

static int call_poll(void)
{
    struct pollfd fd = {pipe_end[0], POLLIN, 0};

    return poll(&fd, 1, FOREVER * 1000) == 1;
}

static int call_ppoll(void)
{
    struct pollfd fd = {pipe_end[0], POLLIN, 0};
    sigset_t none;

    sigemptyset(&none);
    return ppoll(&fd, 1, &forever, &none) == 1;
}

static int call_select(void)
{
    fd_set set;

    FD_ZERO(&set);
    FD_SET(pipe_end[0], &set);
    return select(pipe_end[0] + 1, &set, NULL, NULL, NULL) == 1;
}

static int call_epoll_wait(void)
{
    struct epoll_event event;

    return epoll_wait(epoll, &event, 1, -1) == 1;
}

static int call_epoll_pwait(void)
{
    struct epoll_event event;
    sigset_t none;

    sigemptyset(&none);
    return epoll_pwait(epoll, &event, 1, FOREVER * 1000, &none) == 1;
}

static int call_semop(void)
{
    struct sembuf down = {0, -1, 0};

    return semop(semaphores, &down, 1) == 0;
}

static int call_semtimedop(void)
{
    struct sembuf down = {1, -1, 0};

    return semtimedop(semaphores, &down, 1, &forever) == 0;
}

static int call_msgrcv(void)
{
    struct {
        long type;
        char byte;
    } message;

    return msgrcv(queue, &message, 1, 0, 0) == 1;
}

static int call_flock(void)
{
    return flock(locked[1], LOCK_EX) == 0;
}

static int call_nanosleep(void)
{
    return interrupted(nanosleep(&forever, NULL));
}

static int call_clock_nanosleep(void)
{
    struct timespec until = far_away(CLOCK_MONOTONIC);

    errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    return interrupted(-errno);
}

static int call_futex(void)
{
    return interrupted(
        syscall(SYS_futex, &futex_word, 128 /* FUTEX_WAIT_PRIVATE */, 0, &forever, NULL, 0));
}

static int call_pause(void)
{
    return interrupted(pause());
}

static int call_sigsuspend(void)
{
    sigset_t none;

    sigemptyset(&none);
    return interrupted(sigsuspend(&none));
}

static int call_sigtimedwait(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    return sigtimedwait(&set, NULL, &forever) == SIGUSR2;
}

static int call_mutex(void)
{
    return !pthread_mutex_lock(&held) && !pthread_mutex_unlock(&held);
}

static int call_condition(void)
{
    pthread_mutex_lock(&mutex);
    while (!ending)
        pthread_cond_wait(&condition, &mutex);
    return !pthread_mutex_unlock(&mutex);
}

static int call_timed_condition(void)
{
    struct timespec until = far_away(CLOCK_REALTIME);
    int error = 0;

    pthread_mutex_lock(&mutex);
    while (!ending && !error)
        error = pthread_cond_timedwait(&condition, &mutex, &until);
    return !pthread_mutex_unlock(&mutex) && !error;
}

static int call_rwlock(void)
{
    return !pthread_rwlock_rdlock(&lock) && !pthread_rwlock_unlock(&lock);
}

static int call_barrier(void)
{
    int result = pthread_barrier_wait(&barrier);

    return !result || result == PTHREAD_BARRIER_SERIAL_THREAD;
}

static int call_semaphore(void)
{
    return sem_wait(&semaphore) == 0;
}

static int call_timed_semaphore(void)
{
    struct timespec until = far_away(CLOCK_REALTIME);

    return sem_timedwait(&semaphore, &until) == 0;
}

static struct call {
    const char *name;
    int (*call)(void);
    int signal;    /* ends it; 0: something else does */
    int by_number; /* by syscall() */
    pthread_t thread;
} calls[] = {
    {"read", call_read, 0, 0, 0},
    {"recv with SO_RCVTIMEO", call_receive, 0, 0, 0},
    {"accept", call_accept, 0, 0, 0},
    {"poll", call_poll, 0, 0, 0},
    {"ppoll", call_ppoll, 0, 0, 0},
    {"select", call_select, 0, 0, 0},
    {"epoll_wait", call_epoll_wait, 0, 0, 0},
    {"epoll_pwait", call_epoll_pwait, 0, 0, 0},
    {"semop", call_semop, 0, 0, 0},
    {"semtimedop", call_semtimedop, 0, 0, 0},
    {"msgrcv", call_msgrcv, 0, 0, 0},
    {"flock", call_flock, 0, 0, 0},
    {"nanosleep", call_nanosleep, SIGUSR1, 0, 0},
    {"clock_nanosleep", call_clock_nanosleep, SIGUSR1, 0, 0},
    {"futex", call_futex, SIGUSR1, 1, 0},
    {"pause", call_pause, SIGUSR1, 0, 0},
    {"sigsuspend", call_sigsuspend, SIGUSR1, 0, 0},
    {"sigtimedwait", call_sigtimedwait, SIGUSR2, 0, 0},
    {"pthread_mutex_lock", call_mutex, 0, 0, 0},
    {"pthread_cond_wait", call_condition, 0, 0, 0},
    {"pthread_cond_timedwait", call_timed_condition, 0, 0, 0},
    {"pthread_rwlock_rdlock", call_rwlock, 0, 0, 0},
    {"pthread_barrier_wait", call_barrier, 0, 0, 0},
    {"sem_wait", call_semaphore, 0, 0, 0},
    {"sem_timedwait", call_timed_semaphore, 0, 0, 0},
};
#define CALLS (sizeof calls / sizeof *calls)

static void *run(void *argument)
{
    const struct call *c = argument;
    int right = c->call(), saved = errno;

    if (!ending || !right)
        differs("%s: %s: %s", c->name, ending ? "wrong result" : "returned early", strerror(saved));
    return NULL;
}

/* --- set-up, and the end --- */

static void make_descriptors(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    struct timeval limit = {FOREVER, 0};

    if (pipe(pipe_end) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ||
        setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) ||
        (epoll = epoll_create1(0)) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, pipe_end[0], &event))
        cannot("descriptors");
    snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "hijack-threads-%d", (int)getpid());
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&name, sizeof name) ||
        listen(listener, 1))
        cannot("listen");
    for (int i = 0; i < 2; i++)
        locked[i] = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (flock(locked[0], LOCK_EX | LOCK_NB))
        cannot("flock");
}

static void make_objects(void)
{
    struct sigaction wake = {.sa_handler = on_wake};
    sigset_t set;

    make_descriptors();
    if ((semaphores = semget(IPC_PRIVATE, 2, 0600)) < 0 ||
        (queue = msgget(IPC_PRIVATE, 0600)) < 0 || pthread_barrier_init(&barrier, NULL, 2) ||
        sem_init(&semaphore, 0, 0))
        cannot("objects");
    pthread_mutex_lock(&held);
    pthread_rwlock_wrlock(&lock);
    sigaction(SIGUSR1, &wake, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void end_calls(void)
{
    struct sembuf up[2] = {{0, 1, 0}, {1, 1, 0}};
    struct {
        long type;
        char byte;
    } message = {1, 'x'};
    int s = socket(AF_UNIX, SOCK_STREAM, 0);

    CHECK(write(pipe_end[1], "x", 1) == 1 && send(pair[1], "x", 1, 0) == 1 &&
              !connect(s, (struct sockaddr *)&name, sizeof name) && !semop(semaphores, up, 2) &&
              !msgsnd(queue, &message, 1, 0) && !flock(locked[0], LOCK_UN),
          "cannot end the calls: %s", strerror(errno));
    pthread_mutex_unlock(&held);
    pthread_rwlock_unlock(&lock);
    pthread_cond_broadcast(&condition);
    pthread_barrier_wait(&barrier);
    sem_post(&semaphore);
    sem_post(&semaphore);
}

int main(int argc, char **argv)
{
    (void)argv;
    make_objects();
    for (size_t i = 0; i < CALLS; i++)
        if (!(argc > 1 && calls[i].by_number) &&
            pthread_create(&calls[i].thread, NULL, run, &calls[i]))
            cannot(calls[i].name);
    rest(
        100); /* for the threads to block: they might as well not, the check would only be weaker */
    ready();
    while (!stop_asked())
        rest(5);
    pthread_mutex_lock(&mutex);
    ending = 1;
    pthread_mutex_unlock(&mutex);
    end_calls();
    for (size_t i = 0; i < CALLS; i++) {
        if (argc > 1 && calls[i].by_number)
            continue;
        if (calls[i].signal)
            pthread_kill(calls[i].thread, calls[i].signal);
        pthread_join(calls[i].thread, NULL);
    }
    semctl(semaphores, 0, IPC_RMID);
    msgctl(queue, IPC_RMID, NULL);
    return finish();
}
