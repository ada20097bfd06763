/*
 * fuzz_reply.c - whatever comes back as the reply to a remote call, the program's side writes only
 * where the program asked for something to be written, and no more than that.
 *
 * Input: the number of the call (2 bytes), a byte of options, six scalars (2 bytes each), then the
 * bytes of the reply as they come over the stream. Of every row the request is encoded for buffers
 * of ours; with option 1 the reply's header is the right one, with option 2 its sizes fit its
 * length, with option 4 it comes in two parts, with option 8 the scalars are larger.
 *
 * The freestanding code runs as it is, with real system calls; the program's memory is ours, each
 * write to it is compared with the rooms.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stubs/channel.c"
#include "stubs/encode.c"
#include "stubs/pointer.c"

#define NUMBERS 480
#define BUFFER  (WIRE_DATA + 4096u)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct call calls[NUMBERS] = {
#define SYSCALL CALL_ROW
#include "stubs/calls.def"
};

static struct channel *c;
static struct encode *e;
static unsigned char *buffers[CALL_ARGS], *part; /* each ends where memory ends */
static int pair[2];

/* --- what the rest of the agent does --- */

struct hijack_params hijack_params;
struct remote remote;

int link_open(struct link *link)
{
    (void)link;
    return -ECONNREFUSED;
}
int link_ask(struct link *link, unsigned type, const void *payload, size_t size, const int *fds,
             size_t count)
{
    (void)link, (void)type, (void)payload, (void)size, (void)fds, (void)count;
    return -ECONNREFUSED;
}
int link_wait(struct link *link, unsigned type)
{
    (void)link, (void)type;
    return -ECONNREFUSED;
}
int link_tell(struct link *link, unsigned type, const void *payload, size_t size)
{
    (void)link, (void)type, (void)payload, (void)size;
    return -ECONNREFUSED;
}
void link_close(struct link *link)
{
    link->fd = -1;
}
void remote_let_end(uint64_t mask)
{
    (void)mask;
}
void paths_translate(char *path, size_t size)
{
    (void)path, (void)size;
}

int remote_read(void *to, const void *from, size_t size)
{
    if (!from)
        return -EFAULT;
    memcpy(to, from, size);
    return 0;
}

/* Into a buffer of ours, within it. */
int remote_write(void *to, const void *from, size_t size)
{
    int known = size == 0;
    if (!to && size)
        return -EFAULT;
    for (int i = 0; i < CALL_ARGS; i++)
        known |=
            (unsigned char *)to >= buffers[i] && (unsigned char *)to + size <= buffers[i] + BUFFER;
    if (!known)
        abort();
    memcpy(to, from, size);
    return 0;
}

long remote_string(char *to, const char *from, size_t size)
{
    size_t length = strnlen(from, size - 1);
    memcpy(to, from, length);
    to[length] = 0;
    return (long)length + 1;
}

/* --- the request --- */

static unsigned char *guarded(size_t size)
{
    size_t pages = (size + 4095) & ~4095UL;
    unsigned char *at =
        mmap(NULL, pages + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED || mprotect(at + pages, 4096, PROT_NONE))
        abort();
    return at + pages - size;
}

