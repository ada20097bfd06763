/*
 * late.c - has a handler of SIGUSR1 that takes a second, in its first thread; a second thread is
 * there to be served instead.
 *
 * Stopped with such a signal to come, the first thread goes back to where it was stopped, but much
 * later. Says at the end how many came.
 */
#include <pthread.h>
#include <signal.h>

#include "tests/targets/target.h"

static volatile long came;

static void take_long(int signal)
{
    int saved = errno;
    (void)signal;
    rest(1000);
    came++;
    errno = saved;
}

static void *live(void *unused)
{
    (void)unused;
    for (;;)
        rest(5);
    return NULL;
}

int main(void)
{
    struct sigaction action = {.sa_handler = take_long, .sa_flags = SA_RESTART};
    sigset_t one;
    pthread_t thread;

    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    if (sigprocmask(SIG_BLOCK, &one, NULL) || pthread_create(&thread, NULL, live, NULL) ||
        sigprocmask(SIG_UNBLOCK, &one, NULL) || sigaction(SIGUSR1, &action, NULL))
        cannot("a thread and a handler");
    ready();
    do
        rest(5);
    while (!stop_asked());
    printf("%ld signals\n", came);
    return finish();
}
