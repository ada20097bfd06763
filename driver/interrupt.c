/* interrupt.c - see interrupt.h. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "driver/interrupt.h"

static volatile sig_atomic_t came;
static bool guarded, forgotten;

static void note(int number)
{
    came = number;
}

static void act(int number, void (*handler)(int))
{
    struct sigaction old, new = {.sa_handler = handler}; /* a wait for the user's word ends */
    if (sigaction(number, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
        sigaction(number, &new, NULL);
}

void interrupt_guard(void)
{
    static const int noted[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGTSTP, SIGTTOU};
    if (guarded)
        return;
    guarded = true;
    for (size_t i = 0; i < sizeof noted / sizeof *noted; i++)
        act(noted[i], note);
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        act(ignored[i], SIG_IGN);
}

int interrupt_check(struct failure *f)
{
    return came && !forgotten ? fail(f, -EINTR, "interrupted (%s)", strsignal(came)) : 0;
}

void interrupt_forget(void)
{
    forgotten = true;
}
