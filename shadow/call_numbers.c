/* call_numbers.c - the executor's own descriptors, from executor.floor on, are not there for the
 * program: see call.h. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "shadow/call.h"

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE 2u
#endif

static bool is_ours(int64_t number)
{
    return (int)number >= executor.floor;
}

static int hide_arguments(const struct plan *p)
{
    for (int i = 0; i < CALL_ARGS; i++)
        if ((p->kinds[i].kind == ARG_FD || p->kinds[i].kind == ARG_DIRFD) &&
            is_ours((int64_t)p->args[i]))
            return -EBADF;
    return 0;
}

/* A set bit is a descriptor that must be open. */
static int hide_in_set(const uint64_t *set, uint64_t bits)
{
    for (uint64_t n = (uint64_t)executor.floor; n < bits; n++)
        if (set[n / 64] >> n % 64 & 1)
            return -EBADF;
    return 0;
}

static int hide_in_sets(const struct plan *p)
{
    int error = 0;
    for (int i = 0; i < CALL_ARGS && !error; i++)
        if (p->kinds[i].kind == ARG_FDSET && decode_has(p, i))
            error = hide_in_set((const uint64_t *)p->args[i], p->args[p->kinds[i].other - 1]);
    return error;
}

/* A number that is not open is an event, POLLNVAL: numbers of ours become INT_MAX, which never is,
 * and call_unhide() makes them what they were. */
static void swap_polled(struct plan *p, bool hide)
{
    struct pollfd *polled = (void *)p->out[0];
    size_t count = p->request.in[0] / sizeof *polled;
    for (size_t i = 0; polled && i < count; i++) {
        if (hide && is_ours(polled[i].fd))
            polled[i].fd = INT_MAX;
        else if (!hide)
            memcpy(&polled[i].fd, p->in[0] + i * sizeof *polled, sizeof polled[i].fd);
    }
}

static int hide_in_message(const struct plan *p)
{
    struct msghdr *message = (void *)&p->message;
    for (struct cmsghdr *m = CMSG_FIRSTHDR(message); m; m = CMSG_NXTHDR(message, m)) {
        if (m->cmsg_level != SOL_SOCKET || m->cmsg_type != SCM_RIGHTS ||
            m->cmsg_len < CMSG_LEN(0) ||
            m->cmsg_len >
                message->msg_controllen - (size_t)((char *)m - (char *)message->msg_control))
            continue;
        for (size_t at = 0; at + sizeof(int) <= m->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
            int number;
            memcpy(&number, CMSG_DATA(m) + at, sizeof number);
            if (is_ours(number))
                return -EBADF;
        }
    }
    return 0;
}

/* All numbers up to ours. And the table of descriptors stays everybody's: the program has no other
 * process that shares it. */
static int hide_from_range(struct plan *p)
{
    unsigned last = (unsigned)p->args[1], floor = (unsigned)executor.floor;
    if ((unsigned)p->args[0] > last)
        return 0; /* the kernel's error */
    if ((unsigned)p->args[0] >= floor)
        p->args[0] = floor - 1, p->args[1] = floor - 1; /* closed: nothing happens */
    else if (last >= floor)
        p->args[1] = floor - 1;
    p->args[2] &= ~(uint64_t)CLOSE_RANGE_UNSHARE;
    return 0;
}

int call_hide(struct plan *p)
{
    int error = hide_arguments(p);
    if (error)
        return error;
    switch (p->request.number) {
    case SYS_poll:
    case SYS_ppoll:
        if (p->args[0])
            swap_polled(p, true);
        return 0;
    case SYS_select:
    case SYS_pselect6:
        return hide_in_sets(p);
    case SYS_sendmsg:
        return p->args[1] ? hide_in_message(p) : 0;
    case SYS_close_range:
        return hide_from_range(p);
    default:
        return 0;
    }
}

void call_unhide(struct plan *p)
{
    if ((p->request.number == SYS_poll || p->request.number == SYS_ppoll) && p->args[0])
        swap_polled(p, false);
}

struct listed {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

static bool is_listed_ours(const char *name)
{
    char *end;
    unsigned long number = strtoul(name, &end, 10);
    return name[0] >= '1' && name[0] <= '9' && !*end && number >= (unsigned long)executor.floor &&
           fcntl((int)number, F_GETFD) >= 0;
}

static bool is_proc(int fd)
{
    struct statfs st;
    return fstatfs(fd, &st) == 0 && st.f_type == PROC_SUPER_MAGIC;
}

/* Links below /proc that are numbers are descriptors (processes are directories). */
int64_t call_hide_listed(const struct plan *p, int64_t result)
{
    int64_t kept = 0;
    if (p->request.number != SYS_getdents64 || result <= 0)
        return result;
    for (int64_t at = 0, size; at < result; at += size) {
        struct listed *d = (void *)(p->out[1] + at);
        size = d->length;
        if (d->type == DT_LNK && is_listed_ours(d->name) && is_proc((int)p->args[0]))
            continue;
        memmove(p->out[1] + kept, d, (size_t)size);
        kept += size;
    }
    return kept;
}

/* Is one of the program's numbers from `first` on open? Ours, which follow, are. In such a listing
 * the offset is the number, after two for "." and "..". */
static bool has_from(int first)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    char buffer[64];
    const struct listed *next = (const void *)buffer;
    pthread_mutex_lock(&lock);
    long size = lseek(executor.listing, first + 2, SEEK_SET) < 0
                    ? -1
                    : syscall(SYS_getdents64, executor.listing, buffer, sizeof buffer);
    pthread_mutex_unlock(&lock);
    return size <= 0 || atoi(next->name) < executor.floor;
}

/* The kernel's table doubles when it must grow. */
int64_t call_selected(const struct plan *p)
{
    int64_t room = FD_SETSIZE;
    if ((p->request.number != SYS_select && p->request.number != SYS_pselect6) ||
        !(p->request.flags & WIRE_CLAMPED))
        return 0;
    while (room < executor.floor && has_from((int)room))
        room *= 2;
    return room > FD_SETSIZE ? room : 0;
}

bool call_names_number(const struct plan *p)
{
    switch (p->request.number) {
    case SYS_close:
    case SYS_close_range:
    case SYS_dup2:
    case SYS_dup3:
        return true;
    case SYS_fcntl:
        return p->args[1] == F_DUPFD || p->args[1] == F_DUPFD_CLOEXEC;
    default:
        return false;
    }
}
