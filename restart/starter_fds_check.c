/*
 * starter_fds_check.c - decides where each descriptor comes from, and refuses by name what cannot
 * be had.
 *
 * A file is opened here already and what was opened is compared with the image, so that what was
 * checked is what the program gets. Nothing is created, cut or locked.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "restart/starter_fds_plan.h"

#define MEMORY_MAJOR 1 /* mem(4): null, zero, full, random, urandom */

#define NAME_ANOTHER "give another one with --fd %d=PATH"

/* --- --fd N=PATH --- */

static const char *kind_name(const struct fds_entry *e)
{
    static const char *const names[] = {
        [FDS_CHARACTER] = "device",  [FDS_BLOCK] = "block device",
        [FDS_PIPE] = "pipe",         [FDS_FIFO] = "named pipe",
        [FDS_SOCKET] = "socket",     [FDS_EVENTFD] = "eventfd",
        [FDS_TIMERFD] = "timerfd",   [FDS_EPOLL] = "epoll set",
        [FDS_SIGNALFD] = "signalfd", [FDS_INOTIFY] = "inotify",
        [FDS_MEMFD] = "memfd",       [FDS_PIDFD] = "pidfd",
        [FDS_IO_URING] = "io_uring", [FDS_BOUND] = "descriptor bound to the old process",
        [FDS_TERMINAL] = "terminal",
    };
    return e->kind < sizeof names / sizeof *names && names[e->kind] ? names[e->kind] : "descriptor";
}

/* The first descriptor of an open file description stands for it. But each of a terminal's standard
 * descriptors, and each copy of one, is for itself: this command's may be of different files, and
 * --fd for one says nothing of the others - a file for the input must not become the output. */
static int description_of(const struct fds_entry *e)
{
    return e->kind == FDS_TERMINAL && e->shares <= 2 ? e->number : e->shares;
}

/* The path given for this entry, or else for one that shares its open file description. */
static const char *given_path(const struct starter_fds *f, const struct fds_entry *e)
{
    const char *shared = NULL;
    for (size_t i = 0; i < f->o.named_count; i++) {
        char *end;
        long number = strtol(f->o.named[i], &end, 10);
        long index = *end == '=' ? starter_fds_index(f, (int)number) : -1;
        if (index >= 0 && number == e->number)
            return end + 1;
        if (index >= 0 && description_of(entry_at(f, (uint32_t)index)) == e->number && !shared)
            shared = end + 1;
    }
    return shared;
}

static void check_given_syntax(struct starter_fds *f)
{
    static const struct fds_entry none = {.number = -1};
    for (size_t i = 0; i < f->o.named_count; i++) {
        char *end;
        const char *given = f->o.named[i];
        long number = strtol(given, &end, 10);
        if (end == given || *end != '=' || !end[1])
            starter_fds_refuse(f, &none, "--fd %s is not of the form N=PATH", given);
        else if (starter_fds_index(f, (int)number) < 0)
            starter_fds_refuse(f, &none, "--fd %s: the image has no descriptor %ld", given, number);
    }
}

/* It is opened when everything else is checked, for it may have to be created or be a named pipe.
 */
static void plan_given(struct starter_fds *f, uint32_t i, const char *path)
{
    const struct fds_entry *e = entry_at(f, i);
    int access_mode = e->status & O_ACCMODE;
    int wanted = access_mode == O_RDONLY ? R_OK : access_mode == O_WRONLY ? W_OK : R_OK | W_OK;
    f->plans[i].source = FROM_GIVEN;
    f->plans[i].path = path;
    if (faccessat(AT_FDCWD, path, wanted, AT_EACCESS) == 0 || (errno == ENOENT && wanted & W_OK))
        return;
    starter_fds_refuse(f, e, "'%s', given with --fd, cannot be opened: %s", path, strerror(errno));
}

/* --- files and directories --- */

static bool written_by_program(const struct starter_fds *f, const struct fds_entry *file)
{
    for (uint32_t i = 0; i < f->h->count; i++) {
        const struct fds_entry *e = entry_at(f, i);
        if (e->kind == FDS_REGULAR && e->dev == file->dev && e->inode == file->inode &&
            (e->status & O_ACCMODE) != O_RDONLY)
            return true;
    }
    return false;
}

#define ACCEPT "--accept-changed-files takes it as it is"

