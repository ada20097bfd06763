/* trace_struct.c - see trace.h: structs as strace(1) prints them, by default in part. */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/utsname.h>

#include "driver/trace.h"
#include "stubs/calls_by.h"

/* --- files --- */

bool trace_stat(FILE *to, const struct trace_call *c, int index)
{
    struct stat st;
    size_t size = offsetof(struct stat, st_size) + sizeof st.st_size;
    if (!trace_out(c, index, &st, size))
        return false;
    fputs("{st_mode=", to);
    trace_names(to, trace_file_types, st.st_mode & ~0777u);
    fprintf(to, "|%#03o, ", st.st_mode & 0777u);
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
        fprintf(to, "st_rdev=makedev(%#x, %#x), ...}", major(st.st_rdev), minor(st.st_rdev));
    else
        fprintf(to, "st_size=%lld, ...}", (long long)st.st_size);
    return true;
}

bool trace_statx(FILE *to, const struct trace_call *c, int index)
{
    struct statx st;
    size_t size = offsetof(struct statx, stx_size) + sizeof st.stx_size;
    if (!trace_out(c, index, &st, size))
        return false;
    fputs("{stx_mask=", to);
    trace_names(to, trace_statx_mask, st.stx_mask);
    fputs(", stx_mode=", to);
    trace_names(to, trace_file_types, st.stx_mode & ~0777u);
    fprintf(to, "|%#03o, stx_size=%llu, ...}", st.stx_mode & 0777u,
            (unsigned long long)st.stx_size);
    return true;
}

bool trace_statfs(FILE *to, const struct trace_call *c, int index)
{
    struct statfs st;
    size_t size = offsetof(struct statfs, f_ffree) + sizeof st.f_ffree;
    if (!trace_out(c, index, &st, size))
        return false;
    fprintf(to, "{f_type=%#lx, f_bsize=%lu, f_blocks=%llu, f_bfree=%llu, ...}",
            (unsigned long)st.f_type, (unsigned long)st.f_bsize, (unsigned long long)st.f_blocks,
            (unsigned long long)st.f_bfree);
    return true;
}

/* How many entries that many bytes hold; their names are of no interest. */
static unsigned count_entries(const unsigned char *from, size_t size)
{
    unsigned count = 0;
    for (size_t at = 0; at + offsetof(struct dirent64, d_name) <= size; count++) {
        uint16_t length;
        memcpy(&length, from + at + offsetof(struct dirent64, d_reclen), sizeof length);
        at += length ? length : size;
    }
    return count;
}

/* Only a directory that was read in one small piece can be counted. */
bool trace_directory(FILE *to, const struct trace_call *c, int index)
{
    size_t size = c->traced.out[index];
    fputs("0x...", to);
    if (c->traced.reply.result >= 0 && size == c->traced.reply.out[index])
        fprintf(to, " /* %u entries */", count_entries(c->out[index], size));
    return true;
}

bool trace_cwd(FILE *to, const struct trace_call *c, int index)
{
    size_t there = strnlen((const char *)c->out[index], c->traced.out[index]);
    if (c->traced.reply.result < 0)
        return false;
    bool whole = there < c->traced.out[index];
    trace_quote(to, c->out[index], there, whole ? there : c->traced.reply.out[index], there);
    return true;
}

/* What the kernel does not look at. */
bool trace_pointer(FILE *to, const struct trace_call *c, int index)
{
    (void)c, (void)index;
    fputs("0x...", to);
    return true;
}

/* --- time --- */

static void print_timespec(FILE *to, const struct timespec *t)
{
    if (t->tv_nsec == UTIME_NOW || t->tv_nsec == UTIME_OMIT)
        fputs(t->tv_nsec == UTIME_NOW ? "UTIME_NOW" : "UTIME_OMIT", to);
    else
        fprintf(to, "{tv_sec=%lld, tv_nsec=%ld}", (long long)t->tv_sec, t->tv_nsec);
}

bool trace_timespec(FILE *to, const struct trace_call *c, int index)
{
    struct timespec t;
    if (!trace_in(c, index, &t, sizeof t))
        return false;
    print_timespec(to, &t);
    return true;
}

bool trace_timespecs(FILE *to, const struct trace_call *c, int index)
{
    struct timespec t[2];
    if (!trace_in(c, index, t, sizeof t))
        return false;
    fputc('[', to);
    print_timespec(to, &t[0]);
    fputs(", ", to);
    print_timespec(to, &t[1]);
    fputc(']', to);
    return true;
}

