/*
 * starter_fds_make.c - descriptors without a name that can be made anew from what /proc/PID/fdinfo
 * said (proc(5)).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "restart/starter_fds_plan.h"

#define SET_TICKS _IOW('T', 0, uint64_t) /* TFD_IOC_SET_TICKS, where the kernel has it */
#define STATUS    (O_NONBLOCK | O_APPEND | O_DIRECT) /* the last is a pipe's packet mode */

static const char *field(const struct starter_fds *f, const struct fds_entry *e, const char *label)
{
    const char *at = strstr(fds_string(f->h, e->extra), label);
    return at ? at + strlen(label) : NULL;
}

/* The other end of a pipe that begins and ends in the program. */
static long other_end(const struct starter_fds *f, const struct fds_entry *e)
{
    for (uint32_t i = 0; i < f->h->count; i++) {
        const struct fds_entry *o = entry_at(f, i);
        if (o->kind == FDS_PIPE && o->inode == e->inode && o->dev == e->dev &&
            o->shares == o->number && (o->status & O_ACCMODE) != (e->status & O_ACCMODE))
            return i;
    }
    return -1;
}

/* A registration is found again only while its number still stands for the same file. */
static bool is_registered_file(const struct starter_fds *f, const char *line)
{
    int number;
    unsigned long inode;
    unsigned device;
    if (sscanf(line, "tfd: %d events: %*x data: %*x pos:%*i ino:%lx sdev:%x", &number, &inode,
               &device) != 3)
        return false;
    long index = starter_fds_index(f, number);
    return index >= 0 && entry_at(f, (uint32_t)index)->inode == inode;
}

static bool can_make_epoll(const struct starter_fds *f, const struct fds_entry *e)
{
    const char *at = fds_string(f->h, e->extra);
    if (!*at)
        return false;
    for (at = strstr(at, "tfd:"); at; at = strstr(at + 4, "tfd:"))
        if (!is_registered_file(f, at))
            return false;
    return true;
}

static const struct fds_entry *reading_end(const struct starter_fds *f, const struct fds_entry *e)
{
    return (e->status & O_ACCMODE) == O_RDONLY ? e : entry_at(f, (uint32_t)other_end(f, e));
}

/* Two open file descriptions of one pipe end cannot be told apart afterwards. */
static bool can_make_pipe(const struct starter_fds *f, const struct fds_entry *e)
{
    int ends = 0;
    for (uint32_t i = 0; i < f->h->count; i++) {
        const struct fds_entry *o = entry_at(f, i);
        ends += o->kind == FDS_PIPE && o->inode == e->inode && o->shares == o->number;
    }
    return ends == 2 && other_end(f, e) >= 0 &&
           strlen(fds_string(f->h, reading_end(f, e)->extra)) == 2 * (size_t)e->size;
}

bool starter_fds_can_make(const struct starter_fds *f, uint32_t i)
{
    const struct fds_entry *e = entry_at(f, i);
    switch (e->kind) {
    case FDS_EVENTFD:
        return field(f, e, "eventfd-count:");
    case FDS_TIMERFD:
        return field(f, e, "clockid:") && field(f, e, "it_value:") && field(f, e, "it_interval:");
    case FDS_SIGNALFD:
        return field(f, e, "sigmask:");
    case FDS_EPOLL:
        return can_make_epoll(f, e);
    case FDS_PIPE:
        return can_make_pipe(f, e);
    case FDS_SOCKET:
        return e->flags & FDS_WIDOWED;
    default:
        return false;
    }
}

static int make_eventfd(const struct starter_fds *f, const struct fds_entry *e)
{
    uint64_t count = strtoull(field(f, e, "eventfd-count:"), NULL, 16);
    const char *semaphore = field(f, e, "eventfd-semaphore:");
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK |
                            (semaphore && strtol(semaphore, NULL, 10) ? EFD_SEMAPHORE : 0));
    if (fd >= 0 && count && write(fd, &count, sizeof count) < 0)
        return -errno;
    return fd;
}

static int parse_time(const char *at, struct timespec *out)
{
    return sscanf(at, " (%" SCNd64 ", %ld)", (int64_t *)&out->tv_sec, &out->tv_nsec) == 2
               ? 0
               : -EBADMSG;
}

/* The time that was left is what is left; an expiry not yet read comes at once where ticks cannot
 * be set. */
