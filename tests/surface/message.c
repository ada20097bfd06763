/* message.c - struct msghdr: lists of buffers, names, ancillary data, several messages at once. */
#include <netinet/in.h>

#include "surface.h"

static char control[256], text[64];
static struct iovec parts[2] = {{text, 4}, {text + 8, 40}};

static struct msghdr *empty(void)
{
    static struct msghdr m;
    memset(control, 0, sizeof control);
    memset(text, '-', sizeof text);
    m = (struct msghdr){.msg_iov = parts, .msg_iovlen = 2};
    return &m;
}

static struct msghdr *with_control(void)
{
    struct msghdr *m = empty();
    m->msg_control = control;
    m->msg_controllen = sizeof control;
    return m;
}

static void show_message(const struct msghdr *m)
{
    show("    name %u, control %zu, flags %x", m->msg_namelen, (size_t)m->msg_controllen,
         m->msg_flags);
    show_bytes("data", text, sizeof text);
}

static void plain_messages(void)
{
    int pair[2];
    struct msghdr *m = empty();
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))
        return;
    memcpy(text, "first message", 13);
    CALL(sendmsg, pair[0], m, 0);
    CALL(recvmsg, pair[1], empty(), 0);
    show_message(m);
    empty();
    CALL(sendmsg, pair[0], m, 0);
    m->msg_iovlen = 1;
    CALL(recvmsg, pair[1], m, 0);
    show_message(m);
    m->msg_iovlen = 0;
    CALL(sendmsg, pair[0], m, 0);
    CALL(recvmsg, pair[1], m, 0);
    show_message(m);
    m->msg_iovlen = 1025;
    CALL(sendmsg, pair[0], m, 0);
    CALL(recvmsg, pair[1], m, MSG_DONTWAIT);
    CALL(recvmsg, pair[1], empty(), MSG_DONTWAIT);
    m->msg_iov = (void *)BAD;
    CALL(sendmsg, pair[0], m, 0);
    CALL(recvmsg, pair[1], m, MSG_DONTWAIT);
    CALL(sendmsg, pair[0], BAD, 0);
    CALL(recvmsg, pair[1], BAD, MSG_DONTWAIT);
    CALL(sendmsg, pair[0], NULL, 0);
    m = empty();
    m->msg_name = BAD;
    m->msg_namelen = 10;
    CALL(sendmsg, pair[0], m, 0);
    m = empty();
    m->msg_control = BAD;
    m->msg_controllen = 100;
    CALL(sendmsg, pair[0], m, 0);
    m->msg_control = big;
    m->msg_controllen = 600000;
    CALL(sendmsg, pair[0], m, 0);
    CALL(sendmsg, -1, empty(), 0);
    CALL(sendmsg, 0, empty(), 0);
    CALL(recvmsg, -1, empty(), 0);
    CALL(recvmsg, 0, empty(), 0);
    CALL(sendmsg, pair[0], empty(), 1 << 30);
}

static void named_messages(void)
{
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}, from;
    socklen_t size = sizeof name;
    int a = socket(AF_INET6, SOCK_DGRAM, 0), b = socket(AF_INET6, SOCK_DGRAM, 0);
    if (bind(a, (void *)&name, sizeof name) || getsockname(a, (void *)&name, &size))
        return;
    struct msghdr *m = empty();
    m->msg_name = &name;
    m->msg_namelen = sizeof name;
    CALL(sendmsg, b, m, 0);
    m = with_control();
    m->msg_name = &from;
    m->msg_namelen = sizeof from;
    CALL(recvmsg, a, m, 0);
    show("    family %d, name %u", from.sin6_family, m->msg_namelen);
    show_message(m);
    m->msg_name = &name;
    m->msg_namelen = 3;
    CALL(sendmsg, b, m, 0);
    m->msg_namelen = -1;
    CALL(sendmsg, b, m, 0);
}

static void put_control(struct msghdr *m, int type, const void *data, size_t size)
{
    m->msg_control = control;
    m->msg_controllen = CMSG_SPACE(size);
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = type, .cmsg_len = CMSG_LEN(size)};
    memcpy(CMSG_DATA(c), data, size);
}

static void show_control(struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
        show("    control level %d type %d length %zu: %d", c->cmsg_level, c->cmsg_type,
             (size_t)c->cmsg_len,
             c->cmsg_type == SCM_RIGHTS ? *(int *)CMSG_DATA(c)
                                        : ((struct ucred *)CMSG_DATA(c))->pid == getpid());
}

