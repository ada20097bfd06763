/*
 * cutting.c - a shadow whose connections break: linked in front of the shadow's own objects
 * (--wrap), it cuts each stream of a channel after a random number of bytes in one direction or the
 * other, so that frames arrive in part on both sides, and the door's connections at frames.
 *
 * The file "cuts" beside the executable says how; it is mapped, so that it works in the executor
 * too, which owns no descriptor to spare, and so that a test can switch it and read what was done.
 * A shadow can also be made to die, or to stop, at a certain frame of the door's.
 * Without the file nothing is cut. What comes to the door is written to the file "heard" beside it,
 * where there is one: for each message its connection and its size, 4 bytes each, and itself.
 * Numbers follow from `state` alone: one run is like another as
 * far as the program asks for the same things in the same order.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "stubs/frame.h"

ssize_t __real_recv(int fd, void *to, size_t size, int flags);
ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
int __real_close(int fd);
ssize_t __wrap_recv(int fd, void *to, size_t size, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
int __wrap_close(int fd);

#define FDS (1 << 20)

/* Little-endian words; tests/remote-cut.bash writes and reads them. */
struct cuts {
    _Atomic uint64_t on;       /* cut so many more streams */
    _Atomic uint64_t most;     /* bytes of a stream, at most */
    _Atomic uint64_t door;     /* one frame in so many costs the door's connection; 0: none */
    _Atomic uint64_t state;    /* of the random numbers */
    _Atomic uint64_t requests; /* streams cut while the shadow read */
    _Atomic uint64_t replies;  /* ... while it wrote */
    _Atomic uint64_t unread;   /* frames of the door that were lost unread */
    _Atomic uint64_t unanswered;
    _Atomic uint64_t fatal;  /* the type of frame at which it dies; 0: none */
    _Atomic uint64_t passed; /* ... after so many of them */
    _Atomic uint64_t after;  /* ... once that is answered, not when it comes */
    _Atomic uint64_t signal; /* ... of this */
};

static struct cuts *cuts;
static char heard[4096];
static _Atomic int64_t budget[FDS]; /* bytes that a stream has left, plus 1; 0: not drawn yet */
static _Atomic unsigned char mute[FDS], writes[FDS]; /* writes: what the shadow writes counts */

__attribute__((constructor)) static void begin(void)
{
    char path[4096];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 8);
    char *slash = size > 0 ? memrchr(path, '/', (size_t)size) : NULL;
    if (!slash)
        return;
    strcpy(slash, "/heard");
    strcpy(heard, path);
    strcpy(slash, "/cuts");
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *at = mmap(NULL, sizeof *cuts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cuts = at == MAP_FAILED ? NULL : at;
    __real_close(fd);
}

/* SplitMix64. */
static uint64_t at_random(uint64_t below)
{
    uint64_t x = atomic_fetch_add(&cuts->state, 0x9e3779b97f4a7c15) + 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return (x ^ x >> 31) % below;
}

static int type_of(int fd)
{
    int type = 0;
    socklen_t size = sizeof type;
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
    return type;
}

/* --- streams --- */

/* Bytes that the stream has left in this direction; -1: it is not cut there. */
static int64_t left_of(int fd, int writing)
{
    if (!cuts || fd < 0 || fd >= FDS)
        return -1;
    if (!budget[fd] && cuts->on && type_of(fd) == SOCK_STREAM) {
        budget[fd] = (int64_t)at_random(cuts->most) + 1;
        writes[fd] = (unsigned char)at_random(2);
    }
    return writes[fd] == writing ? budget[fd] - 1 : -1;
}

static void cut(int fd, _Atomic uint64_t *count)
{
    if (atomic_fetch_add(count, 1) + 1 && cuts->on)
        cuts->on--;
    shutdown(fd, SHUT_RDWR);
}

ssize_t __wrap_recv(int fd, void *to, size_t size, int flags)
{
    int64_t left = left_of(fd, 0);
    if (left == 0) {
        cut(fd, &cuts->requests);
        return 0;
    }
    ssize_t got = __real_recv(fd, to, left > 0 && (size_t)left < size ? (size_t)left : size, flags);
    if (left > 0 && got > 0)
        budget[fd] -= got;
    return got;
}

