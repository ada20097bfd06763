/* encode.c - see encode.h. */
#include "stubs/calls_by.h"
#include "stubs/encode.h"
#include "stubs/mem.h"
#include "stubs/paths.h"

/* One argument of the call being encoded. */
struct argument {
    struct channel_call *call;
    struct encode *e;
    struct call_arg arg;
    const long *args;
    int index;
};

static void add_in(struct argument *a, const void *from, size_t size)
{
    if (size)
        a->call->in[a->call->in_count++] = (struct iovec){(void *)from, size};
    a->call->request.in[a->index] += (uint32_t)size;
}

static void add_out(struct argument *a, void *to, size_t size)
{
    if (size)
        a->call->out[a->call->out_count++] = (struct iovec){to, size};
    a->call->request.out[a->index] += (uint32_t)size;
}

static void *pointer(const struct argument *a)
{
    return (void *)a->args[a->index];
}

/* Cuts what is too long for a frame: the call then transfers less than it might. */
static int clamp(struct argument *a, uint64_t in, uint64_t out)
{
    uint64_t most = WIRE_DATA / (uint64_t)a->arg.value;
    if (in <= WIRE_DATA && out <= WIRE_DATA)
        return 0;
    if (a->arg.kind != ARG_IN && a->arg.kind != ARG_OUT && a->arg.kind != ARG_OUTA)
        return -EINVAL;
    a->call->request.args[a->arg.other - 1] = most;
    a->call->request.flags |= WIRE_CLAMPED;
    return 0;
}

static int encode_string(struct argument *a)
{
    if (a->e->used == ENCODE_STRINGS)
        return -ENOSYS;
    char *copy = a->e->strings[a->e->used++];
    long size = remote_string(copy, pointer(a), WIRE_PATH);
    if (size < 0)
        return (int)size;
    if (a->arg.kind == ARG_PATH)
        paths_translate(copy, WIRE_PATH);
    add_in(a, copy, strlen(copy) + 1);
    return 0;
}

/* Reads the list of buffers and cuts it to what a frame takes. */
static int read_iov(struct encode *e, const struct iovec *from, uint64_t count, size_t most)
{
    size_t sum = 0;
    if (count > 1024)
        return -EINVAL;
    e->iov_count = count < ENCODE_IOV ? count : ENCODE_IOV;
    if (remote_read(e->iov, from, e->iov_count * sizeof *from))
        return -EFAULT;
    for (size_t i = 0; i < e->iov_count; i++) {
        if (e->iov[i].iov_len > INT64_MAX)
            return -EINVAL;
        if (e->iov[i].iov_len > most - sum)
            e->iov[i].iov_len = most - sum;
        sum += e->iov[i].iov_len;
    }
    return 0;
}

static void add_iov(struct argument *a, void (*add)(struct argument *, void *, size_t))
{
    for (size_t i = 0; i < a->e->iov_count; i++)
        add(a, a->e->iov[i].iov_base, a->e->iov[i].iov_len);
}

static void add_in_part(struct argument *a, void *from, size_t size)
{
    add_in(a, from, size);
}

static int encode_iov(struct argument *a)
{
    int error = read_iov(a->e, pointer(a), (uint64_t)a->args[a->arg.other - 1], WIRE_DATA);
    if (!error)
        add_iov(a, a->arg.kind == ARG_IOVIN ? add_in_part : add_out);
    return error;
}

static uint32_t iov_bytes(const struct encode *e)
{
    size_t sum = 0;
    for (size_t i = 0; i < e->iov_count; i++)
        sum += e->iov[i].iov_len;
    return (uint32_t)sum;
}

/* The kernel takes no longer names (sockaddr_storage) or controls (net.core.optmem_max). */
static int encode_msg(struct argument *a)
{
    struct msghdr *m = &a->e->msg;
    if (remote_read(m, pointer(a), sizeof *m))
        return -EFAULT;
    int error = read_iov(a->e, m->msg_iov, m->msg_iovlen, WIRE_DATA - 65536);
    if (error)
        return error;
    uint32_t name = m->msg_name ? m->msg_namelen : 0;
    if (name > 128)
        name = 128;
    if (m->msg_controllen > 32768)
        return -ENOBUFS;
    a->e->rooms = (struct wire_msg){.name = name,
                                    .control = m->msg_control ? (uint32_t)m->msg_controllen : 0,
                                    .data = iov_bytes(a->e),
                                    .flags = m->msg_flags};
    add_in(a, &a->e->rooms, sizeof a->e->rooms);
    if (a->arg.kind == ARG_MSGOUT) {
        a->call->request.out[a->index] =
            (uint32_t)sizeof a->e->rooms + name + a->e->rooms.control + a->e->rooms.data;
        return 0;
    }
    add_in(a, m->msg_name, name);
    add_in(a, m->msg_control, a->e->rooms.control);
    add_iov(a, add_in_part);
    return 0;
}

static int encode_outl(struct argument *a)
{
    if (remote_read(&a->e->length, (const void *)a->args[a->arg.other - 1], sizeof a->e->length))
        return -EFAULT;
    a->call->request.out[a->index] = a->e->length < WIRE_DATA ? a->e->length : WIRE_DATA;
    return 0;
}

/* An object that holds its own size. */
static int encode_self_sized(struct argument *a)
{
    uint32_t size;
    if (remote_read(&size, pointer(a), sizeof size))
        return -EFAULT;
    if (size > WIRE_DATA - (uint32_t)a->arg.value)
        return -E2BIG;
    size += (uint32_t)a->arg.value;
    add_in(a, pointer(a), size);
    if (a->arg.kind == ARG_INOUTW)
        add_out(a, pointer(a), size);
    return 0;
}

