/*
 * target.h - what every target program shares.
 *
 * The flow of a target is: set up state, ready(), do the work until stop_asked(), check *itself*,
 * finish(). Expectation and check stand in one file; a test only starts the program, does things to
 * it, creates the file $STOP and looks at the exit status: 0 and "OK", or 1 and one line on stderr
 * for each difference.
 *
 * $READY is created (with the process id in it) when the state is set up; both names survive a
 * restart as memory. Without $STOP a target runs for $ROUNDS rounds of its work (default 20), so it
 * can be tried by hand.
 */
#ifndef TARGETS_TARGET_H
#define TARGETS_TARGET_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int differences;

/* Says what is not as it should be, and goes on: one run shows every difference. */
__attribute__((format(printf, 1, 2), unused)) static void differs(const char *format, ...)
{
    va_list args;

    differences++;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            differs(__VA_ARGS__);                                                                  \
    } while (0)

/* A call of the set-up that failed: no statement about hijacking, hence a status of its own. */
__attribute__((noreturn, unused)) static void cannot(const char *what)
{
    fprintf(stderr, "cannot set up: %s: %s\n", what, strerror(errno));
    exit(99);
}

/* Announces that the state is set up. The name appears only when the process id is in the file. */
__attribute__((unused)) static void ready(void)
{
    const char *name = getenv("READY");
    char unfinished[4096];
    FILE *file;

    if (!name)
        return;
    snprintf(unfinished, sizeof unfinished, "%s.tmp", name);
    file = fopen(unfinished, "w");
    if (!file || fprintf(file, "%d\n", (int)getpid()) < 0 || fclose(file) ||
        rename(unfinished, name))
        cannot(name);
}

/* Is it time to check? Called once a round. */
__attribute__((unused)) static int stop_asked(void)
{
    static long round;
    const char *name = getenv("STOP"), *rounds = getenv("ROUNDS");

    if (name)
        return access(name, F_OK) == 0;
    return ++round > (rounds ? atol(rounds) : 20);
}

__attribute__((unused)) static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

__attribute__((unused)) static void rest(long milliseconds)
{
    struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000};

    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

__attribute__((unused)) static int finish(void)
{
    if (!differences)
        puts("OK");
    return differences ? 1 : 0;
}

#endif