static void descriptors(void)
{
    int pair[2], fd = make_file("file", "0123456789", 10), two[2] = {fd, fd}, closed = 999;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        return;
    struct msghdr *m = empty();
    put_control(m, SCM_RIGHTS, two, sizeof two);
    CALL(sendmsg, pair[0], m, 0);
    m = with_control();
    CALL(recvmsg, pair[1], m, MSG_CMSG_CLOEXEC);
    show_message(m);
    show_control(m);
    int got;
    memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(m)), sizeof got);
    CALL(read, got, other, 4);
    CALL(fcntl, got, F_GETFD);
    CALL(lseek, fd, 0, SEEK_CUR);
    m = empty();
    put_control(m, SCM_RIGHTS, two, sizeof two);
    CALL(sendmsg, pair[0], m, 0);
    m = empty();
    m->msg_control = control;
    m->msg_controllen = CMSG_LEN(sizeof(int)); /* room for one of them */
    CALL(recvmsg, pair[1], m, 0);
    show_message(m);
    show_control(m);
    m = empty();
    put_control(m, SCM_RIGHTS, &closed, sizeof closed);
    CALL(sendmsg, pair[0], m, 0);
    put_control(m, 99, &fd, sizeof fd);
    CALL(sendmsg, pair[0], m, 0);
    put_control(m, SCM_RIGHTS, &fd, sizeof fd);
    CMSG_FIRSTHDR(m)->cmsg_len = 3;
    CALL(sendmsg, pair[0], m, 0);
}

static void credentials(void)
{
    int pair[2], on = 1;
    struct ucred who = {getpid(), getuid(), getgid()}, other_process = {1, getuid(), getgid()};
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))
        return;
    CALL(setsockopt, pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    struct msghdr *m = empty();
    put_control(m, SCM_CREDENTIALS, &who, sizeof who);
    CALL(sendmsg, pair[0], m, 0);
    m = with_control();
    CALL(recvmsg, pair[1], m, 0);
    show_message(m);
    show_control(m);
    CALL(write, pair[0], "plain", 5);
    m = with_control();
    CALL(recvmsg, pair[1], m, 0);
    show_control(m);
    if (!is_root) {
        put_control(m, SCM_CREDENTIALS, &other_process, sizeof other_process);
        CALL(sendmsg, pair[0], m, 0);
    }
}

/* More than a frame, in one message of a stream and as a datagram that is too large. */
static void large_messages(void)
{
    int pair[2], size = 4 << 20;
    struct iovec list[3] = {{big, 250000}, {big + 250000, 250000}, {big + 500000, 100000}};
    struct msghdr m = {.msg_iov = list, .msg_iovlen = 3};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        return;
    setsockopt(pair[0], SOL_SOCKET, is_root ? SO_SNDBUFFORCE : SO_SNDBUF, &size, sizeof size);
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    fill(big, BIG, 11);
    long sent = CALL(sendmsg, pair[0], &m, 0);
    list[0].iov_base = other;
    list[1].iov_base = other + 250000;
    list[2].iov_base = other + 500000;
    memset(other, 0, BIG);
    long got = CALL(recvmsg, pair[1], &m, MSG_WAITALL | MSG_DONTWAIT);
    show("    all %d", sent == got);
    show_bytes("received", other, sent > 0 ? (size_t)sent : 0);
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))
        return;
    CALL(sendmsg, pair[0], &m, 0);
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    list[0].iov_len = 200000;
    m.msg_iovlen = 1;
    CALL(sendmsg, pair[0], &m, 0);
    CALL(recvmsg, pair[1], &m, 0);
}

static void several(void)
{
    int pair[2];
    char in[4][8] = {"a", "bb", "ccc", "dddd"};
    struct iovec list[4];
    struct mmsghdr m[4] = {0};
    struct timespec limit = {1, 0};
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))
        return;
    for (int i = 0; i < 4; i++) {
        list[i] = (struct iovec){in[i], (size_t)i + 1};
        m[i] = (struct mmsghdr){{.msg_iov = &list[i], .msg_iovlen = 1}, 77};
    }
    CALL(sendmmsg, pair[0], m, 3, 0);
    show("    lengths %u %u %u %u", m[0].msg_len, m[1].msg_len, m[2].msg_len, m[3].msg_len);
    memset(in, '-', sizeof in);
    CALL(recvmmsg, pair[1], m, 2, 0, NULL);
    show("    lengths %u %u %u %u", m[0].msg_len, m[1].msg_len, m[2].msg_len, m[3].msg_len);
    show_bytes("data", in, sizeof in);
    CALL(recvmmsg, pair[1], m, 4, MSG_WAITFORONE, NULL);
    CALL(recvmmsg, pair[1], m, 4, MSG_DONTWAIT, &limit);
    CALL(recvmmsg, pair[1], m, 0, 0, NULL);
    CALL(recvmmsg, pair[1], m, 1, 0, BAD);
    limit.tv_nsec = -1;
    CALL(recvmmsg, pair[1], m, 1, 0, &limit);
    CALL(recvmmsg, -1, m, 1, 0, NULL);
    CALL(recvmmsg, pair[1], BAD, 1, MSG_DONTWAIT, NULL);
    CALL(sendmmsg, pair[0], m, 0, 0);
    CALL(sendmmsg, -1, m, 1, 0);
    CALL(sendmmsg, -1, m, 0, 0);
    CALL(sendmmsg, pair[0], BAD, 1, 0);
    m[1].msg_hdr.msg_iov = (void *)BAD;
    CALL(sendmmsg, pair[0], m, 3, 0);
    CALL(recvmmsg, pair[1], m, 1, MSG_DONTWAIT, NULL);
}

const struct surface_case message_cases[] = {
    {"messages", plain_messages},
    {"messages with names", named_messages},
    {"descriptors sent", descriptors},
    {"credentials sent", credentials},
    {"large messages", large_messages},
    {"several messages", several},
    {NULL, NULL},
};
