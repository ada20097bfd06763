/*
 * leaver.c - waits in a read that only a signal ends: SIGUSR1, whose handler leaves it by longjmp.
 *
 * Says at the end how many came; whoever sent them knows whether one was lost. Stopped in the read
 * with such a signal to come, it does not go on where it was stopped.
 */
#include <setjmp.h>
#include <signal.h>

#include "tests/targets/target.h"

static volatile long came;
static sigjmp_buf out;

static void leave(int signal)
{
    (void)signal;
    came++;
    siglongjmp(out, 1);
}

int main(void)
{
    struct sigaction action = {.sa_handler = leave};
    sigset_t one;
    int ends[2];
    char byte;

    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    if (pipe(ends) || sigprocmask(SIG_BLOCK, &one, NULL) || sigaction(SIGUSR1, &action, NULL))
        cannot("a pipe and a handler");
    ready();
    do {
        if (!sigsetjmp(out, 1)) {
            sigprocmask(SIG_UNBLOCK, &one, NULL);
            CHECK(read(*ends, &byte, 1) < 0, "a byte came");
            differs("the read returned: %s", strerror(errno));
        }
    } while (!differences && !stop_asked());
    printf("%ld signals\n", came);
    return finish();
}
