/*
 * threads_signals.c - signals for single threads all the time: each thread gets all of its own,
 * none of another's, and SIGCONT, which a debugger sends to take a stop back, never comes.
 *
 * Usage: threads_signals. One thread spins, one sleeps, one raises SIGTRAP itself; the first thread
 * sends queued signals to the first two until $STOP exists.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "tests/targets/target.h"

enum { SPINNER, SLEEPER, TRAPPER, THREADS };

static volatile int stopping;
static atomic_long sent[THREADS], handled[THREADS], strays, continued;
static atomic_int started;
static __thread int self = -1;
static pid_t tids[THREADS];

static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    if (info->si_value.sival_int == self)
        atomic_fetch_add(&handled[self], 1);
    else
        atomic_fetch_add(&strays, 1);
}

static void on_trap(int signal)
{
    (void)signal;
    atomic_fetch_add(&handled[self], 1);
}

static void on_continue(int signal)
{
    (void)signal;
    atomic_fetch_add(&continued, 1);
}

static void begin(void *argument)
{
    self = (int)(long)argument;
    tids[self] = (pid_t)syscall(SYS_gettid);
    atomic_fetch_add(&started, 1);
}

static void *spin(void *argument)
{
    begin(argument);
    while (!stopping)
        ;
    return NULL;
}

static void *sleep_often(void *argument)
{
    begin(argument);
    while (!stopping)
        rest(1);
    return NULL;
}

static void *trap(void *argument)
{
    struct timespec pause = {0, 300000};

    begin(argument);
    while (!stopping) {
        atomic_fetch_add(&sent[self], 1);
        raise(SIGTRAP);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void set_handlers(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};

    sigaction(SIGRTMIN + 1, &action, NULL);
    action = (struct sigaction){.sa_handler = on_trap, .sa_flags = SA_RESTART};
    sigaction(SIGTRAP, &action, NULL);
    action.sa_handler = on_continue;
    sigaction(SIGCONT, &action, NULL);
}

/* pthread_sigqueue(), which musl does not have. */
static void send_to(int thread)
{
    siginfo_t info = {.si_code = SI_QUEUE};

    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_int = thread;
    if (!syscall(SYS_rt_tgsigqueueinfo, getpid(), tids[thread], SIGRTMIN + 1, &info))
        atomic_fetch_add(&sent[thread], 1); /* else the queue is full */
}

int main(void)
{
    static void *(*const work[THREADS])(void *) = {spin, sleep_often, trap};
    static const char *const names[THREADS] = {"spins", "sleeps", "raises SIGTRAP"};
    struct timespec pause = {0, 300000};
    pthread_t threads[THREADS];

    set_handlers();
    for (long i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work[i], (void *)i))
            cannot("pthread_create");
    while (started < THREADS)
        rest(1);
    ready();
    while (!stop_asked()) {
        send_to(SPINNER);
        send_to(SLEEPER);
        nanosleep(&pause, NULL);
    }
    stopping = 1;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        CHECK(handled[i] == sent[i], "the thread that %s: %ld signals sent, %ld handled", names[i],
              (long)sent[i], (long)handled[i]);
    }
    CHECK(!strays, "%ld signals came to another thread", (long)strays);
    CHECK(!continued, "SIGCONT came %ld times", (long)continued);
    return finish();
}
