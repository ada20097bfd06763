/*
 * starter_clocks.c - the program's clocks that count from the boot of a machine never go backwards:
 * where this machine's are behind the image's, the process gets a time namespace that shifts them
 * (time_namespaces(7)).
 *
 * By whole seconds, forwards only: the program takes a leap for time that has passed, as after a
 * suspend, but waits for days for what it has planned by a clock that was set back. That shift is
 * in terms of the machine's own clocks, so nothing adds up from image to image.
 *
 * An ordinary user may make a time namespace only within a user namespace of his own. That one
 * knows his number and his group's alone; outside, all is as it was: whoever might trace the
 * process still may. The way in is setns(2), which takes effect at once, not with the next fork or
 * exec.
 *
 * Whether all that can be done is tried by a child first, since it cannot be undone: so a refusal
 * comes before anything is touched, and the process itself goes in as late as it can - the shadow
 * that it starts, and its own look at who is home, are outside.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "restart/starter.h"
#include "restart/starter_namespaces.h"

#define SECOND  1000000000ULL
#define OFFSETS "/proc/self/timens_offsets"

/* --- how far --- */

/* By how many seconds, rounded up, the clock is behind what the image knows of it; 0: ahead. */
static uint64_t behind(clockid_t clock, uint64_t then)
{
    struct timespec t;
    if (clock_gettime(clock, &t))
        return 0;
    uint64_t now = (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
    return then > now ? (then - now + SECOND - 1) / SECOND : 0;
}

/* The raw clock has the offset of the other. */
static struct clocks_shift find_shift(const struct image_clocks *then)
{
    uint64_t raw = behind(CLOCK_MONOTONIC_RAW, then->monotonic_raw);
    struct clocks_shift s = {.monotonic = behind(CLOCK_MONOTONIC, then->monotonic),
                             .boottime = behind(CLOCK_BOOTTIME, then->boottime)};
    s.monotonic = s.monotonic > raw ? s.monotonic : raw;
    return s;
}

/* --- the namespaces; each returns 0 or -errno --- */

/* The kernel wants it in one write. */
static int put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = write(fd, text, strlen(text)) < 0 ? -errno : 0;
    close(fd);
    return error;
}

/* To what the namespace has from this process's: the machine's clocks are the origin. */
static int add_offsets(const struct clocks_shift *shift)
{
    char text[128];
    long long monotonic, boottime;
    long monotonic_ns, boottime_ns;
    FILE *f = fopen(OFFSETS, "re");
    int found = f ? fscanf(f, "%*s %lld %ld %*s %lld %ld", &monotonic, &monotonic_ns, &boottime,
                           &boottime_ns)
                  : 0;
    if (f)
        fclose(f);
    if (found != 4)
        return -ENOTSUP;
    snprintf(text, sizeof text, "monotonic %lld %ld\nboottime %lld %ld\n",
             monotonic + (long long)shift->monotonic, monotonic_ns,
             boottime + (long long)shift->boottime, boottime_ns);
    return put(OFFSETS, text);
}

static int enter(void)
{
    int fd = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = setns(fd, CLONE_NEWTIME) ? -errno : 0;
    close(fd);
    return error;
}

/* Who makes a user namespace has all capabilities there: the program gets those that it would have
 * had, which for most is none. */
static int shift_clocks(const struct clocks_shift *shift)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct had[2];
    if (syscall(SYS_capget, &header, had))
        return -errno;
    int error = shift->user              ? namespaces_new_user(CLONE_NEWTIME)
                : unshare(CLONE_NEWTIME) ? -errno
                                         : 0;
    if (!error)
        error = add_offsets(shift);
    if (!error)
        error = enter();
    if (!error && syscall(SYS_capset, &header, had))
        error = -errno;
    return error;
}

/* --- can it be done? --- */

/* A child without exit signal: no SIGCHLD may be left to the program. */
static int try_shift(const struct clocks_shift *shift)
{
    int status;
    long child = syscall(SYS_clone, 0, NULL, NULL, NULL, 0);
    if (child == 0)
        _exit(-shift_clocks(shift));
    if (child < 0)
        return -errno;
    while (waitpid((pid_t)child, &status, __WCLONE) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -EPERM;
}

static int refuse(struct image *image, int error)
{
    const struct clocks_shift *s = &image->shift;
    const char *why = access("/proc/self/ns/time", F_OK) ? "this kernel has no time namespaces"
                      : error == -ERANGE                 ? "that is further than the kernel allows"
                      : error == -ENOSPC
                          ? "no more namespaces are allowed (sysctl user.max_time_namespaces, "
                            "user.max_user_namespaces)"
                          : "ordinary users may not make user namespaces (sysctl "
                            "user.max_user_namespaces, kernel.unprivileged_userns_clone, "
                            "kernel.apparmor_restrict_unprivileged_userns; a container's rules)";
    return image_fail(
        image, error,
        "the image's clocks are ahead of this machine's, CLOCK_MONOTONIC by %llu s and "
        "CLOCK_BOOTTIME by %llu s, and cannot be shifted for the program: %s: %s; restart it as "
        "root, on a machine that has been up for longer, or with --accept-clocks: its timeouts may "
        "then come that much later",
        (unsigned long long)s->monotonic, (unsigned long long)s->boottime, why, strerror(-error));
}

int clocks_check(struct image *image)
{
    struct clocks_shift *s = &image->shift;
    *s = find_shift(&image->process->clocks);
    if (!s->monotonic && !s->boottime)
        return 0;
    int error = try_shift(s);
    if (error == -EPERM) {
        s->user = true;
        error = try_shift(s);
    }
    return error ? refuse(image, error) : 0;
}

/* --- it is done --- */

/* A thread that was joined is in the kernel's list for a moment longer, and nobody with threads may
 * enter a namespace. A directory has two links, and one for each directory in it. */
void process_await_threads(void)
{
    struct stat st;
    while (stat("/proc/self/task", &st) == 0 && st.st_nlink > 3)
        sched_yield();
}

int clocks_shift(struct image *image)
{
    const struct clocks_shift *s = &image->shift;
    if (!s->monotonic && !s->boottime)
        return 0;
    process_await_threads();
    int error = shift_clocks(s);
    return error
               ? image_fail(image, error, "cannot shift the program's clocks: %s", strerror(-error))
               : 0;
}