/* The first `size` bytes of a message, as parts; returns how many these are. */
static size_t cut_short(const struct msghdr *message, size_t size, struct iovec *parts)
{
    size_t count = 0;
    for (; count < message->msg_iovlen && size; count++) {
        parts[count] = message->msg_iov[count];
        if (parts[count].iov_len > size)
            parts[count].iov_len = size;
        size -= parts[count].iov_len;
    }
    return count;
}

static ssize_t send_part(int fd, const struct msghdr *message, size_t size, int flags)
{
    struct iovec parts[64];
    struct msghdr part = *message;
    part.msg_iov = parts;
    part.msg_iovlen = cut_short(message, size, parts);
    return part.msg_iovlen ? __real_sendmsg(fd, &part, flags) : 0;
}

/* --- the door --- */

/* An accepted connection has the listener's name; the executor's pair has none. */
static int is_door(int fd)
{
    struct sockaddr_un name;
    socklen_t size = sizeof name;
    return getsockname(fd, (struct sockaddr *)&name, &size) == 0 && size > sizeof name.sun_family;
}

/* No descriptor stays open: the shadow keeps the program's under their numbers. */
static void write_down(int number, const struct msghdr *message, size_t size)
{
    uint32_t head[2] = {(uint32_t)number, (uint32_t)size};
    struct iovec parts[1 + 64] = {{head, sizeof head}};
    int fd = is_door(number) ? open(heard, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
    if (fd >= 0 && writev(fd, parts, 1 + (int)cut_short(message, size, parts + 1)) < 0)
        perror(heard);
    if (fd >= 0)
        __real_close(fd);
}

static int is_cut(const struct frame_header *h)
{
    int kind = h->type == FRAME_CHANNEL || h->type == FRAME_RING;
    return (kind && at_random(cuts->door) == 0) || (h->type == FRAME_CANCEL && at_random(50) == 0);
}

static void close_descriptors(struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        for (size_t at = 0; c->cmsg_type == SCM_RIGHTS && CMSG_LEN(at) < c->cmsg_len; at += 4) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
            __real_close(fd);
        }
}

static int doomed = -1; /* the connection on which it dies after its next answer */

static void die(void)
{
    cuts->fatal = 0;
    doomed = -1;
    raise((int)cuts->signal);
}

static void meet_fate(int fd, const struct frame_header *h)
{
    if (h->type != cuts->fatal || !is_door(fd) || (cuts->passed && cuts->passed--))
        return;
    doomed = fd;
    if (!cuts->after)
        die();
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    ssize_t got = __real_recvmsg(fd, message, flags);
    const struct frame_header *h = message->msg_iov->iov_base;
    if (cuts && got > 0)
        write_down(fd, message, (size_t)got);
    if (cuts && cuts->fatal && got >= (ssize_t)sizeof *h)
        meet_fate(fd, h);
    if (!cuts || !cuts->on || !cuts->door || got < (ssize_t)sizeof *h || fd >= FDS ||
        !is_door(fd) || !is_cut(h))
        return got;
    if (h->type != FRAME_CANCEL && at_random(2)) {
        mute[fd] = 1;
        return got;
    }
    cuts->unread++;
    close_descriptors(message);
    shutdown(fd, SHUT_RDWR);
    return 0;
}

static ssize_t cut_answer(int fd)
{
    mute[fd] = 0;
    cuts->unanswered++;
    shutdown(fd, SHUT_RDWR);
    return 1;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (cuts && fd >= 0 && fd < FDS && mute[fd])
        return cut_answer(fd);
    int64_t left = left_of(fd, 1);
    if (left < 0) {
        ssize_t all = __real_sendmsg(fd, message, flags);
        if (cuts && fd == doomed)
            die();
        return all;
    }
    ssize_t sent = left ? send_part(fd, message, (size_t)left, flags) : 0;
    if (sent > 0)
        budget[fd] -= sent;
    if (sent >= 0 && budget[fd] == 1) {
        cut(fd, &cuts->replies);
        sent = sent ? sent : -1;
    }
    return sent;
}

int __wrap_close(int fd)
{
    if (fd >= 0 && fd < FDS) {
        budget[fd] = 0;
        mute[fd] = 0;
    }
    return __real_close(fd);
}
