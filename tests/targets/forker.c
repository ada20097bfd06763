/*
 * forker.c - makes children all the time, in every way, and waits for each: none may be lost, none
 * may be a stranger, each must end as it was told to.
 *
 * Between two rounds it has no child for a moment. With $STOP, and not before 200 children, it says
 * on stdout how many there were.
 */
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "tests/targets/target.h"

extern char **environ;
static volatile int children; /* SIGCHLDs */

static void on_child(int signal)
{
    (void)signal;
    children++;
}

static int end_of(pid_t child)
{
    int status = -1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000;
}

static void make_with_fork(int n)
{
    pid_t child = fork();
    if (child == 0)
        _exit(n % 100);
    CHECK(child > 0 && end_of(child) == n % 100, "fork: round %d", n);
}

static void make_with_exec(int n)
{
    char number[16], *argv[] = {(char *)"sh", (char *)"-c", (char *)"exit $0", number, NULL};
    snprintf(number, sizeof number, "%d", n % 100);
    pid_t child = vfork();
    if (child == 0) {
        execv("/bin/sh", argv);
        _exit(127);
    }
    CHECK(child > 0 && end_of(child) == n % 100, "vfork and exec: round %d", n);
}

static void make_with_spawn(int n)
{
    char *argv[] = {(char *)"true", NULL};
    pid_t child;
    CHECK(!posix_spawn(&child, "/bin/true", NULL, NULL, argv, environ) && end_of(child) == 0,
          "posix_spawn: round %d", n);
}

static void make_with_popen(int n)
{
    char line[16] = "";
    FILE *pipe = popen("echo here", "r");
    CHECK(pipe && fgets(line, sizeof line, pipe) && !strcmp(line, "here\n") && !pclose(pipe),
          "popen: round %d: '%s'", n, line);
}

static void (*const ways[])(int) = {make_with_fork, make_with_exec, make_with_spawn,
                                    make_with_popen};
#define WAYS  ((int)(sizeof ways / sizeof *ways))
#define LEAST 200

int main(void)
{
    struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_RESTART};
    int made = 0;

    if (sigaction(SIGCHLD, &action, NULL))
        cannot("sigaction");
    ready();
    while (!stop_asked() || made < LEAST) {
        ways[made % WAYS](made);
        made++;
        CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "a child that nobody made");
        CHECK(children <= made, "%d children made, %d ended", made, children);
        if (made % WAYS == 0)
            rest(10);
    }
    CHECK(children == made, "%d children made, %d ended", made, children);
    printf("%d children\n", made);
    return finish();
}
