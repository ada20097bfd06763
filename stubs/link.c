/* link.c - see link.h. Large buffers are static: one thread, and only the handler comes here. */
#include <fcntl.h>
#include <linux/un.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "stubs/fds.h"
#include "stubs/agent.h"
#include "stubs/link.h"
#include "stubs/mem.h"
#include "stubs/raw.h"

#define TABLE_PIECE 32768

static struct {
    struct frame_header header;
    char payload[FRAME_MAX_PAYLOAD];
} answer;

/* What send and receive return is told by its cause: a limit of time, the end of the connection. */
static int named(long result)
{
    return result == -EAGAIN ? -ETIMEDOUT : result == 0 ? -EPIPE : (int)result;
}

/* One frame, with descriptors when there are any. */
static int send_frame(struct link *link, unsigned type, const void *payload, size_t size,
                      const int *fds, size_t count)
{
    static union {
        struct cmsghdr header;
        char space[CMSG_SPACE(FRAME_BATCH * sizeof(int))];
    } control;
    struct frame_header header;
    struct iovec parts[2] = {{&header, sizeof header}, {(void *)payload, size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    frame_header(&header, type, link->session, ++link->sequence, size);
    header.epoch = link->epoch;
    if (count) {
        control.header.cmsg_len = CMSG_LEN(count * sizeof *fds);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        memcpy(CMSG_DATA(&control.header), fds, count * sizeof *fds);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof *fds);
    }
    long sent = raw(SYS_sendmsg, link->fd, &message, MSG_NOSIGNAL);
    return raw_failed(sent) ? named(sent) : 0;
}

/* What came, `got` bytes of it: the status of the answer to the frame just sent, or -errno. */
static int check_answer(const struct link *link, unsigned type, long got)
{
    int error = frame_check(&answer.header, (size_t)got);
    if (!error)
        error = frame_check_order(&answer.header, link->session, link->sequence);
    if (!error && answer.header.type != (type | FRAME_REPLY))
        error = -ENOTSUP;
    return error ? error : answer.header.status;
}

/* The answer to the frame just sent, into `answer`: its status, or -errno. */
static int receive_answer(struct link *link, unsigned type)
{
    long got = raw(SYS_recvfrom, link->fd, &answer, sizeof answer, 0, NULL, NULL);
    return got <= 0 ? named(got) : check_answer(link, type, got);
}

int link_wait(struct link *link, unsigned type)
{
    return receive_answer(link, type);
}

static int ask(struct link *link, unsigned type, const void *payload, size_t size)
{
    int error = send_frame(link, type, payload, size, NULL, 0);
    return error ? error : receive_answer(link, type);
}

int link_ask(struct link *link, unsigned type, const void *payload, size_t size, const int *fds,
             size_t count)
{
    int error = send_frame(link, type, payload, size, fds, count);
    return error ? error : receive_answer(link, type);
}

const void *link_answer(size_t *size)
{
    *size = answer.header.length;
    return answer.payload;
}

int link_tell(struct link *link, unsigned type, const void *payload, size_t size)
{
    return send_frame(link, type, payload, size, NULL, 0);
}

static int connect_socket(struct link *link)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = LINK_TIMEOUT};
    mem_copy_string(address.sun_path, hijack_params.socket, sizeof address.sun_path);
    raw(SYS_setsockopt, link->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    raw(SYS_setsockopt, link->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    long result = raw(SYS_connect, link->fd, &address, sizeof address);
    return result ? named(result) : 0;
}

/* The key goes to nobody but a process of our user: only such a one can listen in our runtime
 * directory, and yet. */
static int check_peer(const struct link *link)
{
    struct ucred peer;
    unsigned size = sizeof peer;
    long result = raw(SYS_getsockopt, link->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    if (raw_failed(result))
        return (int)result;
    return peer.uid == 0 || peer.uid == (unsigned)raw(SYS_geteuid) ||
                   peer.uid == (unsigned)raw(SYS_getuid)
               ? 0
               : -EACCES;
}

int link_open(struct link *link)
{
    struct frame_hello hello = {.role = FRAME_APPLICATION};
    link->session = frame_session(hijack_params.key);
    link->sequence = 0;
    link->epoch = 0;
    link->fd = (int)raw(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (link->fd < 0)
        return link->fd;
    memcpy(hello.key, hijack_params.key, sizeof hello.key);
    int error = connect_socket(link);
    if (!error)
        error = check_peer(link);
    if (!error)
        error = ask(link, FRAME_HELLO, &hello, sizeof hello);
    if (error < 0)
        link_close(link);
    else
        link->epoch = answer.header.epoch;
    return error < 0 ? error : 0;
}

int link_take_request(struct link *link, struct frame_request *out)
{
    int status = ask(link, FRAME_TAKE, NULL, 0);
    if (status <= 0)
        return status;
    if (answer.header.length != sizeof *out)
        return -EBADMSG;
    memcpy(out, answer.payload, sizeof *out);
    return frame_check_text(out->path, sizeof out->path) ? -EBADMSG : 1;
}

static int send_table(struct link *link, const struct fds_table *table)
{
    for (size_t done = 0; done < table->size;) {
        size_t piece = table->size - done < TABLE_PIECE ? table->size - done : TABLE_PIECE;
        int error = ask(link, FRAME_TABLE, (const char *)table->data + done, piece);
        if (error < 0)
            return error;
        done += piece;
    }
    return 0;
}

/* Acknowledged one by one: descriptors in flight count against limits, and none may be lost. */
static int send_batch(struct link *link, const int *fds, struct frame_batch *batch)
{
    if (!batch->count)
        return 0;
    int error = send_frame(link, FRAME_DESCRIPTORS, batch, sizeof *batch, fds, batch->count);
    if (!error)
        error = receive_answer(link, FRAME_DESCRIPTORS);
    batch->first += batch->count;
    batch->count = 0;
    return error;
}

static int send_descriptors(struct link *link, const struct fds_header *h)
{
    int fds[FRAME_BATCH];
    struct frame_batch batch = {0, 0};
    for (uint32_t i = 0; i < h->count; i++) {
        if (!fds_travels(fds_entries(h) + i))
            continue;
        fds[batch.count++] = fds_entries(h)[i].number;
        int error = batch.count == FRAME_BATCH ? send_batch(link, fds, &batch) : 0;
        if (error < 0)
            return error;
    }
    return send_batch(link, fds, &batch);
}

int link_give_descriptors(struct link *link, const struct fds_table *table)
{
    const struct fds_header *h = table->data;
    struct frame_offer offer = {.image = h->image, .table = (uint32_t)table->size};
    for (uint32_t i = 0; i < h->count; i++)
        offer.count += (uint32_t)fds_travels(fds_entries(h) + i);
    int error = ask(link, FRAME_OFFER, &offer, sizeof offer);
    if (error >= 0)
        error = send_table(link, table);
    return error < 0 ? error : send_descriptors(link, h);
}

/* --- descriptors come back --- */

static void close_fds(const int *fds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (fds[i] >= 0)
            raw(SYS_close, fds[i]);
}

/* The answer to FRAME_DESCRIPTORS: how many came, at the lowest free numbers, or -errno. */
static long receive_batch(struct link *link, int *fds)
{
    static union {
        struct cmsghdr header;
        char space[CMSG_SPACE(FRAME_BATCH * sizeof(int))];
    } control;
    struct iovec part = {&answer, sizeof answer};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    long got = raw(SYS_recvmsg, link->fd, &message, MSG_CMSG_CLOEXEC);
    if (got <= 0)
        return named(got);
    uint32_t count = 0;
    if (message.msg_controllen >= CMSG_LEN(0) && control.header.cmsg_type == SCM_RIGHTS)
        count = (uint32_t)((control.header.cmsg_len - CMSG_LEN(0)) / sizeof *fds);
    memcpy(fds, CMSG_DATA(&control.header), count * sizeof *fds);
    long error =
        message.msg_flags & MSG_CTRUNC ? -EMFILE : check_answer(link, FRAME_DESCRIPTORS, got);
    if (error < 0)
        close_fds(fds, count);
    return error < 0 ? error : count;
}

/* Another one that came stands at the number: it goes to a free one. */
static void make_room(int *fds, uint32_t count, int number)
{
    for (uint32_t i = 0; i < count; i++)
        if (fds[i] == number)
            fds[i] = (int)raw(SYS_fcntl, number, F_DUPFD_CLOEXEC, 0);
}

static long place_one(int *fd, const struct fds_entry *e)
{
    int cloexec = e->flags & FDS_CLOEXEC;
    long result = e->flags & FDS_HERE ? 0
                  : *fd == e->number  ? raw(SYS_fcntl, *fd, F_SETFD, cloexec ? FD_CLOEXEC : 0)
                                      : raw(SYS_dup3, *fd, e->number, cloexec ? O_CLOEXEC : 0);
    if (*fd != e->number)
        raw(SYS_close, *fd);
    *fd = -1;
    return raw_failed(result) ? result : 0;
}

static long place_batch(int *fds, uint32_t count, const struct fds_entry *e)
{
    for (uint32_t i = 0; i < count; i++) {
        int fd = fds[i];
        fds[i] = -1;
        make_room(fds + i + 1, count - i - 1, e[i].number);
        long error = place_one(&fd, e + i);
        if (error) {
            close_fds(fds + i + 1, count - i - 1);
            return error;
        }
    }
    return 0;
}

int link_take_descriptors(struct link *link, const struct fds_table *table)
{
    const struct fds_header *h = table->data;
    int fds[FRAME_BATCH];
    for (struct frame_batch batch = {0, 0}; batch.first < h->count; batch.first += batch.count) {
        uint32_t left = h->count - batch.first;
        batch.count = left < FRAME_BATCH ? left : FRAME_BATCH;
        long got = send_frame(link, FRAME_DESCRIPTORS, &batch, sizeof batch, NULL, 0);
        if (!got)
            got = receive_batch(link, fds);
        if (got >= 0 && got != batch.count) {
            close_fds(fds, (uint32_t)got);
            got = -EBADMSG;
        }
        long error = got < 0 ? got : place_batch(fds, batch.count, fds_entries(h) + batch.first);
        if (error)
            return (int)error;
    }
    return 0;
}

int link_commit(struct link *link)
{
    return ask(link, FRAME_COMMIT, NULL, 0);
}

int link_report(struct link *link, const struct frame_report *report)
{
    return ask(link, FRAME_REPORT, report, sizeof *report);
}

void link_close(struct link *link)
{
    if (link->fd >= 0)
        raw(SYS_close, link->fd);
    link->fd = -1;
}
