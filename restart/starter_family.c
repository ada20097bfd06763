/* starter_family.c - see starter_family.h: how the four come about, and what the program asks of
 * its parent. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "restart/starter.h"
#include "restart/starter_family.h"

/* --- what is known only outside --- */

static bool has_foreground(void)
{
    int terminal = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
    bool has = terminal >= 0 && tcgetpgrp(terminal) == getpgrp();
    if (terminal >= 0)
        close(terminal);
    return has;
}

/* In a user namespace of our own we have them all; the program shall have what the caller has. */
static int note_capabilities(struct image *image)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    _Static_assert(sizeof image->family.capabilities == 2 * sizeof(struct __user_cap_data_struct),
                   "the kernel's layout");
    if (syscall(SYS_capget, &header, image->family.capabilities))
        return image_fail(image, -errno, "cannot read my own capabilities: %s", strerror(errno));
    return 0;
}

/* --- ids --- */

static int highest(const struct image *image)
{
    int id = image->process->pid;
    for (size_t i = 0; i < image->thread_count; i++)
        id = image->threads[i].tid > id ? image->threads[i].tid : id;
    return id;
}

/* In the program: its namespace may have a limit of its own. */
static int check_ids(struct image *image)
{
    int limit = 0, id = highest(image);
    FILE *file = fopen("/proc/sys/kernel/pid_max", "re");
    if (!file || fscanf(file, "%d", &limit) != 1)
        limit = 0;
    if (file)
        fclose(file);
    if (!limit || id < limit)
        return 0;
    return image_fail(image, -EINVAL,
                      "thread id %d cannot be had here: ids end at %d (sysctl kernel.pid_max)", id,
                      limit);
}

/* --- the processes --- */

static void close_pair(const int pair[2])
{
    close(pair[0]);
    close(pair[1]);
}

static int make_pairs(struct image *image, int watch[2], int requests[2])
{
    const int kind = SOCK_SEQPACKET | SOCK_CLOEXEC;
    if (socketpair(AF_UNIX, kind, 0, watch))
        return image_fail(image, -errno, "cannot make a socket pair: %s", strerror(errno));
    if (socketpair(AF_UNIX, kind, 0, requests) == 0)
        return 0;
    close_pair(watch);
    return image_fail(image, -errno, "cannot make a socket pair: %s", strerror(errno));
}

static int hear_guard(struct image *image, struct family *f)
{
    struct guard_word word;
    ssize_t got = recv(f->watch, &word, sizeof word, 0);
    if (got == sizeof word && !word.error) {
        f->program = word.program;
        f->init = (int)syscall(SYS_pidfd_open, word.first, 0);
        return 0;
    }
    waitpid(f->guard, NULL, 0);
    if (got != sizeof word)
        return image_fail(image, -ECHILD, "the process that makes the namespaces was killed");
    return image_fail(image, word.error, "%s", word.text);
}

static int become_program(struct image *image, struct family *f)
{
    image->family.parent = f->requests;
    image->family.ids = true;
    return check_ids(image);
}

/* Signals wait until it is known to whom they go. SIGCHLD may have been ignored by the caller. */
static int split(struct image *image, int watch[2], int requests[2])
{
    struct family f = {.watch = watch[0], .requests = requests[0]};
    sigset_t all, mask;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &mask);
    signal(SIGCHLD, SIG_DFL);
    f.guard = fork();
    if (f.guard == 0) {
        struct family own = {.watch = watch[1], .requests = requests[1]};
        close(watch[0]);
        close(requests[0]);
        int result = guard_run(image, &own, &mask);
        return result ? result : become_program(image, &own);
    }
    close(watch[1]);
    close(requests[1]);
    int result = f.guard < 0
                     ? image_fail(image, -errno, "cannot make a process: %s", strerror(errno))
                     : hear_guard(image, &f);
    if (result == 0)
        parent_run(&f);
    close(watch[0]);
    close(requests[0]);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    return result;
}

int family_make(struct image *image)
{
    int watch[2], requests[2];
    image->family.foreground = has_foreground();
    int result = note_capabilities(image);
    if (!result)
        result = make_pairs(image, watch, requests);
    return result ? result : split(image, watch, requests);
}