static void begin(void)
{
    c = malloc(sizeof *c);
    e = malloc(sizeof *e);
    for (int i = 0; i < CALL_ARGS; i++)
        buffers[i] = guarded(BUFFER);
    part = guarded(64);
    if (!c || !e || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        abort();
    memset(c, 0, sizeof *c);
    memset(e, 0, sizeof *e);
    c->number = 1;
    c->fd = pair[0];
    c->signals = -1;
}

/* What argument `i` points to says where other buffers are, or how large it is. */
static void fill(const struct call_arg *kind, int i, const long *args)
{
    struct iovec *list = (void *)part;
    list[0] = (struct iovec){buffers[(i + 1) % CALL_ARGS], (size_t)args[5] & 0xfff};
    list[1] = (struct iovec){buffers[(i + 2) % CALL_ARGS], (size_t)args[4] & 0xfff};
    uint32_t length = (uint32_t)args[4];
    if (kind->kind == ARG_IOVIN || kind->kind == ARG_IOVOUT)
        memcpy(buffers[i], list, 2 * sizeof *list);
    else if (kind->kind == ARG_MSGIN || kind->kind == ARG_MSGOUT)
        memcpy(buffers[i],
               &(struct msghdr){.msg_name = buffers[(i + 3) % CALL_ARGS],
                                .msg_namelen = (socklen_t)args[5] & 0xff,
                                .msg_iov = list,
                                .msg_iovlen = 2,
                                .msg_control = buffers[(i + 4) % CALL_ARGS],
                                .msg_controllen = (size_t)args[4] & 0x3ff},
               sizeof(struct msghdr));
    else
        memcpy(buffers[i], &length, sizeof length);
}

static int encode(const struct call *row, long number, const uint16_t *scalars, int large)
{
    long args[CALL_ARGS];
    for (int i = 0; i < CALL_ARGS; i++)
        args[i] = large ? scalars[i] * 5L : scalars[i] & 0x3ff;
    for (int i = 0; i < CALL_ARGS; i++) {
        struct call_arg kind = kind_of(row, number, (const uint64_t *)args, i);
        fill(&kind, i, args);
        if (kind.kind == ARG_IOVIN || kind.kind == ARG_IOVOUT)
            args[kind.other - 1] = 2;
    }
    for (int i = 0; i < CALL_ARGS; i++)
        if (wire_is_pointer(row->args[i].kind) || row->args[i].kind == ARG_SIGSET)
            args[i] = scalars[i] % 16 == 15 ? 0 : (long)buffers[i];
    e->semaphores = scalars[5];
    return encode_request(c, e, row, number, args);
}

/* --- the reply --- */

static void repair(unsigned char *bytes, size_t size, int sizes)
{
    struct frame_header *h = (void *)bytes;
    struct wire_reply *r = (void *)(h + 1);
    if (size < sizeof *h + sizeof *r)
        return;
    frame_header(h, FRAME_CALL | FRAME_REPLY, 0, c->sequence, size - sizeof *h);
    h->channel = 1;
    size_t left = size - sizeof *h - sizeof *r;
    for (int i = 0; i < CALL_ARGS && sizes; i++) {
        uint32_t room = c->call.request.out[i];
        r->out[i] = (uint32_t)(left < room ? left : room);
        left -= r->out[i];
    }
    if (sizes)
        h->length -= (uint32_t)left;
}

static int offer(const unsigned char *bytes, size_t size)
{
    if (size && send(pair[1], bytes, size, MSG_DONTWAIT) != (ssize_t)size)
        return LOST;
    int result = 0;
    for (size_t before = SIZE_MAX; !result && before != c->received;) {
        before = c->received;
        result = receive_some(c);
    }
    return result;
}

static void drain(void)
{
    static char rest[65536];
    while (recv(pair[0], rest, sizeof rest, MSG_DONTWAIT) > 0)
        ;
}

static void take(const unsigned char *data, size_t size, int options)
{
    static unsigned char bytes[8192];
    size_t first = options & 4 ? size / 2 : 0;
    long args[CALL_ARGS];
    size = size < sizeof bytes ? size : sizeof bytes;
    memcpy(bytes, data, size);
    if (options & 1)
        repair(bytes, size, options & 2);
    c->received = 0;
    int result = offer(bytes, first);
    if (!result)
        result = offer(bytes + first, size - first);
    for (int i = 0; i < CALL_ARGS; i++)
        args[i] = (long)buffers[i];
    if (result == 1)
        encode_finish(c, e, args);
    drain();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint16_t head[1 + CALL_ARGS];
    if (!c)
        begin();
    if (size < sizeof head + 1)
        return 0;
    memcpy(head, data, sizeof head);
    uint32_t number = head[0] % NUMBERS;
    const struct call *row = &calls[number];
    int options = data[sizeof head];
    c->sequence++;
    if (row->how == CALL_UNKNOWN || encode(row, (long)number, head + 1, options & 8))
        return 0;
    take(data + sizeof head + 1, size - sizeof head - 1, options);
    return 0;
}
