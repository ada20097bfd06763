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

static long number(const struct argument *a)
{
    return (long)a->call->request.number;
}

static int add_in(struct argument *a, const void *from, size_t size)
{
    if (a->e->probe && pointer_readable(from, size) != size)
        return -EFAULT;
    if (size)
        a->call->in[a->call->in_count++] = (struct iovec){(void *)from, size};
    a->call->request.in[a->index] += (uint32_t)size;
    return 0;
}

/* What the kernel may leave as it is, it may not look at, either. */
static int is_surely_written(uint8_t kind)
{
    return kind == ARG_OUT || kind == ARG_OUTH || kind == ARG_OUTS || kind == ARG_OUTA ||
           kind == ARG_OUTL || kind == ARG_IOVOUT;
}

static int add_out(struct argument *a, void *to, size_t size)
{
    if (is_surely_written(a->arg.kind) && pointer_writable(&a->e->pages, to, size) != size)
        return -EFAULT;
    if (size)
        a->call->out[a->call->out_count++] = (struct iovec){to, size};
    a->call->request.out[a->index] += (uint32_t)size;
    return 0;
}

static void *pointer(const struct argument *a)
{
    return (void *)a->args[a->index];
}

/* Calls for which less than was asked for is a result, too. */
static int may_be_cut(const struct argument *a)
{
    if (a->arg.kind == ARG_IN)
        return number(a) == SYS_write || number(a) == SYS_pwrite64 || number(a) == SYS_sendto;
    return a->arg.kind == ARG_OUT || a->arg.kind == ARG_OUTA;
}

/* Cuts what is too long for a frame. What is longer than memory, or than such a call takes, is left
 * to the kernel: with a bad pointer. */
static int clamp(struct argument *a, uint64_t in, uint64_t out)
{
    uint64_t value = (uint64_t)a->arg.value, most = WIRE_DATA / value;
    uint64_t count = a->arg.other ? (uint64_t)a->args[a->arg.other - 1] : 1;
    if (in <= WIRE_DATA && out <= WIRE_DATA)
        return 0;
    if (a->arg.kind == ARG_INH && pointer_readable(pointer(a), value) == value)
        return -EINVAL; /* longer than a message may be (msgop(2)) */
    if (!may_be_cut(a) || !pointer_possible(pointer(a), count, value) ||
        (a->arg.kind == ARG_OUTA && count > INT32_MAX / value))
        return -EFAULT;
    a->call->request.args[a->arg.other - 1] = most;
    a->call->request.flags |= WIRE_CLAMPED;
    return 0;
}

/* Of a buffer that begins in memory and ends where there is none, the kernel transfers what is
 * there. */
static void cut_at_fault(struct argument *a)
{
    uint64_t *size = &a->call->request.args[a->arg.other - 1];
    size_t there = *size;
    if (number(a) == SYS_read || number(a) == SYS_pread64)
        there = pointer_writable(&a->e->pages, pointer(a), *size);
    else if (a->e->probe && (number(a) == SYS_write || number(a) == SYS_pwrite64))
        there = pointer_readable(pointer(a), *size);
    if (there && there < *size) {
        *size = there;
        a->call->request.flags &= ~WIRE_CLAMPED;
    }
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
    return add_in(a, copy, strlen(copy) + 1);
}

/* Takes what of a buffer in the list is for this frame: not what was in the ones before. */
static int take_part(struct encode *e, struct iovec part, size_t *skip, size_t most)
{
    size_t room = most - e->asked;
    if (part.iov_len > INT64_MAX)
        return -EINVAL;
    if (part.iov_len <= *skip) {
        *skip -= part.iov_len;
        return 0;
    }
    part.iov_base = (char *)part.iov_base + *skip;
    part.iov_len -= *skip;
    *skip = 0;
    if (part.iov_len > room)
        part.iov_len = room;
    if (part.iov_len)
        e->iov[e->iov_count++] = part;
    e->asked += part.iov_len;
    return 0;
}

static uint64_t sum_of(const struct iovec *iov, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += iov[i].iov_len;
    return sum;
}

/* Reads the list of buffers and cuts it to what a frame takes. */
static int read_iov(struct argument *a, const struct iovec *from, uint64_t count, size_t most)
{
    struct encode *e = a->e;
    struct iovec list[16];
    size_t skip = e->skip;
    uint64_t sum = 0;
    for (uint64_t at = 0; at < count;) {
        size_t n = count - at < 16 ? count - at : 16;
        if (remote_read(list, from + at, n * sizeof *list))
            return -EFAULT;
        for (size_t i = 0; i < n && e->iov_count < ENCODE_IOV; i++) {
            int error = take_part(e, list[i], &skip, most);
            if (error)
                return error;
        }
        sum += sum_of(list, n);
        at += n;
    }
    if (sum > e->skip + e->asked)
        a->call->request.flags |= WIRE_CLAMPED;
    return 0;
}

/* The first buffers that are there; -EFAULT when there is none. */
static int add_iov(struct argument *a, int out)
{
    struct encode *e = a->e;
    int error = 0;
    for (size_t i = 0; i < e->iov_count && !error; i++) {
        struct iovec *part = &e->iov[i];
        error = out ? add_out(a, part->iov_base, part->iov_len)
                    : add_in(a, part->iov_base, part->iov_len);
        if (error) {
            e->iov_count = i;
            e->asked = sum_of(e->iov, i);
            a->call->request.flags &= ~WIRE_CLAMPED;
        }
    }
    return e->iov_count ? 0 : error;
}

