/* control_users.c - see control.h: who uses a file, as /proc tells. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "shadow/control.h"

/* The number that the next entry of a directory of /proc is named by; -1: no more. */
static long next_number(DIR *directory)
{
    for (struct dirent *e; directory && (e = readdir(directory));) {
        char *end;
        long number = strtol(e->d_name, &end, 10);
        if (end != e->d_name && !*end)
            return number;
    }
    return -1;
}

static bool maps_file(pid_t pid, dev_t device, ino_t inode)
{
    char path[64], *text = NULL;
    size_t size = 0;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && !found && getline(&text, &size, file) > 0) {
        unsigned major, minor;
        unsigned long number;
        found = sscanf(text, "%*s %*s %*s %x:%x %lu", &major, &minor, &number) == 3 &&
                number == inode && makedev(major, minor) == device;
    }
    free(text);
    if (file)
        fclose(file);
    return found;
}

pid_t control_mapper(pid_t except, dev_t device, ino_t inode)
{
    DIR *directory = opendir("/proc");
    pid_t pid;
    while ((pid = (pid_t)next_number(directory)) > 0)
        if (pid != except && maps_file(pid, device, inode))
            break;
    if (directory)
        closedir(directory);
    return pid > 0 ? pid : 0;
}

int control_opener(pid_t pid, ino_t inode)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    int fd;
    while ((fd = (int)next_number(directory)) >= 0) {
        snprintf(path, sizeof path, "%d", fd);
        if (fstatat(dirfd(directory), path, &st, 0) == 0 && st.st_ino == inode)
            break;
    }
    if (directory)
        closedir(directory);
    return fd;
}