static int encode_semaphores(struct argument *a)
{
    uint64_t size = a->e->semaphores * (uint64_t)a->arg.value;
    if (size > WIRE_DATA)
        return -E2BIG;
    if (a->arg.kind == ARG_SEMSIN)
        add_in(a, pointer(a), size);
    else
        add_out(a, pointer(a), size);
    return 0;
}

static int encode_sized(struct argument *a)
{
    uint64_t in, out;
    wire_sizes(&a->arg, (const uint64_t *)a->args, &in, &out);
    int error = clamp(a, in, out);
    if (error)
        return error;
    wire_sizes(&a->arg, a->call->request.args, &in, &out);
    add_in(a, pointer(a), in);
    add_out(a, pointer(a), out);
    return 0;
}

static int encode_pointer(struct argument *a)
{
    switch (a->arg.kind) {
    case ARG_PATH:
    case ARG_STR:
        return encode_string(a);
    case ARG_IOVIN:
    case ARG_IOVOUT:
        return encode_iov(a);
    case ARG_MSGIN:
    case ARG_MSGOUT:
        return encode_msg(a);
    case ARG_OUTL:
        return encode_outl(a);
    case ARG_INW:
    case ARG_INOUTW:
        return encode_self_sized(a);
    case ARG_SEMSIN:
    case ARG_SEMSOUT:
        return encode_semaphores(a);
    case ARG_PTR:
        return -ENOSYS;
    default:
        return encode_sized(a);
    }
}

/* What the argument is: a BY is what another one makes it. */
static struct call_arg kind_of(const struct call *row, long number, const uint64_t *args, int i)
{
    return row->args[i].kind == ARG_BY ? call_by((uint32_t)number, row, i, args) : row->args[i];
}

static int encode_argument(struct argument *a)
{
    uint64_t *value = &a->call->request.args[a->index];
    if (a->arg.kind == ARG_SIGSET || a->arg.kind == ARG_SIGSETP)
        *value = 0;
    if (a->arg.kind == ARG_NONE)
        return -EOPNOTSUPP;
    if (!wire_is_pointer(a->arg.kind) || !*value)
        return 0;
    *value = 1;
    return encode_pointer(a);
}

/* The reply's bytes can go where they belong without a stop in our memory when they belong to one
 * argument, in full up to where they end. */
static int is_direct(const struct channel_call *call)
{
    int arguments = 0;
    size_t listed = 0, room = 0;
    for (size_t i = 0; i < call->out_count; i++)
        listed += call->out[i].iov_len;
    for (int i = 0; i < CALL_ARGS; i++) {
        arguments += call->request.out[i] != 0;
        room += call->request.out[i];
    }
    return arguments <= 1 && listed == room;
}

int encode_request(struct channel *c, struct encode *e, const struct call *row, long number,
                   const long *args)
{
    struct channel_call *call = &c->call;
    call->request = (struct wire_request){.number = (uint32_t)number};
    call->in_count = call->out_count = 0;
    e->used = 0;
    for (int i = 0; i < CALL_ARGS && row->args[i].kind != ARG_NONE; i++)
        call->request.args[i] = (uint64_t)args[i];
    for (int i = 0; i < CALL_ARGS && row->args[i].kind != ARG_NONE; i++) {
        struct argument a = {call, e, kind_of(row, number, (const uint64_t *)args, i), args, i};
        e->kinds[i] = a.arg.kind;
        int error = encode_argument(&a);
        if (error)
            return error;
    }
    call->direct = is_direct(call);
    return 0;
}

/* --- the reply --- */

static int put_iov(const struct encode *e, const unsigned char *from, size_t size)
{
    for (size_t i = 0; i < e->iov_count && size; i++) {
        size_t part = e->iov[i].iov_len < size ? e->iov[i].iov_len : size;
        if (remote_write(e->iov[i].iov_base, from, part))
            return -EFAULT;
        from += part;
        size -= part;
    }
    return 0;
}

static int put_msg(const struct encode *e, void *to, const unsigned char *from, size_t size)
{
    struct wire_msg got;
    struct msghdr m = e->msg;
    if (size < sizeof got)
        return 0;
    memcpy(&got, from, sizeof got);
    const unsigned char *name = from + sizeof got, *control = name + got.name;
    if (got.name > e->rooms.name || got.control > e->rooms.control || got.data > e->rooms.data ||
        size != sizeof got + (size_t)got.name + got.control + got.data)
        return -EIO;
    if (m.msg_name)
        m.msg_namelen = got.name;
    m.msg_controllen = got.control;
    m.msg_flags = got.flags;
    if (remote_write(m.msg_name, name, got.name) ||
        remote_write(m.msg_control, control, got.control) ||
        put_iov(e, control + got.control, got.data))
        return -EFAULT;
    return remote_write(to, &m, sizeof m);
}

static int put(const struct encode *e, uint8_t kind, void *to, const unsigned char *from,
               size_t size)
{
    if (kind == ARG_IOVOUT)
        return put_iov(e, from, size);
    if (kind == ARG_MSGOUT)
        return put_msg(e, to, from, size);
    return remote_write(to, from, size);
}

long encode_finish(struct channel *c, const struct encode *e, const long *args)
{
    const unsigned char *from = c->data;
    for (int i = 0; i < CALL_ARGS && !c->call.direct; i++) {
        size_t size = c->reply.reply.out[i];
        int error = size ? put(e, e->kinds[i], (void *)args[i], from, size) : 0;
        if (error)
            return error;
        from += size;
    }
    return c->reply.reply.result;
}