/* The kernel itself says that there are too many. */
static int encode_iov(struct argument *a)
{
    uint64_t count = (uint64_t)a->args[a->arg.other - 1];
    int error = count > 1024 ? -EFAULT : read_iov(a, pointer(a), count, WIRE_DATA);
    return error ? error : add_iov(a, a->arg.kind == ARG_IOVOUT);
}

static int check_msg(const struct msghdr *m)
{
    if (m->msg_name && (int)m->msg_namelen < 0)
        return -EINVAL;
    if (m->msg_iovlen > 1024)
        return -EMSGSIZE;
    return m->msg_controllen > 32768 ? -ENOBUFS : 0;
}

static int add_msg_in(struct argument *a)
{
    const struct wire_msg *rooms = &a->e->rooms;
    if (add_in(a, a->e->msg.msg_name, rooms->name) ||
        add_in(a, a->e->msg.msg_control, rooms->control))
        return -EFAULT;
    size_t buffers = a->e->iov_count;
    int error = add_iov(a, 0);
    return a->e->iov_count == buffers ? error : -EFAULT;
}

/* The kernel takes no longer names (sockaddr_storage) or controls (net.core.optmem_max). What goes
 * on where a frame ended has neither. */
static int encode_msg(struct argument *a)
{
    struct msghdr *m = &a->e->msg;
    if (remote_read(m, pointer(a), sizeof *m))
        return -EFAULT;
    int error = check_msg(m);
    if (!error)
        error = read_iov(a, m->msg_iov, m->msg_iovlen, WIRE_DATA);
    if (error)
        return error;
    int first = a->e->skip == 0;
    uint32_t name = m->msg_name && first ? m->msg_namelen : 0;
    if (name > 128)
        name = 128;
    a->e->rooms =
        (struct wire_msg){.name = name,
                          .control = m->msg_control && first ? (uint32_t)m->msg_controllen : 0,
                          .data = (uint32_t)a->e->asked,
                          .flags = m->msg_flags};
    add_in(a, &a->e->rooms, sizeof a->e->rooms);
    if (a->arg.kind == ARG_MSGIN)
        return add_msg_in(a);
    a->call->request.out[a->index] =
        (uint32_t)sizeof a->e->rooms + name + a->e->rooms.control + a->e->rooms.data;
    return 0;
}

static int encode_outl(struct argument *a)
{
    if (remote_read(&a->e->length, (const void *)a->args[a->arg.other - 1], sizeof a->e->length))
        return -EFAULT;
    uint32_t size = a->e->length < WIRE_DATA ? a->e->length : WIRE_DATA;
    if ((int32_t)a->e->length > 0 && pointer_writable(&a->e->pages, pointer(a), 1) != 1)
        return -EFAULT;
    a->call->request.out[a->index] = size;
    return 0;
}

/* An object that holds its own size. The kernel takes none of a page and more: handles have 128
 * bytes (name_to_handle_at(2)), others what copy_struct_from_user() takes. */
static int encode_self_sized(struct argument *a)
{
    uint32_t size;
    if (remote_read(&size, pointer(a), sizeof size))
        return -EFAULT;
    if (size > 4096)
        return a->arg.value ? -EINVAL : -E2BIG;
    size += (uint32_t)a->arg.value;
    if (size < sizeof size)
        return -EINVAL;
    int error = add_in(a, pointer(a), size);
    return error || a->arg.kind == ARG_INW ? error : add_out(a, pointer(a), size);
}

static int encode_semaphores(struct argument *a)
{
    uint64_t size = a->e->semaphores * (uint64_t)a->arg.value;
    if (size > WIRE_DATA)
        return -E2BIG;
    return a->arg.kind == ARG_SEMSIN ? add_in(a, pointer(a), size) : add_out(a, pointer(a), size);
}

static int encode_sized(struct argument *a)
{
    uint64_t in, out;
    wire_sizes(&a->arg, (const uint64_t *)a->args, &in, &out);
    int error = clamp(a, in, out);
    if (error)
        return error;
    if (a->arg.kind == ARG_IN || a->arg.kind == ARG_OUT)
        cut_at_fault(a);
    wire_sizes(&a->arg, a->call->request.args, &in, &out);
    if (a->index == 1)
        a->e->asked = in + out;
    if (add_in(a, pointer(a), in) || add_out(a, pointer(a), out))
        return -EFAULT;
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

/* The pointer as a bad one: the kernel at home finds out in its own time. */
static int encode_bad(struct argument *a, size_t in_count, size_t out_count)
{
    struct channel_call *call = a->call;
    call->in_count = in_count;
    call->out_count = out_count;
    call->request.in[a->index] = call->request.out[a->index] = 0;
    call->request.args[a->index] = WIRE_BAD;
    return 0;
}

static int encode_argument(struct argument *a)
{
    uint64_t *value = &a->call->request.args[a->index];
    size_t in_count = a->call->in_count, out_count = a->call->out_count;
    if (a->arg.kind == ARG_SIGSET || a->arg.kind == ARG_SIGSETP)
        *value = 0;
    if (a->arg.kind == ARG_NONE)
        return -EOPNOTSUPP;
    if (!wire_is_pointer(a->arg.kind) || !*value)
        return 0;
    *value = 1;
    int error = encode_pointer(a);
    return error == -EFAULT ? encode_bad(a, in_count, out_count) : error;
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
    e->asked = e->iov_count = 0;
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
    int error = remote_write(to, from, size);
    return kind == ARG_RELTIME ? 0 : error; /* the kernel does not mind, either */
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
