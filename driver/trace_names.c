/* trace_names.c - see trace.h: the names of trace.def. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <termios.h>
#include <time.h>

#include "driver/trace.h"

#ifndef SOL_UDP
#define SOL_UDP 17 /* linux/udp.h */
#endif

#define V(x)                                                                                       \
    {                                                                                              \
#x, (uint32_t)(x), UINT32_MAX                                                              \
    }
#define B(x)                                                                                       \
    {                                                                                              \
#x, (uint32_t)(x), (uint32_t)(x)                                                           \
    }
#define M(x, mask)                                                                                 \
    {                                                                                              \
#x, (uint32_t)(x), (uint32_t)(mask)                                                        \
    }
#define L(x, bits)                                                                                 \
    {                                                                                              \
        x, bits, bits                                                                              \
    }

#define TABLE(id, ...) const struct trace_name trace_##id[] = {__VA_ARGS__, {NULL, 0, 0}};
#include "driver/trace.def"

static const struct {
    uint16_t number;
    uint8_t index;
    const struct trace_name *table;
} named[] = {
#define NAMED(call, argument, id) {__NR_##call, (argument)-1, trace_##id},
#include "driver/trace.def"
};

static const struct {
    uint16_t number;
    uint8_t index;
    trace_shower *show;
} shown[] = {
#define SHOWN(call, argument, function) {__NR_##call, (argument)-1, function},
#include "driver/trace.def"
};

void trace_names(FILE *to, const struct trace_name *table, uint32_t value)
{
    const char *separator = "";
    uint32_t rest = value, named_bits = 0;
    for (; table->name; table++) {
        if ((value & table->mask) != table->value || table->mask & named_bits)
            continue;
        fprintf(to, "%s%s", separator, table->name);
        separator = "|";
        named_bits |= table->mask;
        rest &= ~table->mask;
    }
    if (rest || !*separator)
        fprintf(to, rest ? "%s%#x" : "%s0", separator, rest);
}

/* What a socket's protocol and an option mean depends on another argument. */
static const struct trace_name *depending(const struct trace_call *c, int index)
{
    const struct wire_request *r = &c->traced.request;
    if (r->number == __NR_socket && index == 2)
        return r->args[0] == AF_INET || r->args[0] == AF_INET6 ? trace_protocols : NULL;
    if ((r->number != __NR_getsockopt && r->number != __NR_setsockopt) || index != 2)
        return NULL;
    switch ((int)r->args[1]) {
    case SOL_SOCKET:
        return trace_socket_options;
    case SOL_TCP:
        return trace_tcp_options;
    case SOL_IP:
        return trace_ip_options;
    case SOL_IPV6:
        return trace_ipv6_options;
    default:
        return NULL;
    }
}

const struct trace_name *trace_table(const struct trace_call *c, int index)
{
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (named[i].number == c->traced.request.number && named[i].index == index)
            return named[i].table;
    return depending(c, index);
}

trace_shower *trace_find_shower(const struct trace_call *c, int index)
{
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        if (shown[i].number == c->traced.request.number && shown[i].index == index)
            return shown[i].show;
    return NULL;
}
