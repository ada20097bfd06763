/*
 * ticker.c - gets a signal every millisecond, counts them against the clock, and never sees EINTR.
 *
 * A POSIX timer tells with each signal how many expirations it stands for (timer_getoverrun(2)), so
 * signals plus overruns equal the milliseconds that passed, however long the process was stopped;
 * one signal swallowed is one missing. The handler writes a byte into a pipe that the main loop
 * reads: with SA_RESTART the read must never fail.
 */
#include <signal.h>

#include "tests/targets/target.h"

#define PERIOD 0.001
#define SLACK  3 /* expirations at the two ends */

static volatile long signals, overruns, unwritten;
static timer_t timer;
static int tick[2];

static void on_tick(int signal)
{
    int saved = errno;

    (void)signal;
    signals++;
    overruns += timer_getoverrun(timer);
    if (write(tick[1], "", 1) != 1)
        unwritten++;
    errno = saved;
}

static void start(int signal)
{
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal};
    struct itimerspec period = {{0, 1000000}, {0, 1000000}};

    if (pipe(tick) || sigaction(signal, &action, NULL) ||
        timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &period, NULL))
        cannot("timer");
}

static void stop(int signal)
{
    static const struct itimerspec never;
    sigset_t mask;

    sigemptyset(&mask);
    sigaddset(&mask, signal);
    timer_settime(timer, 0, &never, NULL);
    sigprocmask(SIG_BLOCK, &mask, NULL);
}

int main(void)
{
    const int signal = SIGUSR1;
    double begun = seconds_now(), passed;
    long bytes = 0, expired;
    char byte;

    start(signal);
    ready();
    do {
        for (int n = 0; n < 20; n++) {
            ssize_t got = read(tick[0], &byte, 1);

            CHECK(got == 1, "read: %s", got ? strerror(errno) : "end of file");
            bytes += got == 1;
        }
    } while (!stop_asked());
    stop(signal);
    passed = seconds_now() - begun;
    expired = signals + overruns;
    CHECK((double)expired > passed / PERIOD - SLACK && (double)expired < passed / PERIOD + SLACK,
          "%.3f s passed, %ld expirations (%ld signals, %ld overruns)", passed, expired, signals,
          overruns);
    CHECK(!unwritten, "%ld writes failed in the handler", unwritten);
    CHECK(bytes <= signals && signals - bytes < 65536, "%ld signals, %ld bytes", signals, bytes);
    return finish();
}
