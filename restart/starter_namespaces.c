/* starter_namespaces.c - see starter_namespaces.h. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "restart/starter.h"
#include "restart/starter_namespaces.h"

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t size = (ssize_t)strlen(text);
    int result = fd < 0 || write(fd, text, (size_t)size) != size ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return result;
}

static int map_own(const char *path, unsigned id)
{
    char line[64];
    snprintf(line, sizeof line, "%u %u 1\n", id, id);
    return write_file(path, line);
}

/* A group may be mapped only where the process cannot drop others that it is denied by. */
static int map_ids(unsigned user, unsigned group)
{
    int result = write_file("/proc/self/setgroups", "deny");
    if (!result || result == -ENOENT)
        result = map_own("/proc/self/uid_map", user);
    return result ? result : map_own("/proc/self/gid_map", group);
}

static const char *why_no_user(int error)
{
    switch (error) {
    case -ENOSPC:
    case -EUSERS:
        return "no more of them are allowed here (sysctl user.max_user_namespaces)";
    case -EINVAL:
        return "this kernel has none";
    default:
        return "ordinary users may not make any here (sysctl kernel.unprivileged_userns_clone, "
               "kernel.apparmor_restrict_unprivileged_userns; a container's or a chroot's rules)";
    }
}

int namespaces_new_user(int with)
{
    unsigned user = geteuid(), group = getegid();
    return unshare(CLONE_NEWUSER | with) ? -errno : map_ids(user, group);
}

static int new_user(struct image *image)
{
    int result = namespaces_new_user(0);
    return result ? image_fail(image, result, "cannot make a user namespace: %s: %s",
                               why_no_user(result), strerror(-result))
                  : 0;
}

int namespaces_unshare(struct image *image, int flags)
{
    if (unshare(flags) == 0)
        return 0;
    int result = errno == EPERM ? new_user(image) : 0;
    if (result || unshare(flags) == 0)
        return result;
    return image_fail(image, -errno,
                      "cannot make namespaces for the program: %s (sysctl "
                      "user.max_pid_namespaces, user.max_mnt_namespaces; a container's rules)",
                      strerror(errno));
}

/* What is mounted outside later is seen inside, as before; nothing the other way. */
int namespaces_proc(struct image *image)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == 0 &&
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0)
        return 0;
    return image_fail(image, -errno,
                      "cannot mount the program's own /proc: %s (in a container parts of /proc may "
                      "be hidden: it must be whole)",
                      strerror(errno));
}