bool trace_timeval(FILE *to, const struct trace_call *c, int index)
{
    struct timeval t;
    if (!trace_in(c, index, &t, sizeof t))
        return false;
    fprintf(to, "{tv_sec=%lld, tv_usec=%ld}", (long long)t.tv_sec, (long)t.tv_usec);
    return true;
}

bool trace_itimerspec(FILE *to, const struct trace_call *c, int index)
{
    struct itimerspec t;
    if (!trace_bytes(c, index, &t, sizeof t))
        return false;
    fputs("{it_interval=", to);
    print_timespec(to, &t.it_interval);
    fputs(", it_value=", to);
    print_timespec(to, &t.it_value);
    fputc('}', to);
    return true;
}

/* --- descriptors --- */

bool trace_pair(FILE *to, const struct trace_call *c, int index)
{
    int pair[2];
    if (!trace_out(c, index, pair, sizeof pair))
        return false;
    fprintf(to, "[%d, %d]", pair[0], pair[1]);
    return true;
}

bool trace_polled(FILE *to, const struct trace_call *c, int index)
{
    size_t count = c->traced.in[index] / sizeof(struct pollfd);
    size_t all = c->traced.request.in[index] / sizeof(struct pollfd);
    fputc('[', to);
    for (size_t i = 0; i < count; i++) {
        struct pollfd p;
        memcpy(&p, c->in[index] + i * sizeof p, sizeof p);
        fprintf(to, "%s{fd=%d", i ? ", " : "", p.fd);
        if (p.fd >= 0) {
            fputs(", events=", to);
            trace_names(to, trace_poll_events, (uint16_t)p.events);
        }
        fputc('}', to);
    }
    fputs(count < all ? ", ...]" : "]", to);
    return true;
}

static void print_revents(FILE *to, const struct trace_call *c)
{
    const char *separator = "";
    fputs(" ([", to);
    for (size_t i = 0; i < c->traced.out[0] / sizeof(struct pollfd); i++) {
        struct pollfd p;
        memcpy(&p, c->out[0] + i * sizeof p, sizeof p);
        if (!p.revents)
            continue;
        fprintf(to, "%s{fd=%d, revents=", separator, p.fd);
        trace_names(to, trace_poll_events, (uint16_t)p.revents);
        fputc('}', to);
        separator = ", ";
    }
    fputc(']', to);
}

/* What was left of the time to wait, which the kernel writes. */
static void print_left(FILE *to, const struct trace_call *c, int index, const char *unit)
{
    struct timespec left; /* or a struct timeval */
    if (index >= 0 && trace_out(c, index, &left, sizeof left))
        fprintf(to, ", left {tv_sec=%lld, tv_%s=%ld}", (long long)left.tv_sec, unit, left.tv_nsec);
}

static void print_set(FILE *to, const unsigned char *set, size_t size)
{
    const char *separator = "";
    fputc('[', to);
    for (size_t i = 0; i < 8 * size; i++) {
        if (!(set[i / 8] >> i % 8 & 1))
            continue;
        fprintf(to, "%s%zu", separator, i);
        separator = " ";
    }
    fputc(']', to);
}

bool trace_fdset(FILE *to, const struct trace_call *c, int index)
{
    print_set(to, c->in[index], c->traced.in[index]);
    return true;
}

static void print_ready_sets(FILE *to, const struct trace_call *c)
{
    static const char *const names[] = {"", "in", "out", "except"};
    const char *separator = " (";
    for (int i = 1; i <= 3; i++) {
        bool any = false;
        for (size_t k = 0; k < c->traced.out[i]; k++)
            any |= c->out[i][k] != 0;
        if (!any)
            continue;
        fprintf(to, "%s%s ", separator, names[i]);
        print_set(to, c->out[i], c->traced.out[i]);
        separator = ", ";
    }
}

void trace_ready(FILE *to, const struct trace_call *c)
{
    uint32_t number = c->traced.request.number;
    bool polls = number == __NR_poll || number == __NR_ppoll;
    bool selects = number == __NR_select || number == __NR_pselect6;
    if ((!polls && !selects) || c->traced.reply.result < 0)
        return;
    if (c->traced.reply.result == 0) {
        fputs(" (Timeout)", to);
        return;
    }
    (polls ? print_revents : print_ready_sets)(to, c);
    print_left(to, c,
               number == __NR_ppoll ? 2
               : selects            ? 4
                                    : -1,
               number == __NR_select ? "usec" : "nsec");
    fputc(')', to);
}

