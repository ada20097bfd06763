/*
 * childless.c - has no children, and asks all the time: wait4 says ECHILD, and no SIGCHLD ever
 * comes.
 *
 * A shadow that shows as a child of the program it was forked off would be found here.
 */
#include <signal.h>
#include <sys/wait.h>

#include "tests/targets/target.h"

static volatile long announced;

static void on_child(int signal)
{
    (void)signal;
    announced++;
}

static void expect_none(int options, const char *what)
{
    int status;
    pid_t pid = waitpid(-1, &status, options);

    CHECK(pid == -1 && errno == ECHILD, "waitpid(%s): %d, status %#x, %s", what, (int)pid, status,
          strerror(errno));
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_child};

    if (sigaction(SIGCHLD, &action, NULL))
        cannot("sigaction");
    ready();
    do {
        for (int n = 0; n < 1000; n++) {
            expect_none(0, "0");
            expect_none(WNOHANG, "WNOHANG");
            expect_none(WNOHANG | __WALL, "WNOHANG | __WALL");
        }
    } while (!stop_asked());
    CHECK(!announced, "%ld SIGCHLDs", announced);
    return finish();
}
