/* starter_process.c - does the image fit here, and what of the process the starter itself puts
 * back. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restart/starter.h"

/* Away numbers of users mean nothing: who has the image for his own vouches for what it does. In a
 * user namespace that is root's within, too, though not root's outside. */
static int check_owner(struct image *image)
{
    struct stat st;
    if (fstat(image->fd, &st))
        return image_fail(image, -errno, "cannot look at the image '%s': %s", image->path,
                          strerror(errno));
    if (st.st_uid == geteuid())
        return 0;
    return image_fail(image, -EPERM,
                      "the image '%s' belongs to user %u here; restart it as that user, or from a "
                      "copy of your own",
                      image->path, (unsigned)st.st_uid);
}

static int check_user(struct image *image)
{
    if (image->away)
        return check_owner(image);
    if (geteuid() == image->process->uid)
        return 0;
    return image_fail(image, -EPERM, "the image '%s' is of user %u; restart it as that user",
                      image->path, image->process->uid);
}

int starter_check(struct image *image)
{
    if (image->header.page_size != (uint64_t)sysconf(_SC_PAGESIZE))
        return image_fail(image, -ENOTSUP, "the image '%s' has pages of %llu bytes", image->path,
                          (unsigned long long)image->header.page_size);
    int result = check_user(image);
    return result ? result : starter_check_cpu(image);
}

#define STACK_USUAL (8ULL << 20) /* must do for a program that had no limit */

/* Of all limits this one kills without a word: a stack that may not grow is SIGSEGV. */
static int check_stack_limit(struct image *image)
{
    const struct rlimit *had = &image->process->limits[RLIMIT_STACK];
    rlim_t need = had->rlim_cur == RLIM_INFINITY ? STACK_USUAL : had->rlim_cur;
    struct rlimit now;
    if (getrlimit(RLIMIT_STACK, &now) || now.rlim_max >= need || setrlimit(RLIMIT_STACK, had) == 0)
        return 0;
    return image_fail(image, -EPERM,
                      "the program's stack may grow to %llu KB, this command's only to %llu KB "
                      "(ulimit -Hs); restart it where that limit is higher",
                      (unsigned long long)need / 1024, (unsigned long long)now.rlim_max / 1024);
}

/* Entering it is the only true test; then back. */
static int check_directory(struct image *image)
{
    int back = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int result = chdir(image->process->cwd) ? -errno : 0;
    if (!result && back >= 0 && fchdir(back))
        result = -errno;
    if (back >= 0)
        close(back);
    if (result)
        return image_fail(image, result, "cannot enter the program's working directory '%s': %s",
                          image->process->cwd, strerror(-result));
    return 0;
}

int process_check(struct image *image)
{
    int result = image->away ? 0 : check_directory(image);
    return result ? result : check_stack_limit(image);
}

static void write_own(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    if (!f)
        return;
    fputs(text, f);
    fclose(f);
}

int process_apply(struct image *image)
{
    const struct image_process *p = image->process;
    if (!image->away && chdir(p->cwd))
        return image_fail(image, -errno, "cannot enter the program's working directory '%s': %s",
                          p->cwd, strerror(errno));
    char text[16];
    snprintf(text, sizeof text, "%d", p->oom_score_adj);
    write_own("/proc/self/oom_score_adj", text);
    snprintf(text, sizeof text, "0x%x", p->coredump_filter);
    write_own("/proc/self/coredump_filter", text);
    return 0;
}