static void check_grown(struct starter_fds *f, uint32_t i, const struct stat *st)
{
    const struct fds_entry *e = entry_at(f, i);
    bool writable = (e->status & O_ACCMODE) != O_RDONLY;
    if (f->o.rollback && written_by_program(f, e))
        f->plans[i].cut = writable; /* another descriptor of the file will do it otherwise */
    else
        starter_fds_refuse(f, e,
                           "the file has grown since the image, from %lld to %lld bytes; %s" ACCEPT,
                           (long long)e->size, (long long)st->st_size,
                           written_by_program(f, e) ? "--rollback-files cuts it back, " : "");
}

static void check_content(struct starter_fds *f, uint32_t i, const struct stat *st)
{
    const struct fds_entry *e = entry_at(f, i);
    if (f->o.accept_changed || e->kind != FDS_REGULAR)
        return;
    if (st->st_size > e->size)
        check_grown(f, i, st);
    else if (st->st_size < e->size)
        starter_fds_refuse(
            f, e, "the file has been shortened since the image, from %lld to %lld bytes; " ACCEPT,
            (long long)e->size, (long long)st->st_size);
    else if (st->st_mtim.tv_sec != e->mtime || st->st_mtim.tv_nsec != e->mtime_nsec)
        starter_fds_refuse(f, e, "the file has been changed since the image (same size); " ACCEPT);
}

/* A file that the kernel makes up has no lasting identity, size or time. */
static bool is_made_up(const char *path)
{
    return !strncmp(path, "/proc/", 6) || !strncmp(path, "/sys/", 5);
}

static void check_opened(struct starter_fds *f, uint32_t i)
{
    const struct fds_entry *e = entry_at(f, i);
    struct stat st;
    if (fstat(f->plans[i].made, &st) < 0)
        starter_fds_refuse(f, e, "cannot look at it: %s", strerror(errno));
    else if ((st.st_mode & S_IFMT) != (e->mode & S_IFMT))
        starter_fds_refuse(f, e, "the name leads to another kind of file now; " NAME_ANOTHER,
                           e->number);
    else if (is_made_up(entry_path(f, e)))
        return;
    else if (!f->o.accept_changed && !f->o.away && (st.st_dev != e->dev || st.st_ino != e->inode))
        starter_fds_refuse(f, e, "the file has been replaced by another since the image; " ACCEPT);
    else
        check_content(f, i, &st);
}

static void plan_file(struct starter_fds *f, uint32_t i)
{
    const struct fds_entry *e = entry_at(f, i);
    const int kept = O_ACCMODE | O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | O_SYNC |
                     O_DIRECTORY | O_NOFOLLOW | O_PATH;
    f->plans[i].source = FROM_FILE;
    if (e->flags & FDS_DELETED) {
        starter_fds_refuse(
            f, e, "the file had no name any more when the image was taken, and %s; " NAME_ANOTHER,
            f->no_shadow, e->number);
        return;
    }
    int fd = open(entry_path(f, e), (e->status & kept) | O_CLOEXEC | O_NOCTTY);
    if (fd >= 0)
        f->plans[i].made = starter_fds_lift(f, fd);
    if (f->plans[i].made >= 0)
        check_opened(f, i);
    else if (errno == ENOENT)
        starter_fds_refuse(f, e, "the file is gone; put it back or " NAME_ANOTHER, e->number);
    else
        starter_fds_refuse(f, e, "the file cannot be opened: %s", strerror(errno));
}

/* --- the rest --- */

static bool is_memory_device(const struct fds_entry *e)
{
    unsigned device = minor(e->rdev);
    return e->kind == FDS_CHARACTER && major(e->rdev) == MEMORY_MAJOR &&
           (device == 3 || device == 5 || device == 7 || device == 8 || device == 9);
}

static void plan_device(struct starter_fds *f, uint32_t i)
{
    const struct fds_entry *e = entry_at(f, i);
    struct stat st;
    plan_file(f, i);
    if (f->plans[i].made >= 0 && fstat(f->plans[i].made, &st) == 0 && st.st_rdev != e->rdev)
        starter_fds_refuse(f, e, "the name leads to another device now");
}

/* Descriptors 0, 1, 2 of the restart command stand in for those of the program. */
static void plan_command(struct starter_fds *f, uint32_t i)
{
    const struct fds_entry *e = entry_at(f, i);
    f->plans[i].source = FROM_COMMAND;
    f->plans[i].command = e->number;
    if (fcntl(e->number, F_GETFD) < 0)
        starter_fds_refuse(f, e, "this command has no descriptor %d to give; " NAME_ANOTHER,
                           e->number, e->number);
}

