/* message.c - see message.h. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shadow/message.h"

union control {
    struct cmsghdr header;
    char space[CMSG_SPACE(FRAME_BATCH * sizeof(int))];
};

int message_send(int fd, const struct frame_header *header, const void *payload, const int *fds,
                 uint32_t fd_count, int flags)
{
    union control control;
    struct iovec parts[2] = {{(void *)header, sizeof *header}, {(void *)payload, header->length}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    if (fd_count) {
        control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(fd_count * sizeof *fds),
                                          .cmsg_level = SOL_SOCKET,
                                          .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof *fds);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof *fds);
    }
    return sendmsg(fd, &message, MSG_NOSIGNAL | flags) < 0 ? -errno : 0;
}

/* Picks up descriptors that came along, wanted or not. */
static void collect_descriptors(struct msghdr *message, struct frame *f)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        f->fd_count = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(f->fds, CMSG_DATA(c), f->fd_count * sizeof(int));
    }
}

int message_receive(int fd, struct frame *f, int flags)
{
    union control control;
    struct iovec parts[2] = {{&f->header, sizeof f->header}, {f->payload, sizeof f->payload}};
    struct msghdr message = {.msg_iov = parts,
                             .msg_iovlen = 2,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    f->fd_count = 0;
    ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | flags);
    if (got <= 0)
        return got < 0 ? -errno : -EPIPE;
    collect_descriptors(&message, f);
    if (message.msg_flags & MSG_TRUNC)
        return -EMSGSIZE;
    int error = frame_check(&f->header, (size_t)got);
    return !error && message.msg_flags & MSG_CTRUNC ? -EMFILE : error;
}

void message_close_descriptors(struct frame *f)
{
    for (uint32_t i = 0; i < f->fd_count; i++)
        close(f->fds[i]);
    f->fd_count = 0;
}
