/* control.c - see control.h: connection and frames. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "shadow/control.h"

static struct control_frame scratch;

int control_new_key(uint8_t key[FRAME_KEY])
{
    return getrandom(key, FRAME_KEY, 0) == FRAME_KEY ? 0 : -errno;
}

static int send_with(struct control *c, unsigned type, const void *payload, size_t size,
                     const int *fds, uint32_t count)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(FRAME_BATCH * sizeof(int))];
    } control = {.space = ""};
    struct frame_header header;
    struct iovec parts[2] = {{&header, sizeof header}, {(void *)payload, size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    frame_header(&header, type, c->session, ++c->sequence, size);
    if (count) {
        control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(count * sizeof *fds),
                                          .cmsg_level = SOL_SOCKET,
                                          .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), fds, count * sizeof *fds);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof *fds);
    }
    return sendmsg(c->fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int send_frame(struct control *c, unsigned type, const void *payload, size_t size)
{
    return send_with(c, type, payload, size, NULL, 0);
}

static void take_descriptors(struct msghdr *message, int *fds, uint32_t *count)
{
    for (struct cmsghdr *m = CMSG_FIRSTHDR(message); m; m = CMSG_NXTHDR(message, m)) {
        if (m->cmsg_level != SOL_SOCKET || m->cmsg_type != SCM_RIGHTS)
            continue;
        *count = (uint32_t)((m->cmsg_len - CMSG_LEN(0)) / sizeof *fds);
        memcpy(fds, CMSG_DATA(m), *count * sizeof *fds);
    }
}

/* One frame; with `fds`, room for FRAME_BATCH descriptors, those that come along. */
static int receive_frame(struct control *c, struct control_frame *frame, int *fds, uint32_t *count)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(FRAME_BATCH * sizeof(int))];
    } control;
    struct iovec part = {frame, sizeof *frame};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fds) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        *count = 0;
    }
    ssize_t got = recvmsg(c->fd, &message, MSG_CMSG_CLOEXEC);
    if (got <= 0)
        return got < 0 ? -errno : -ECONNRESET;
    if (fds)
        take_descriptors(&message, fds, count);
    if (fds && message.msg_flags & MSG_CTRUNC)
        return -EMFILE;
    return frame_check(&frame->header, (size_t)got);
}

/* Unasked frames in between are for control_next(), which is called only when no answer is awaited.
 */
static int answer_of(struct control *c, unsigned type, struct control_frame *reply, int *fds,
                     uint32_t *count)
{
    int error = receive_frame(c, reply, fds, count);
    if (error)
        return error;
    if (reply->header.type != (type | FRAME_REPLY) || reply->header.sequence != c->sequence)
        return -EILSEQ;
    return reply->header.status;
}

int control_ask(struct control *c, unsigned type, const void *payload, size_t size,
                struct control_frame *reply)
{
    int error = send_frame(c, type, payload, size);
    return error ? error : answer_of(c, type, reply ? reply : &scratch, NULL, NULL);
}

int control_give(struct control *c, unsigned type, const void *payload, size_t size, const int *fds,
                 uint32_t count)
{
    int error = send_with(c, type, payload, size, fds, count);
    return error ? error : answer_of(c, type, &scratch, NULL, NULL);
}

int control_ask_descriptors(struct control *c, const struct frame_batch *batch, int *fds,
                            uint32_t *count)
{
    *count = 0;
    int error = send_frame(c, FRAME_DESCRIPTORS, batch, sizeof *batch);
    return error ? error : answer_of(c, FRAME_DESCRIPTORS, &scratch, fds, count);
}

int control_next(struct control *c, struct control_frame *frame, int milliseconds)
{
    struct pollfd polled = {c->fd, POLLIN, 0};
    int ready = poll(&polled, 1, milliseconds);
    if (ready <= 0)
        return ready < 0 ? -errno : -EAGAIN;
    int error = receive_frame(c, frame, NULL, NULL);
    return error ? error : frame->header.type;
}

/* Who listens (the kernel's word for it) must be the user whose directory it is, or root. */
static int check_peer(struct control *c)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return -errno;
    c->shadow = peer.pid;
    return geteuid() == 0 || peer.uid == geteuid() || peer.uid == 0 ? 0 : -EACCES;
}

static int greet(struct control *c, const uint8_t *key)
{
    struct frame_hello hello = {.role = key ? FRAME_STARTER : FRAME_TOOL};
    if (key)
        memcpy(hello.key, key, sizeof hello.key);
    int error = check_peer(c);
    return error ? error : control_ask(c, FRAME_HELLO, &hello, sizeof hello, NULL);
}

int control_open(struct control *c, const char *socket_path, const uint8_t *key)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = CONTROL_TIMEOUT};
    *c = (struct control){.session = key ? frame_session(key) : 0};
    if (strlen(socket_path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    strcpy(address.sun_path, socket_path);
    strcpy(c->socket, socket_path);
    c->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return -errno;
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    int error =
        connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : greet(c, key);
    if (error)
        control_close(c);
    return error;
}

void control_close(struct control *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

int control_status(struct control *c, struct control_status *out)
{
    int error = control_ask(c, FRAME_STATUS, NULL, 0, &scratch);
    size_t size = scratch.header.length;
    if (error)
        return error;
    if (size < sizeof out->status || size > sizeof *out)
        return -EBADMSG;
    memset(out, 0, sizeof *out);
    memcpy(out, scratch.payload, size);
    struct frame_status *s = &out->status;
    if (s->images > FRAME_IMAGES || size != sizeof *s + s->images * sizeof *out->images ||
        frame_check_text(s->name, sizeof s->name) ||
        frame_check_text(s->directory, sizeof s->directory))
        return -EBADMSG;
    for (uint32_t i = 0; i < s->images; i++)
        if (frame_check_text(out->images[i].path, sizeof out->images[i].path))
            return -EBADMSG;
    return 0;
}

int control_end(struct control *c)
{
    return control_ask(c, FRAME_END, NULL, 0, NULL);
}
