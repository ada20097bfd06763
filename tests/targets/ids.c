/*
 * ids.c - a program that has kept its process id and the ids of its threads: all of them, used in
 * every way, are what they were.
 *
 * Usage: ids [remote: without what its shadow's /proc says, and without a child]. In the end each
 * thread compares what it kept, signals itself and its neighbour by the numbers, and lets go of the
 * locks that it has held all the time; the last one dies with a robust one.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/targets/target.h"

enum { THREADS = 4, KINDS = 4 };
static const char *const kinds[KINDS] = {"error-checking", "recursive", "robust", "inheriting"};

static pid_t process;
static int remote;
static struct {
    pid_t tid;
    pthread_t thread;
    atomic_int signals;
    pthread_mutex_t held[KINDS];
} threads[THREADS];
static pthread_mutex_t left;
static pthread_barrier_t barrier;
static __thread int self;

static void on_signal(int signal)
{
    (void)signal;
    atomic_fetch_add(&threads[self].signals, 1);
}

static void make_mutex(pthread_mutex_t *mutex, int kind)
{
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_settype(&a, kind == 1 ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_ERRORCHECK);
    if (kind == 2)
        pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    if (kind == 3)
        pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(mutex, &a);
}

static void set_up(int number)
{
    self = number;
    threads[self].tid = (pid_t)syscall(SYS_gettid);
    threads[self].thread = pthread_self();
    for (int kind = 0; kind < KINDS; kind++) {
        make_mutex(&threads[self].held[kind], kind);
        pthread_mutex_lock(&threads[self].held[kind]);
    }
    if (self == THREADS - 1)
        pthread_mutex_lock(&left);
    pthread_barrier_wait(&barrier);
}

static void check_numbers(void)
{
    const pid_t tid = threads[self].tid;
    char path[64], link[32] = "";
    CHECK(getpid() == process, "process %d became %d", process, getpid());
    CHECK(syscall(SYS_gettid) == tid, "thread %d became %ld", tid, syscall(SYS_gettid));
    if (remote)
        return;
    snprintf(path, sizeof path, "/proc/self/task/%d", tid);
    CHECK(access(path, F_OK) == 0, "%s: %s", path, strerror(errno));
    CHECK(readlink("/proc/self", link, sizeof link - 1) > 0 && atoi(link) == process,
          "/proc/self is %s", link);
    CHECK(readlink("/proc/thread-self", path, sizeof path - 1) > 0, "no /proc/thread-self");
}

/* What the numbers mean to calls. */
static void check_calls(void)
{
    int pair[2];
    if (pipe(pair))
        cannot("pipe");
    CHECK(fcntl(pair[0], F_SETOWN, process) == 0, "F_SETOWN: %s", strerror(errno));
    CHECK(fcntl(pair[0], F_GETOWN) == process, "F_GETOWN: %d", fcntl(pair[0], F_GETOWN));
    CHECK(getpgid(process) == getpgrp(), "getpgid: %d, %d", getpgid(process), getpgrp());
    CHECK(getsid(process) == getsid(0), "getsid: %d, %d", getsid(process), getsid(0));
    CHECK(kill(process, 0) == 0, "kill: %s", strerror(errno));
    close(pair[0]);
    close(pair[1]);
}

static void check_signals(void)
{
    const int other = (self + 1) % THREADS;
    CHECK(raise(SIGUSR1) == 0, "raise: %s", strerror(errno));
    CHECK(syscall(SYS_tgkill, process, threads[self].tid, SIGUSR1) == 0, "tgkill: %s",
          strerror(errno));
    CHECK(atomic_load(&threads[self].signals) >= 2, "signals to itself did not come");
    CHECK(pthread_kill(threads[other].thread, SIGUSR1) == 0, "pthread_kill");
    CHECK(syscall(SYS_tgkill, process, threads[other].tid, SIGUSR1) == 0, "tgkill to %d: %s",
          threads[other].tid, strerror(errno));
}

static void check_locks(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        pthread_mutex_t *mutex = &threads[self].held[kind];
        int again = pthread_mutex_lock(mutex);
        CHECK(again == (kind == 1 ? 0 : EDEADLK), "%s mutex locked again: %s", kinds[kind],
              strerror(again));
        if (again == 0)
            pthread_mutex_unlock(mutex);
        CHECK(pthread_mutex_unlock(mutex) == 0, "%s mutex not unlocked", kinds[kind]);
    }
}

static void check_self(void)
{
    check_numbers();
    check_calls();
    check_signals();
    check_locks();
    pthread_barrier_wait(&barrier);
}

static void *work(void *argument)
{
    set_up((int)(long)argument);
    pthread_barrier_wait(&barrier); /* until all is to be checked */
    check_self();
    return NULL;
}

/* A child's parent is who the program says it is. */
static void check_child(void)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0)
        _exit(getppid() == process && getpid() != process ? 7 : 1);
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
              WEXITSTATUS(status) == 7,
          "a child does not see its parent: status 0x%x", (unsigned)status);
}

int main(int argc, char **argv)
{
    remote = argc > 1 && !strcmp(argv[1], "remote");
    process = getpid();
    signal(SIGUSR1, on_signal);
    pthread_barrier_init(&barrier, NULL, THREADS);
    make_mutex(&left, 2);
    for (long i = 1; i < THREADS; i++)
        if (pthread_create(&threads[i].thread, NULL, work, (void *)i))
            cannot("pthread_create");
    set_up(0);
    ready();
    while (!stop_asked())
        rest(5);
    pthread_barrier_wait(&barrier);
    check_self();
    for (int i = 1; i < THREADS; i++)
        pthread_join(threads[i].thread, NULL);
    CHECK(pthread_mutex_lock(&left) == EOWNERDEAD, "the robust mutex of an ended thread is lost");
    for (int i = 0; i < THREADS; i++)
        CHECK(atomic_load(&threads[i].signals) >= 2, "thread %d got %d signals", i,
              atomic_load(&threads[i].signals));
    if (!remote)
        check_child();
    return finish();
}
