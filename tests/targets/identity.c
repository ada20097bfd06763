/*
 * identity.c PEER - describes who and where it is, by every call and path that tells; says so again
 * in each round, and compares: wherever it runs, it must be the same. PEER is a process of the same
 * user at home. The number of rounds stands in the file "rounds".
 */
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "tests/targets/target.h"

static char before[16384], now[16384];
static volatile int sent, code, from_itself;

static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)context;
    sent = signal;
    code = info->si_code;
    from_itself = info->si_pid == getpid() && info->si_uid == getuid();
}

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
    size_t used = strlen(now);
    va_list args;
    va_start(args, format);
    vsnprintf(now + used, sizeof now - used, format, args);
    va_end(args);
}

static void tell_process(pid_t peer)
{
    tell("getpid %d\n", getpid());
    tell("getppid %d\n", getppid());
    tell("gettid %ld\n", syscall(SYS_gettid));
    tell("getpgrp %d\n", getpgrp());
    tell("getpgid %d %d\n", getpgid(0), getpgid(getpid()));
    tell("getsid %d %d\n", getsid(0), getsid(getpid()));
    tell("of the peer: getpgid %d getsid %d\n", getpgid(peer), getsid(peer));
    tell("kill(peer, 0) %d\n", kill(peer, 0));
    errno = 0;
    tell("kill(nobody, 0) %d", kill(1 << 30, 0));
    tell(" %d\n", errno);
}

static void tell_signal(const char *how, int result)
{
    tell("%s %d: signal %d, code %d, from itself %d\n", how, result, sent, code, from_itself);
    sent = code = from_itself = 0;
}

static void tell_all_signals(void)
{
    tell_signal("raise", raise(SIGUSR1));
    tell_signal("kill", kill(getpid(), SIGUSR2));
    tell_signal("tgkill", (int)syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1));
    tell_signal("tkill", (int)syscall(SYS_tkill, syscall(SYS_gettid), SIGUSR2));
    tell_signal("sigqueue", sigqueue(getpid(), SIGUSR1, (union sigval){0}));
}

/* Of signals that it waits for instead of handling them. */
static void tell_waited(const char *how, int result, const sigset_t *set)
{
    siginfo_t info = {0};
    sent = sigwaitinfo(set, &info);
    code = info.si_code;
    from_itself = info.si_pid == getpid() && info.si_uid == getuid();
    tell_signal(how, result);
}

static void tell_waited_signals(void)
{
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    tell_waited("raise", raise(SIGUSR1), &set);
    tell_waited("kill", kill(getpid(), SIGUSR1), &set);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

/* What the kernel sends for a call's sake comes from the program, too. */
static void tell_pipe(void)
{
    int ends[2];
    if (pipe(ends))
        cannot("pipe");
    close(ends[0]);
    tell_signal("SIGPIPE", (int)write(ends[1], "x", 1));
    close(ends[1]);
}

static void tell_signals(void)
{
    tell_all_signals();
    tell_waited_signals();
    tell_pipe();
}

static void tell_user(void)
{
    uid_t u[3];
    gid_t g[3], groups[64];
    getresuid(&u[0], &u[1], &u[2]);
    getresgid(&g[0], &g[1], &g[2]);
    tell("users %d %d %d, %d %d\n", u[0], u[1], u[2], getuid(), geteuid());
    tell("groups %d %d %d, %d %d:", g[0], g[1], g[2], getgid(), getegid());
    for (int i = 0, n = getgroups(64, groups); i < n; i++)
        tell(" %d", groups[i]);
    tell("\n");
}

static void tell_link(const char *path)
{
    char target[4096] = "";
    tell("%s: %zd", path, readlink(path, target, sizeof target - 1));
    tell(" %s\n", target);
}

static void tell_file(const char *path)
{
    struct stat st = {0};
    tell("%s: %d", path, stat(path, &st));
    tell(" %llu %llu %o %d\n", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
         st.st_mode, (int)st.st_uid);
}

static void tell_place(void)
{
    struct utsname u = {0};
    char text[4096] = "";
    uname(&u);
    tell("uname %s %s %s %s %s\n", u.sysname, u.nodename, u.release, u.version, u.machine);
    gethostname(text, sizeof text);
    tell("host %s\n", text);
    tell("directory %s\n", getcwd(text, sizeof text));
    tell_link("/proc/self/cwd");
    tell_link("/proc/self/exe");
    tell_link("/proc/self/root");
    tell_link("/proc/self/fd/1");
    tell_file("/proc/self/fd/1");
    tell_file("/proc/self/cwd/.");
    tell_file("/proc/self/exe");
}

/* The links that have the process id in their name. */
static void tell_numbered(void)
{
    static const char *const names[] = {"cwd", "exe", "fd/0"};
    char path[64];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", getpid(), names[i]);
        tell_link(path);
    }
    tell_link("/proc/thread-self/cwd");
}

static void tell_descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    uint64_t open_ones = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.' && atoi(e->d_name) < 64)
            open_ones |= 1ull << atoi(e->d_name);
    if (d)
        closedir(d);
    tell("descriptors %llx\n", (unsigned long long)open_ones);
}

/* Of this file only the name: it is about the process as it is on its host. */
static void tell_status(void)
{
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "Name:", 5))
            tell("status %s", line);
    if (f)
        fclose(f);
}

static void describe(pid_t peer)
{
    *now = 0;
    tell_process(peer);
    tell_signals();
    tell_user();
    tell_place();
    tell_numbered();
    tell_descriptors();
    tell_status();
}

static void compare(int round)
{
    char *a = before, *b = now;
    while (*a && *b) {
        size_t m = strcspn(a, "\n"), n = strcspn(b, "\n");
        CHECK(m == n && !memcmp(a, b, n), "round %d: '%.*s', it was '%.*s'", round, (int)n, b,
              (int)m, a);
        a += m + 1, b += n + 1;
    }
}

static void note_round(int round)
{
    FILE *f = fopen("rounds.new", "w");
    if (!f || fprintf(f, "%d\n", round) < 0 || fclose(f) || rename("rounds.new", "rounds"))
        cannot("rounds");
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    if (argc != 2)
        return 99;
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);
    sigaction(SIGPIPE, &action, NULL);
    describe(atoi(argv[1]));
    strcpy(before, now);
    ready();
    for (int round = 1; !stop_asked(); round++) {
        describe(atoi(argv[1]));
        compare(round);
        note_round(round);
        rest(10);
    }
    return finish();
}