bool trace_epoll_events(FILE *to, const struct trace_call *c, int index)
{
    bool list = c->kinds[index].kind == ARG_OUTA;
    const unsigned char *from = list ? c->out[index] : c->in[index];
    size_t size = list ? c->traced.out[index] : c->traced.in[index];
    size_t all = list ? c->traced.reply.out[index] : size;
    if (c->traced.request.number == __NR_epoll_ctl && c->traced.request.args[1] == EPOLL_CTL_DEL)
        return trace_pointer(to, c, index);
    if (list ? c->traced.reply.result < 0 : size < sizeof(struct epoll_event))
        return false;
    fputs(list ? "[" : "", to);
    for (size_t i = 0; i < size / sizeof(struct epoll_event); i++) {
        struct epoll_event e;
        memcpy(&e, from + i * sizeof e, sizeof e);
        fprintf(to, "%s{events=", i ? ", " : "");
        trace_names(to, trace_epoll_events_names, e.events);
        fprintf(to, ", data={u32=%u, u64=%llu}}", e.data.u32, (unsigned long long)e.data.u64);
    }
    fputs(!list ? "" : size < all ? ", ...]" : "]", to);
    return true;
}

static void print_flock(FILE *to, const struct flock *l)
{
    fputs("{l_type=", to);
    trace_names(to, trace_lock_types, (uint16_t)l->l_type);
    fputs(", l_whence=", to);
    trace_names(to, trace_whence, (uint16_t)l->l_whence);
    fprintf(to, ", l_start=%lld, l_len=%lld", (long long)l->l_start, (long long)l->l_len);
}

bool trace_fcntl(FILE *to, const struct trace_call *c, int index)
{
    struct flock l;
    uint64_t value = c->traced.request.args[index];
    switch (c->traced.request.args[1]) {
    case F_SETFL:
        trace_names(to, trace_open_flags, (uint32_t)value);
        return true;
    case F_SETFD:
        trace_names(to, trace_descriptor_flags, (uint32_t)value);
        return true;
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        if (!trace_bytes(c, index, &l, sizeof l))
            return false;
        print_flock(to, &l);
        if (trace_out(c, index, &l, sizeof l))
            fprintf(to, ", l_pid=%d", (int)l.l_pid);
        fputc('}', to);
        return true;
    }
    return false;
}

/* --- terminals --- */

static void print_termios(FILE *to, const struct call_termios *t)
{
    fputs("{c_iflag=", to);
    trace_names(to, trace_terminal_input, t->flags[0]);
    fputs(", c_oflag=", to);
    trace_names(to, trace_terminal_output, t->flags[1]);
    fputs(", c_cflag=", to);
    trace_names(to, trace_terminal_control, t->flags[2]);
    fputs(", c_lflag=", to);
    trace_names(to, trace_terminal_local, t->flags[3]);
    fputs(", ...}", to);
}

bool trace_ioctl(FILE *to, const struct trace_call *c, int index)
{
    struct call_termios t;
    struct {
        unsigned short rows, columns, x, y;
    } w;
    switch (c->traced.request.args[1]) {
    case TCGETS:
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
        if (!trace_bytes(c, index, &t, sizeof t))
            return false;
        print_termios(to, &t);
        return true;
    case TIOCGWINSZ:
    case TIOCSWINSZ:
        if (!trace_bytes(c, index, &w, sizeof w))
            return false;
        fprintf(to, "{ws_row=%u, ws_col=%u, ws_xpixel=%u, ws_ypixel=%u}", w.rows, w.columns, w.x,
                w.y);
        return true;
    }
    return false;
}

bool trace_uname(FILE *to, const struct trace_call *c, int index)
{
    char names[sizeof(struct utsname)] = "";
    size_t size = c->traced.out[index] < sizeof names ? c->traced.out[index] : sizeof names - 1;
    if (!size)
        return false;
    memcpy(names, c->out[index], size);
    struct utsname *u = (void *)names;
    size_t length = strnlen(u->nodename, sizeof u->nodename);
    fprintf(to, "{sysname=\"%.64s\", nodename=", u->sysname);
    trace_quote(to, (unsigned char *)u->nodename, length, length, TRACE_TEXT);
    fputs(", ...}", to);
    return true;
}

