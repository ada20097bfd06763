/* socket.c - sockets: names, options, streams and datagrams of several families. */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "surface.h"

/* Ports and names that the kernel chose are not shown. */
static void show_name(const struct sockaddr_storage *name, socklen_t size)
{
    show("    family %d, size %u", name->ss_family, size);
    if (name->ss_family == AF_UNIX && size > 2)
        show_bytes("name", (const char *)name + 2, size - 2);
    if (name->ss_family == AF_INET)
        show_bytes("address", &((const struct sockaddr_in *)name)->sin_addr, 4);
    if (name->ss_family == AF_INET6)
        show_bytes("address", &((const struct sockaddr_in6 *)name)->sin6_addr, 16);
}

static void names_of(int fd)
{
    struct sockaddr_storage name = {0};
    socklen_t size = sizeof name;
    CALL(getsockname, fd, &name, &size);
    show_name(&name, size);
    size = sizeof name;
    CALL(getpeername, fd, &name, &size);
}

static void making(void)
{
    int pair[2] = {-1, -1}, s = CALL(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_storage name;
    socklen_t size = 1;
    CALL(fcntl, s, F_GETFD);
    CALL(socket, 99, SOCK_STREAM, 0);
    CALL(socket, AF_UNIX, 99, 0);
    CALL(socket, AF_INET, SOCK_STREAM, 99);
    CALL(socket, AF_PACKET, SOCK_RAW, 0);
    CALL(socketpair, AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair);
    show("    pair %d %d", pair[0], pair[1]);
    CALL(socketpair, AF_INET, SOCK_STREAM, 0, other);
    CALL(socketpair, AF_UNIX, SOCK_STREAM, 0, BAD);
    CALL(bind, s, (&(struct sockaddr_un){AF_UNIX, "name"}), 7);
    CALL(bind, s, (&(struct sockaddr_un){AF_UNIX, "name2"}), 8);
    CALL(bind, s, BAD, 8);
    CALL(bind, s, NULL, 8);
    CALL(bind, s, big, 1000);
    CALL(bind, s, big, -1);
    CALL(bind, 0, big, 8);
    CALL(bind, -1, big, 8);
    CALL(getsockname, s, &name, &size);
    show("    size %u", size);
    size = sizeof name;
    CALL(getsockname, s, &name, &size);
    show_name(&name, size);
    CALL(getsockname, s, BAD, &size);
    CALL(getsockname, s, &name, BAD);
    size = (socklen_t)-1;
    CALL(getsockname, s, &name, &size);
    CALL(getsockname, 0, &name, &size);
    CALL(getpeername, s, &name, &size);
    CALL(listen, s, 5);
    CALL(listen, pair[0], 5);
    CALL(listen, -1, 5);
    CALL(connect, pair[0], (&(struct sockaddr_un){AF_UNIX, "none"}), 7);
    CALL(connect, pair[0], BAD, 7);
    CALL(connect, -1, BAD, 7);
    CALL(shutdown, s, 77);
    CALL(shutdown, 0, SHUT_RD);
    CALL(shutdown, -1, SHUT_RD);
}

static void converse(int client, int server)
{
    fill(big, BIG, 5);
    CALL(sendto, client, "hello", 5, 0, NULL, 0);
    CALL(recvfrom, server, edge(5), 5, 0, NULL, NULL);
    show_bytes("received", bad - 5, 5);
    CALL(write, server, "answer", 6);
    CALL(recvfrom, client, other, 3, MSG_PEEK, NULL, NULL);
    CALL(read, client, other, 100);
    show_bytes("received", other, 6);
    CALL(recvfrom, client, other, 3, MSG_DONTWAIT, NULL, NULL);
    CALL(sendto, client, BAD, 5, 0, NULL, 0);
    CALL(sendto, client, "x", 1, 1 << 30, NULL, 0);
    CALL(recvfrom, client, BAD, 5, MSG_DONTWAIT, NULL, NULL);
    CALL(shutdown, client, SHUT_WR);
    CALL(recvfrom, server, other, 10, 0, NULL, NULL);
    CALL(sendto, client, "x", 1, MSG_NOSIGNAL, NULL, 0);
    CALL(sendto, client, "x", 1, 0, NULL, 0);
    CALL(close, client);
    CALL(recvfrom, server, other, 10, 0, NULL, NULL);
}

static void streams(const struct sockaddr *name, socklen_t size)
{
    struct sockaddr_storage bound;
    socklen_t length = sizeof bound;
    int listener = CALL(socket, name->sa_family, SOCK_STREAM, 0),
        client = CALL(socket, name->sa_family, SOCK_STREAM, 0);
    CALL(accept, listener, NULL, NULL);
    CALL(bind, listener, name, size);
    CALL(listen, listener, 3);
    getsockname(listener, (void *)&bound, &length);
    CALL(connect, client, &bound, length);
    CALL(connect, client, &bound, length);
    length = sizeof bound;
    int server = CALL(accept, listener, &bound, &length);
    show("    size %u, family %d", length, bound.ss_family);
    names_of(client);
    names_of(server);
    fcntl(listener, F_SETFL, O_NONBLOCK);
    CALL(accept4, listener, NULL, NULL, 0);
    CALL(accept4, listener, NULL, NULL, 77);
    CALL(accept4, listener, &bound, BAD, 0);
    CALL(accept, 0, NULL, NULL);
    CALL(accept, -1, NULL, NULL);
    converse(client, server);
}

static void unix_streams(void)
{
    streams((void *)&(struct sockaddr_un){AF_UNIX, "door"}, sizeof(struct sockaddr_un));
}

static void inet_streams(void)
{
    const struct sockaddr_in name = {.sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    streams((const void *)&name, sizeof name);
}

static void inet6_streams(void)
{
    const struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    streams((const void *)&name, sizeof name);
}

/* As much as a socket takes: more than a frame. */
static void large_stream(void)
{
    int pair[2], size = 1 << 20;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        return;
    CALL(setsockopt, pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    CALL(fcntl, pair[0], F_SETFL, O_NONBLOCK);
    fill(big, BIG, 9);
    CALL(sendto, pair[0], big, 200000, 0, NULL, 0);
    CALL(recvfrom, pair[1], other, BIG, 0, NULL, NULL);
    show_bytes("received", other, 200000);
    long sent = CALL(sendto, pair[0], big, BIG, 0, NULL, 0);
    long got = CALL(recvfrom, pair[1], other, (size_t)sent, MSG_WAITALL, NULL, NULL);
    show_bytes("received", other, got > 0 ? (size_t)got : 0);
}

static void datagrams(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_storage from;
    socklen_t size = sizeof name;
    int a = CALL(socket, AF_INET, SOCK_DGRAM, 0), b = CALL(socket, AF_INET, SOCK_DGRAM, 0);
    CALL(bind, a, &name, sizeof name);
    getsockname(a, (void *)&name, &size);
    CALL(sendto, b, "datagram", 8, 0, &name, sizeof name);
    size = sizeof from;
    CALL(recvfrom, a, other, 100, 0, &from, &size);
    show_name(&from, size);
    CALL(sendto, b, "datagram", 8, 0, &name, sizeof name);
    size = 4;
    CALL(recvfrom, a, other, 3, MSG_TRUNC, &from, &size);
    show("    size %u", size);
    CALL(sendto, b, "", 0, 0, &name, sizeof name);
    CALL(recvfrom, a, other, 3, 0, NULL, NULL);
    CALL(sendto, b, "x", 1, 0, NULL, 0);
    CALL(sendto, b, "x", 1, 0, BAD, sizeof name);
    CALL(sendto, b, "x", 1, 0, &name, 3);
    CALL(sendto, b, "x", 1, 0, &name, 1000);
    CALL(sendto, b, big, 70000, 0, &name, sizeof name);
    CALL(sendto, b, big, BIG, 0, &name, sizeof name);
    CALL(sendto, -1, "x", 1, 0, &name, sizeof name);
    CALL(sendto, 0, "x", 1, 0, &name, sizeof name);
    CALL(recvfrom, a, other, 3, MSG_DONTWAIT, NULL, NULL);
}

static void options(void)
{
    int s = CALL(socket, AF_INET, SOCK_STREAM, 0), value = 1;
    socklen_t size = sizeof value;
    struct linger linger = {1, 5};
    CALL(setsockopt, s, SOL_SOCKET, SO_REUSEADDR, &value, sizeof value);
    value = 77;
    CALL(getsockopt, s, SOL_SOCKET, SO_REUSEADDR, &value, &size);
    show("    %d, size %u", value, size);
    CALL(setsockopt, s, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    linger = (struct linger){9, 9};
    size = sizeof linger;
    CALL(getsockopt, s, SOL_SOCKET, SO_LINGER, &linger, &size);
    show("    %d %d, size %u", linger.l_onoff, linger.l_linger, size);
    size = 2;
    value = 0;
    CALL(getsockopt, s, SOL_SOCKET, SO_TYPE, &value, &size);
    show("    %d, size %u", value, size);
    CALL(setsockopt, s, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value);
    CALL(setsockopt, s, SOL_SOCKET, SO_REUSEADDR, &value, 1);
    CALL(setsockopt, s, SOL_SOCKET, SO_REUSEADDR, BAD, 4);
    CALL(setsockopt, s, SOL_SOCKET, SO_REUSEADDR, NULL, 4);
    CALL(setsockopt, s, SOL_SOCKET, 9999, &value, 4);
    CALL(setsockopt, s, 999, 1, &value, 4);
    CALL(setsockopt, 0, SOL_SOCKET, SO_REUSEADDR, &value, 4);
    CALL(setsockopt, -1, SOL_SOCKET, SO_REUSEADDR, &value, 4);
    CALL(getsockopt, s, SOL_SOCKET, SO_ERROR, BAD, &size);
    CALL(getsockopt, s, SOL_SOCKET, SO_ERROR, &value, BAD);
    CALL(getsockopt, s, SOL_SOCKET, SO_ERROR, &value, NULL);
    size = (socklen_t)-1;
    CALL(getsockopt, s, SOL_SOCKET, SO_ERROR, &value, &size);
    CALL(getsockopt, s, SOL_SOCKET, 9999, &value, &size);
    CALL(getsockopt, -1, SOL_SOCKET, SO_ERROR, &value, &size);
    int pair[2];
    struct ucred peer = {0};
    size = sizeof peer;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        return;
    CALL(getsockopt, pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &size);
    show("    ours %d, user %d, size %u", peer.pid == getpid(), peer.uid == geteuid(), size);
    CALL(ioctl, s, 0x8905 /* SIOCATMARK */, &value);
    CALL(ioctl, s, 0x8933 /* SIOCGIFINDEX */, strcpy(memset(other, 0, 64), "lo"));
    show_bytes("index of lo", other, 20);
    CALL(ioctl, s, 0x8933, strcpy(memset(other, 0, 64), "none"));
    CALL(ioctl, s, 0x8912 /* SIOCGIFCONF: pointers */ + 0x10000000, 0);
}

/* The kernel's answer about the loopback device. */
static void netlink(void)
{
    struct {
        struct nlmsghdr header;
        struct ifinfomsg info;
    } ask = {{sizeof ask, RTM_GETLINK, NLM_F_REQUEST, 1, 0}, {.ifi_index = 1}};
    struct sockaddr_nl name = {.nl_family = AF_NETLINK};
    int s = CALL(socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    CALL(bind, s, &name, sizeof name);
    CALL(sendto, s, &ask, sizeof ask, 0, &name, sizeof name);
    socklen_t size = sizeof name;
    SOME(recvfrom, s, other, 65536, 0, &name, &size);
    const struct nlmsghdr *h = (const void *)other;
    const struct ifinfomsg *i = (const void *)(h + 1);
    show("    from %u, size %u, type %d, index %d, device %d", name.nl_pid, size, h->nlmsg_type,
         i->ifi_index, i->ifi_type);
    ask.info.ifi_index = 12345;
    CALL(sendto, s, &ask, sizeof ask, 0, NULL, 0);
    CALL(recvfrom, s, other, 65536, 0, NULL, NULL);
    show("    type %d, error %d", h->nlmsg_type, *(const int *)(h + 1));
    CALL(socket, AF_NETLINK, SOCK_RAW, 99);
}

const struct surface_case socket_cases[] = {
    {"sockets", making},
    {"streams, AF_UNIX", unix_streams},
    {"streams, AF_INET", inet_streams},
    {"streams, AF_INET6", inet6_streams},
    {"more than a frame through a socket", large_stream},
    {"datagrams", datagrams},
    {"options", options},
    {"AF_NETLINK", netlink},
    {NULL, NULL},
};