static int make_timerfd(const struct starter_fds *f, const struct fds_entry *e)
{
    struct itimerspec timer;
    const char *ticks_text = field(f, e, "ticks:");
    uint64_t ticks = ticks_text ? strtoull(ticks_text, NULL, 10) : 0;
    int fd = timerfd_create((int)strtol(field(f, e, "clockid:"), NULL, 10), TFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (parse_time(field(f, e, "it_value:"), &timer.it_value) ||
        parse_time(field(f, e, "it_interval:"), &timer.it_interval))
        return -EBADMSG;
    if (timerfd_settime(fd, 0, &timer, NULL) < 0)
        return -errno;
    if (!ticks || ioctl(fd, SET_TICKS, &ticks) == 0)
        return fd;
    timer.it_value = (struct timespec){0, 1};
    return timerfd_settime(fd, 0, &timer, NULL) < 0 ? -errno : fd;
}

/* The kernel's signal set is 64 bits; libc's is longer and passes it on. */
static int make_signalfd(const struct starter_fds *f, const struct fds_entry *e)
{
    uint64_t mask = strtoull(field(f, e, "sigmask:"), NULL, 16);
    int fd = (int)syscall(SYS_signalfd4, -1, &mask, sizeof mask, SFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* What stood in it at the image; as much as a new pipe takes by itself, or as it is made to. */
static int fill_pipe(int end, const char *digits, int64_t size)
{
    if (size > fcntl(end, F_GETPIPE_SZ) && fcntl(end, F_SETPIPE_SZ, (int)size) < 0)
        return -errno;
    for (int64_t i = 0; i < size; i++) {
        const char two[] = {digits[2 * i], digits[2 * i + 1], 0};
        const unsigned char byte = (unsigned char)strtoul(two, NULL, 16);
        if (write(end, &byte, 1) != 1)
            return -errno;
    }
    return 0;
}

/* Both ends at once; the other entry finds its own made. */
static int make_pipe(struct starter_fds *f, uint32_t i)
{
    int ends[2];
    const struct fds_entry *e = entry_at(f, i);
    long other = other_end(f, e);
    bool reads = (e->status & O_ACCMODE) == O_RDONLY;
    if (other < 0)
        return -ENOTSUP;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    int error = fill_pipe(ends[1], fds_string(f->h, reading_end(f, e)->extra), e->size);
    if (error)
        return error;
    int lifted = starter_fds_lift(f, ends[reads]);
    fcntl(lifted, F_SETFL, entry_at(f, (uint32_t)other)->status & STATUS);
    f->plans[other].made = lifted;
    return lifted < 0 ? lifted : ends[!reads];
}

static int make_widow(const struct fds_entry *e)
{
    int ends[2];
    if (socketpair(AF_UNIX, e->type | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    close(ends[1]);
    return ends[0];
}

static int make(struct starter_fds *f, uint32_t i)
{
    const struct fds_entry *e = entry_at(f, i);
    switch (e->kind) {
    case FDS_EVENTFD:
        return make_eventfd(f, e);
    case FDS_TIMERFD:
        return make_timerfd(f, e);
    case FDS_SIGNALFD:
        return make_signalfd(f, e);
    case FDS_PIPE:
        return make_pipe(f, i);
    case FDS_SOCKET:
        return make_widow(e);
    default: {
        int fd = epoll_create1(EPOLL_CLOEXEC);
        return fd < 0 ? -errno : fd;
    }
    }
}

int starter_fds_make(struct starter_fds *f, uint32_t i)
{
    const struct fds_entry *e = entry_at(f, i);
    int fd = make(f, i);
    if (fd >= 0)
        fd = starter_fds_lift(f, fd);
    if (fd < 0)
        return starter_fds_refuse(f, e, "cannot be made anew: %s", strerror(-fd));
    fcntl(fd, F_SETFL, e->status & STATUS);
    f->plans[i].made = fd;
    return 0;
}

/* Is the registration one that a set from the shadow has lost? A terminal or what --fd names is
 * another open file than the one registered; a signalfd reports to the process that registered it,
 * which has ended (signalfd(2), BUGS). */
static bool is_lost(const struct starter_fds *f, const char *line)
{
    int number;
    if (sscanf(line, "tfd: %d", &number) != 1)
        return false;
    long index = starter_fds_index(f, number);
    if (index < 0 || !is_registered_file(f, line))
        return false;
    if (f->plans[index].source == FROM_LEADER)
        index = starter_fds_index(f, entry_at(f, (uint32_t)index)->shares);
    return index >= 0 && (f->plans[index].source != FROM_SHADOW ||
                          entry_at(f, (uint32_t)index)->kind == FDS_SIGNALFD);
}

static int add_registration(const struct fds_entry *e, const char *line)
{
    int number;
    unsigned events;
    unsigned long long data;
    if (sscanf(line, "tfd: %d events: %x data: %llx", &number, &events, &data) != 3)
        return -EBADMSG;
    struct epoll_event event = {.events = events, .data.u64 = data};
    epoll_ctl(e->number, EPOLL_CTL_DEL, number, NULL);
    return epoll_ctl(e->number, EPOLL_CTL_ADD, number, &event) < 0 ? -errno : 0;
}

static int fill_set(struct starter_fds *f, uint32_t i)
{
    const struct fds_entry *e = entry_at(f, i);
    bool whole = f->plans[i].source == FROM_MAKER;
    int error = 0;
    const char *at = strstr(fds_string(f->h, e->extra), "tfd:");
    for (; at && !error; at = strstr(at + 4, "tfd:"))
        if (whole || is_lost(f, at))
            error = add_registration(e, at);
    return error ? starter_fds_refuse(f, e, "cannot fill the epoll set: %s", strerror(-error)) : 0;
}

int starter_fds_fill_epoll(struct starter_fds *f)
{
    int error = 0;
    for (uint32_t i = 0; i < f->h->count && !error; i++)
        if (entry_at(f, i)->kind == FDS_EPOLL &&
            (f->plans[i].source == FROM_MAKER || f->plans[i].source == FROM_SHADOW))
            error = fill_set(f, i);
    return error;
}