/* --- sockets --- */

static void print_inet(FILE *to, const unsigned char *from, size_t there)
{
    struct sockaddr_in a = {0};
    char text[INET_ADDRSTRLEN];
    memcpy(&a, from, there < sizeof a ? there : sizeof a);
    inet_ntop(AF_INET, &a.sin_addr, text, sizeof text);
    fprintf(to, ", sin_port=htons(%u), sin_addr=inet_addr(\"%s\")", ntohs(a.sin_port), text);
}

static void print_inet6(FILE *to, const unsigned char *from, size_t there)
{
    struct sockaddr_in6 a = {0};
    char text[INET6_ADDRSTRLEN];
    memcpy(&a, from, there < sizeof a ? there : sizeof a);
    inet_ntop(AF_INET6, &a.sin6_addr, text, sizeof text);
    fprintf(to,
            ", sin6_port=htons(%u), sin6_flowinfo=htonl(%u), inet_pton(AF_INET6, \"%s\", "
            "&sin6_addr), sin6_scope_id=%u",
            ntohs(a.sin6_port), ntohl(a.sin6_flowinfo), text, a.sin6_scope_id);
}

static void print_unix(FILE *to, const unsigned char *from, size_t there, size_t size)
{
    size_t begin = offsetof(struct sockaddr_un, sun_path);
    if (there <= begin)
        return;
    bool abstract = !from[begin];
    begin += abstract;
    size_t length = abstract ? there - begin : strnlen((const char *)from + begin, there - begin);
    fprintf(to, ", sun_path=%s", abstract ? "@" : "");
    trace_quote(to, from + begin, length, abstract ? size - begin : length, length);
}

void trace_sockaddr(FILE *to, const unsigned char *address, size_t there, size_t size)
{
    uint16_t family;
    if (there < sizeof family) {
        trace_quote(to, address, there, size, TRACE_TEXT);
        return;
    }
    memcpy(&family, address, sizeof family);
    fputs("{sa_family=", to);
    trace_names(to, trace_families, family);
    if (family == AF_INET)
        print_inet(to, address, there);
    else if (family == AF_INET6)
        print_inet6(to, address, there);
    else if (family == AF_UNIX)
        print_unix(to, address, there, size);
    else if (there > sizeof family) {
        fputs(", sa_data=", to);
        trace_quote(to, address + sizeof family, there - sizeof family, size - sizeof family,
                    TRACE_TEXT);
    }
    fputc('}', to);
}

bool trace_address(FILE *to, const struct trace_call *c, int index)
{
    bool wrote = c->kinds[index].kind == ARG_OUTL;
    if (wrote ? c->traced.reply.result < 0 : !c->traced.in[index])
        return false;
    if (wrote)
        trace_sockaddr(to, c->out[index], c->traced.out[index], c->traced.reply.out[index]);
    else
        trace_sockaddr(to, c->in[index], c->traced.in[index], c->traced.request.in[index]);
    return true;
}

/* What follows a wire_msg, of which `left` bytes are there: the next part. */
static size_t next_part(const unsigned char **at, size_t *left, size_t size)
{
    size_t there = size < *left ? size : *left;
    *at += there;
    *left -= there;
    return there;
}

bool trace_message(FILE *to, const struct trace_call *c, int index)
{
    struct wire_msg m;
    bool wrote = c->kinds[index].kind == ARG_MSGOUT;
    if (wrote ? !trace_out(c, index, &m, sizeof m) : !trace_in(c, index, &m, sizeof m))
        return false;
    const unsigned char *at = (wrote ? c->out : c->in)[index] + sizeof m, *name = at;
    size_t left = (wrote ? c->traced.out : c->traced.in)[index] - sizeof m;
    size_t there = next_part(&at, &left, m.name);
    fputs("{msg_name=", to);
    if (m.name)
        trace_sockaddr(to, name, there, m.name);
    else
        fputs("NULL", to);
    next_part(&at, &left, m.control);
    fprintf(to, ", msg_namelen=%u, msg_iov=[{iov_base=", m.name);
    trace_quote(to, at, left, m.data, TRACE_TEXT);
    fprintf(to, ", iov_len=%u}], msg_iovlen=1, msg_controllen=%u, msg_flags=", m.data, m.control);
    trace_names(to, trace_message_flags, (uint32_t)m.flags);
    fputc('}', to);
    return true;
}