static bool fits(int fd, int access_mode)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && isatty(fd) &&
           ((flags & O_ACCMODE) == O_RDWR || (flags & O_ACCMODE) == access_mode);
}

static void plan_terminal(struct starter_fds *f, uint32_t i)
{
    const struct fds_entry *e = entry_at(f, i);
    if (e->number <= 2) {
        plan_command(f, i);
        return;
    }
    for (int fd = 0; fd <= 2; fd++)
        if (fits(fd, e->status & O_ACCMODE)) {
            f->plans[i].source = FROM_COMMAND;
            f->plans[i].command = fd;
            return;
        }
    f->plans[i].source = FROM_TERMINAL;
    int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        starter_fds_refuse(f, e, "this command has no terminal; " NAME_ANOTHER, e->number);
    else
        close(fd);
}

static void plan_other(struct starter_fds *f, uint32_t i)
{
    const struct fds_entry *e = entry_at(f, i);
    if (e->number <= 2 && (e->kind == FDS_PIPE || e->kind == FDS_SOCKET || e->kind == FDS_FIFO)) {
        plan_command(f, i);
    } else if (starter_fds_can_make(f, i)) {
        f->plans[i].source = FROM_MAKER;
    } else {
        starter_fds_refuse(f, e, "a %s cannot be opened by name, and %s; " NAME_ANOTHER,
                           kind_name(e), f->no_shadow, e->number);
    }
}

static void plan_by_name(struct starter_fds *f, uint32_t i)
{
    const struct fds_entry *e = entry_at(f, i);
    if (e->kind == FDS_REGULAR || e->kind == FDS_DIRECTORY)
        plan_file(f, i);
    else if (is_memory_device(e))
        plan_device(f, i);
    else
        plan_other(f, i);
}

/* A name means something else there, even where there is a file of that name. */
static void plan_away(struct starter_fds *f, uint32_t i)
{
    const struct fds_entry *e = entry_at(f, i);
    if (e->number <= 2)
        plan_command(f, i);
    else if (e->kind == FDS_TERMINAL)
        plan_terminal(f, i);
    else if (is_memory_device(e))
        plan_device(f, i);
    else if (starter_fds_can_make(f, i) && !(f->o.remote && e->kind == FDS_EPOLL))
        f->plans[i].source = FROM_MAKER; /* but a set of descriptors that are not here */
    else
        starter_fds_refuse(f, e, "%s; " NAME_ANOTHER, f->no_shadow, e->number);
}

/* Standard descriptors from the command are taken one by one, even if the program's shared one
 * description; so is what --fd names for itself. */
static bool follows_leader(const struct starter_fds *f, const struct fds_entry *e)
{
    int first = description_of(e);
    long leader = starter_fds_index(f, first);
    const char *given = given_path(f, e);
    if (leader < 0 || first == e->number)
        return false;
    if (given && given != given_path(f, entry_at(f, (uint32_t)leader)))
        return false;
    return e->number > 2 || f->plans[leader].source != FROM_COMMAND;
}

static void plan_entry(struct starter_fds *f, uint32_t i)
{
    const struct fds_entry *e = entry_at(f, i);
    const char *given = given_path(f, e);
    if (follows_leader(f, e))
        f->plans[i].source = FROM_LEADER;
    else if (given)
        plan_given(f, i, given);
    else if (f->o.away)
        plan_away(f, i);
    else if (e->kind == FDS_TERMINAL)
        plan_terminal(f, i);
    else if (f->with_shadow && fds_travels(e))
        f->plans[i].source = FROM_SHADOW;
    else if (f->o.remote)
        plan_away(f, i);
    else
        plan_by_name(f, i);
}

void starter_fds_check_kept(struct starter_fds *f)
{
    for (uint32_t i = 0; i < f->h->count; i++)
        if (f->plans[i].source == FROM_SHADOW && entry_at(f, i)->kind == FDS_REGULAR)
            check_opened(f, i);
}

void starter_fds_plan(struct starter_fds *f)
{
    check_given_syntax(f);
    for (uint32_t i = 0; i < f->h->count; i++)
        plan_entry(f, i);
    if (f->h->flags & FDS_SHARING_UNKNOWN && !f->with_shadow && f->h->count)
        starter_fds_refuse(
            f, entry_at(f, 0),
            "the kernel did not tell which descriptors are duplicates (kcmp), and %s",
            f->no_shadow);
}
