/* channel.c - see channel.h. */
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "stubs/agent.h"
#include "stubs/channel.h"
#include "stubs/lock.h"
#include "stubs/mem.h"
#include "stubs/raw.h"
#include "stubs/remote.h"

#define MOST_NUMBERS                                                                               \
    65536              /* our descriptors take numbers from half of the limit on, or of this       \
                        */
#define SPINS_MOST 150 /* looks for an answer before sleeping: some 20 microseconds */
#define ATTEMPTS   64  /* connections that break over one request before it is given up */
#define LOST       (-EPIPE)

/* The door of the shadow, for all threads. */
static struct link line = {.fd = -1};
static int line_lock;

/* --- connecting --- */

static void shut(int *fd)
{
    if (*fd >= 0)
        raw(SYS_close, *fd);
    *fd = -1;
}

/* The low numbers are the program's, should it have descriptors here. */
static int moved_up(int fd)
{
    struct rlimit limit = {.rlim_cur = 256};
    if (fd < 0)
        return fd;
    raw(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit);
    unsigned long least = (limit.rlim_cur < MOST_NUMBERS ? limit.rlim_cur : MOST_NUMBERS) / 2;
    long up = raw(SYS_fcntl, fd, F_DUPFD_CLOEXEC, least);
    if (raw_failed(up))
        return fd;
    raw(SYS_close, fd);
    return (int)up;
}

/* `line` is read by others while it is made again: it never holds anything but what is right. */
static int connect_line(void)
{
    struct link made;
    const struct timeval slice = {.tv_sec = 1};
    int error = line.fd < 0 ? link_open(&made) : 0;
    if (error || line.fd >= 0)
        return error;
    raw(SYS_setsockopt, made.fd, SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof slice);
    line.session = made.session;
    line.epoch = made.epoch;
    line.sequence = made.sequence;
    line.fd = moved_up(made.fd);
    return 0;
}

struct question {
    unsigned type;
    const void *payload;
    size_t size;
    const int *fds;
    size_t count;
    uint64_t mask;    /* of the program: REMOTE_ALL where it must not end now */
    uint32_t seconds; /* at most; 0: as long as it takes */
};

static int is_broken(long error)
{
    return error == -EPIPE || error == -ECONNRESET;
}

/* Puts the question and waits for the answer, in slices of a second. */
static long put_question(const struct question *q)
{
    long result = connect_line();
    if (result)
        return result;
    result = link_ask(&line, q->type, q->payload, q->size, q->fds, q->count);
    for (uint32_t i = 1; result == -ETIMEDOUT && (!q->seconds || i < q->seconds); i++) {
        remote_let_end(q->mask);
        result = link_wait(&line, q->type);
    }
    if (result < 0)
        link_close(&line);
    return result;
}

/* Every question may be put twice: what it asks for is a state, not a step. */
static long ask(const struct question *q)
{
    long result = -EPIPE;
    lock_take(&line_lock);
    for (int i = 0; i < ATTEMPTS && is_broken(result); i++)
        result = put_question(q);
    lock_release(&line_lock);
    return result;
}

long channel_ask_with(unsigned type, const void *payload, size_t size, const int *fd)
{
    const struct question q = {type, payload, size, fd, fd != NULL, REMOTE_ALL, LINK_TIMEOUT};
    return ask(&q);
}

long channel_ask(unsigned type, const void *payload, size_t size)
{
    return channel_ask_with(type, payload, size, NULL);
}

/* So that a call's bytes are sent whole, while the other end takes them: as much as the system lets
 * it. */
static void widen(int fd)
{
    const int size = 2 * WIRE_DATA;
    raw(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

/* A stream in place of the one that broke, if there was one. */
static int connect_stream(struct channel *c, uint64_t mask)
{
    struct wire_channel request = {.channel = c->number, .sequence = c->sequence};
    int pair[2];
    shut(&c->fd);
    if (raw_failed(raw(SYS_socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)))
        return -EIO;
    widen(pair[0]);
    widen(pair[1]);
    const struct question q = {FRAME_CHANNEL, &request, sizeof request, &pair[1], 1, mask, 0};
    long error = ask(&q);
    raw(SYS_close, pair[1]);
    c->fd = moved_up(pair[0]);
    if (error >= 0)
        return 0;
    shut(&c->fd);
    return error == -ETIMEDOUT ? -ETIMEDOUT : -EIO;
}

/* --- sending --- */

/* Takes `size` bytes off the front of the parts. */
static void advance(struct msghdr *m, size_t size)
{
    while (m->msg_iovlen && size >= m->msg_iov->iov_len) {
        size -= m->msg_iov->iov_len;
        m->msg_iov++;
        m->msg_iovlen--;
    }
    if (m->msg_iovlen) {
        m->msg_iov->iov_base = (char *)m->msg_iov->iov_base + size;
        m->msg_iov->iov_len -= size;
    }
}

/* The call's parts behind a header's, in a copy: the list is used up as the bytes go. */
static struct msghdr message(struct channel *c, void *head, size_t size, const struct iovec *rest,
                             size_t count)
{
    c->parts[0] = (struct iovec){head, size};
    memcpy(c->parts + 1, rest, count * sizeof *rest);
    return (struct msghdr){.msg_iov = c->parts, .msg_iovlen = count + 1};
}

static size_t bytes_in(const struct wire_request *request)
{
    size_t sum = 0;
    for (int i = 0; i < CALL_ARGS; i++)
        sum += request->in[i];
    return sum;
}

/* The shadow has yet to take what was sent before. */
static void wait_room(const struct channel *c, uint64_t mask)
{
    struct timespec slice = {1, 0};
    struct pollfd polled = {c->fd, POLLOUT, 0};
    if (raw(SYS_ppoll, &polled, 1, &slice, NULL, 8) == 0)
        remote_let_end(mask);
}

static uint64_t clock_now(int clock)
{
    struct timespec now = {0};
    raw(SYS_clock_gettime, clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void tell_clocks(struct wire_request *request)
{
    if (request->number != __NR_timerfd_settime)
        return;
    request->args[WIRE_MONOTONIC] = clock_now(CLOCK_MONOTONIC);
    request->args[WIRE_BOOTTIME] = clock_now(CLOCK_BOOTTIME);
}

static int send_request(struct channel *c, uint64_t mask)
{
    struct {
        struct frame_header header;
        struct wire_request request;
    } head;
    size_t left = sizeof head + bytes_in(&c->call.request);
    frame_header(&head.header, FRAME_CALL, line.session, c->sequence, left - sizeof head.header);
    head.header.epoch = line.epoch;
    head.header.channel = c->number;
    head.request = c->call.request;
    tell_clocks(&head.request);
    struct msghdr m = message(c, &head, sizeof head, c->call.in, c->call.in_count);
    while (left) {
        long sent = raw(SYS_sendmsg, c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent == -EFAULT)
            return -EFAULT;
        if (raw_failed(sent) && sent != -EAGAIN)
            return LOST;
        if (sent == -EAGAIN) {
            wait_room(c, mask);
        } else {
            advance(&m, (size_t)sent);
            left -= (size_t)sent;
        }
    }
    return 0;
}

/* --- receiving --- */

static int check_reply(const struct channel *c)
{
    const struct frame_header *h = &c->reply.header;
    size_t sum = sizeof c->reply.reply;
    int error = wire_check(h);
    if (!error &&
        (h->type != (FRAME_CALL | FRAME_REPLY) || h->channel != c->number ||
         h->session != line.session || h->epoch != line.epoch || h->sequence != c->sequence))
        error = -EILSEQ;
    for (int i = 0; i < CALL_ARGS; i++) {
        if (c->reply.reply.out[i] > c->call.request.out[i])
            error = -EBADMSG;
        sum += c->reply.reply.out[i];
    }
    return error ? error : sum == h->length ? 0 : -EBADMSG;
}

/* Takes what has come of the reply. 1: all of it; 0: not yet; or -errno. */
static int receive_some(struct channel *c)
{
    const struct iovec whole = {c->data, sizeof c->data};
    struct channel_call *call = &c->call;
    struct msghdr m = message(c, &c->reply, sizeof c->reply, call->direct ? call->out : &whole,
                              call->direct ? call->out_count : 1);
    advance(&m, c->received);
    long got = raw(SYS_recvmsg, c->fd, &m, MSG_DONTWAIT);
    if (got == -EAGAIN || got == -EINTR)
        return 0;
    if (got == -EFAULT && c->received <= sizeof c->reply) {
        call->direct = 0; /* nothing was taken: all of it once more, to where it is safe */
        return 0;
    }
    if (got <= 0)
        return LOST;
    c->received += (size_t)got;
    if (c->received < sizeof c->reply)
        return 0;
    if (check_reply(c))
        return LOST;
    size_t size = sizeof c->reply.header + c->reply.header.length;
    return c->received > size ? LOST : c->received == size;
}

/* Answers mostly come at once: better to stay awake for them than to be woken on another CPU. */
static int wait_awake(struct channel *c)
{
    int done = 0;
    for (uint32_t i = 0; i < c->spins && !done; i++)
        done = receive_some(c);
    if (done)
        c->spins = SPINS_MOST;
    else if (c->spins > 2)
        c->spins /= 2;
    else
        c->spins = c->sequence % 64 ? 1 : SPINS_MOST;
    return done;
}

/* The descriptor that becomes readable when a signal outside `mask` comes. */
static int watch_signals(struct channel *c, uint64_t mask)
{
    uint64_t set = ~mask;
    if (c->signals >= 0 && c->watched == set)
        return c->signals;
    long fd = raw(SYS_signalfd4, c->signals, &set, sizeof set, 02000000 /* SFD_CLOEXEC */);
    if (c->signals < 0)
        c->signals = moved_up((int)fd);
    c->watched = set;
    return c->signals;
}

static void cancel(struct channel *c)
{
    struct wire_cancel request = {.channel = c->number, .sequence = c->sequence};
    int error = -EPIPE;
    lock_take(&line_lock);
    for (int i = 0; i < 2 && is_broken(error); i++) {
        error = connect_line();
        if (!error && (error = link_tell(&line, FRAME_CANCEL, &request, sizeof request)))
            link_close(&line);
    }
    lock_release(&line_lock);
}

/* Until the whole reply is there: 1, or -errno. A cancellation has no answer of its own and may be
 * lost with its connection: it is told again each second, which changes nothing where it was heard.
 */
static int wait_reply(struct channel *c, uint64_t mask)
{
    int done = wait_awake(c), canceled = 0;
    struct pollfd polled[2] = {{c->fd, POLLIN, 0}, {-1, POLLIN, 0}};
    if (!done)
        polled[1].fd = watch_signals(c, mask);
    while (!done) {
        struct timespec slice = {1, 0};
        polled[0].revents = polled[1].revents = 0;
        raw(SYS_ppoll, polled, 2, canceled ? &slice : NULL, NULL, 8);
        if (polled[0].revents) {
            done = receive_some(c);
            continue;
        }
        if (canceled)
            remote_let_end(mask);
        cancel(c);
        canceled = 1;
        polled[1].fd = -1; /* it stays readable */
    }
    return done;
}

/* --- the call --- */

static int attempt(struct channel *c, uint64_t mask)
{
    int error = c->fd < 0 ? connect_stream(c, mask) : 0;
    c->received = 0;
    if (!error)
        error = send_request(c, mask);
    return error ? error : wait_reply(c, mask);
}

/* A bad pointer is found when a part of the request is on its way: the stream is given up, and the
 * number with it when the request cannot have been executed. */
int channel_call(struct channel *c, uint64_t mask)
{
    int result = LOST;
    c->sequence++;
    for (int i = 0; i < ATTEMPTS && (result == LOST || result == -EFAULT); i++) {
        while ((result = attempt(c, mask)) == -ETIMEDOUT)
            remote_let_end(mask);
        if (result == 1)
            return 0;
        shut(&c->fd);
        if (result == -EFAULT && !c->received) {
            c->sequence--;
            return -EFAULT;
        }
        c->call.direct = 0; /* the reply once more, where it is safe */
    }
    return -EIO;
}

/* The shadow keeps a channel whose stream broke, unless it is told. */
void channel_close(struct channel *c)
{
    struct wire_channel end = {.channel = c->number};
    if (c->fd >= 0)
        channel_ask(FRAME_CHANNEL, &end, sizeof end);
    shut(&c->fd);
    shut(&c->signals);
}

void channel_forget(struct channel *c)
{
    c->fd = c->signals = -1;
}

void channel_close_line(void)
{
    link_close(&line);
}

void channel_forget_line(void)
{
    line.fd = -1;
    line_lock = 0;
}
