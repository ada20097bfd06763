/* decode.c - see decode.h. */
#include <limits.h>
#include <string.h>

#include "stubs/calls_by.h"

#include "shadow/decode.h"

static const struct call calls[] = {
#define SYSCALL CALL_ROW
#include "stubs/calls.def"
};

const struct call *decode_row(uint32_t number)
{
    return number < sizeof calls / sizeof *calls && calls[number].how != CALL_UNKNOWN
               ? &calls[number]
               : NULL;
}

/* --- the check --- */

/* Where the bytes of each argument are; they and the rooms must fill the frames exactly. */
static int find_in(struct plan *p, char *payload, size_t size)
{
    const struct wire_request *r = &p->request;
    uint64_t at = sizeof *r, room = sizeof(struct wire_reply);
    for (int i = 0; i < CALL_ARGS; i++) {
        if (r->in[i] > size - at || r->out[i] > WIRE_MAX_PAYLOAD)
            return -EBADMSG;
        p->in[i] = payload + at;
        at += r->in[i];
        room += r->out[i];
    }
    return at == size && room <= WIRE_MAX_PAYLOAD ? 0 : -EBADMSG;
}

static int check_string(const struct plan *p, int i, uint32_t most)
{
    uint32_t size = p->request.in[i];
    return size && size <= most && !p->request.out[i] && strnlen(p->in[i], size) == size - 1;
}

/* The room is at most what the program's socklen_t says, when there is one. */
static int check_sized_by_pointer(const struct plan *p, int i)
{
    int l = p->kinds[i].other - 1;
    uint32_t size = 0;
    if (p->request.in[i] || p->kinds[l].kind != ARG_LENP)
        return 0;
    if (p->request.args[l] == 1 && p->request.in[l] == sizeof size)
        memcpy(&size, p->in[l], sizeof size);
    return p->request.out[i] <= WIRE_DATA && p->request.out[i] <= size;
}

/* With its head, which must be there. */
static uint64_t message_size(const struct plan *p, int i)
{
    struct wire_msg m;
    if (p->request.in[i] < sizeof m)
        return UINT64_MAX;
    memcpy(&m, p->in[i], sizeof m);
    return sizeof m + (uint64_t)m.name + m.control + m.data;
}

/* Its own first word says how large the object is, but for a head. */
static int check_sized_by_itself(const struct plan *p, int i)
{
    uint32_t size;
    if (p->request.in[i] < sizeof size)
        return 0;
    memcpy(&size, p->in[i], sizeof size);
    return p->request.in[i] <= WIRE_DATA &&
           p->request.in[i] == (uint64_t)size + (uint64_t)p->kinds[i].value;
}

static int check_rule(const struct plan *p, int i)
{
    const struct wire_request *r = &p->request;
    switch (p->kinds[i].kind) {
    case ARG_PATH:
        return check_string(p, i, WIRE_PATH);
    case ARG_STR:
        return check_string(p, i, WIRE_DATA);
    case ARG_OUTL:
        return check_sized_by_pointer(p, i);
    case ARG_IOVIN:
    case ARG_SEMSIN:
        return r->in[i] <= WIRE_DATA && !r->out[i];
    case ARG_IOVOUT:
    case ARG_SEMSOUT:
        return !r->in[i] && r->out[i] <= WIRE_DATA;
    case ARG_INW:
        return check_sized_by_itself(p, i) && !r->out[i];
    case ARG_INOUTW:
        return check_sized_by_itself(p, i) && r->out[i] == r->in[i];
    case ARG_MSGIN:
        return message_size(p, i) == r->in[i] && !r->out[i];
    case ARG_MSGOUT:
        return r->in[i] == sizeof(struct wire_msg) && message_size(p, i) == r->out[i];
    default:
        return 0;
    }
}

/* Does the request bring and ask for as many bytes at argument `i` as its row says? */
static int check_arg(const struct plan *p, int i)
{
    const struct wire_request *r = &p->request;
    uint64_t in, out;
    if (p->kinds[i].kind == ARG_SIGSET || p->kinds[i].kind == ARG_SIGSETP)
        return !r->args[i] && !r->in[i] && !r->out[i];
    if (!wire_is_pointer(p->kinds[i].kind))
        return !r->in[i] && !r->out[i];
    if (r->args[i] == 0 || r->args[i] == WIRE_BAD)
        return !r->in[i] && !r->out[i];
    if (r->args[i] != 1)
        return 0;
    if (!wire_sizes(&p->kinds[i], r->args, &in, &out))
        return check_rule(p, i);
    return in <= WIRE_DATA && out <= WIRE_DATA && r->in[i] == in && r->out[i] == out;
}

/* Emulations of the program's side that end in the call itself. */
static int is_executed(uint32_t number)
{
    switch (number) {
    case __NR_close_range:
    case __NR_semctl:
    case __NR_pidfd_open:
    case __NR_kill:
    case __NR_tkill:
    case __NR_tgkill:
    case __NR_rt_sigqueueinfo:
    case __NR_rt_tgsigqueueinfo:
    case __NR_setrlimit:
    case __NR_prlimit64:
    case __NR_getpgid:
    case __NR_getpgrp:
    case __NR_setpgid:
    case __NR_getsid:
    case __NR_setsid:
        return 1;
    default:
        return calls[number].how == CALL_FORWARD;
    }
}

/* The row with its BY resolved. -EOPNOTSUPP: an argument cannot travel. */
static int find_kinds(struct plan *p)
{
    memcpy(p->kinds, p->call->args, sizeof p->kinds);
    for (int i = 0; i < CALL_ARGS; i++) {
        if (p->kinds[i].kind != ARG_BY)
            continue;
        p->kinds[i] = call_by(p->request.number, p->call, i, p->request.args);
        if (p->kinds[i].kind == ARG_NONE)
            return -EOPNOTSUPP;
    }
    return 0;
}

int decode_check(struct plan *p, char *payload, size_t size)
{
    if (size < sizeof p->request)
        return -EBADMSG;
    memcpy(&p->request, payload, sizeof p->request);
    memset(p->out, 0, sizeof p->out);
    p->refused = 0;
    p->call = decode_row(p->request.number);
    if (find_in(p, payload, size))
        return -EBADMSG;
    if (!p->call || !is_executed(p->request.number))
        p->refused = -ENOSYS;
    else
        p->refused = find_kinds(p);
    if (p->refused)
        return 0;
    for (int i = 0; i < CALL_ARGS; i++)
        if (!check_arg(p, i))
            return -EBADMSG;
    return 0;
}

/* --- the layout --- */

static char *take(struct plan *p, char *arena, size_t size)
{
    char *at = arena + p->used;
    p->used += (size + DECODE_ALIGN - 1) & ~(size_t)(DECODE_ALIGN - 1);
    return at;
}

static void lay_vector(struct plan *p, int i, char *data, size_t size)
{
    uint64_t *count = &p->args[p->kinds[i].other - 1];
    p->vector = (struct iovec){data, size};
    p->args[i] = (uintptr_t)&p->vector;
    if (*count <= IOV_MAX) /* more is an error of the kernel's; none, the same as one of no bytes */
        *count = 1;
}

static void lay_message(struct plan *p, int i, char *data, const struct wire_msg *m)
{
    p->vector = (struct iovec){data + m->name + m->control, m->data};
    p->message = (struct msghdr){.msg_name = m->name ? data : NULL,
                                 .msg_namelen = m->name,
                                 .msg_control = m->control ? data + m->name : NULL,
                                 .msg_controllen = m->control,
                                 .msg_iov = &p->vector,
                                 .msg_iovlen = 1,
                                 .msg_flags = m->flags};
    p->args[i] = (uintptr_t)&p->message;
}

/* Control messages are aligned; the other pieces need not be. The name moves to the end. */
static void lay_message_in(struct plan *p, int i, char *arena)
{
    struct wire_msg m;
    memcpy(&m, p->in[i], sizeof m);
    lay_message(p, i, p->in[i] + sizeof m, &m);
    if (!m.control)
        return;
    char *control = take(p, arena, m.control);
    memcpy(control, p->message.msg_control, m.control);
    p->message.msg_control = control;
}

static void lay_message_out(struct plan *p, int i, char *arena)
{
    struct wire_msg m;
    memcpy(&m, p->in[i], sizeof m);
    char *control = take(p, arena, m.control);
    p->out[i] = take(p, arena, (size_t)m.name + m.data);
    lay_message(p, i, p->out[i], &(struct wire_msg){m.name, 0, m.data, 0});
    p->message.msg_control = m.control ? control : NULL;
    p->message.msg_controllen = m.control;
}

/* The kernel must not write more than there is room for. (Negative sizes it refuses.) */
static void lay_sized_by_pointer(struct plan *p, int i, char *arena)
{
    int l = p->kinds[i].other - 1;
    uint32_t size;
    p->out[i] = take(p, arena, p->request.out[i]);
    p->args[i] = (uintptr_t)p->out[i];
    if (p->request.args[l] != 1)
        return;
    memcpy(&size, p->in[l], sizeof size);
    if (size <= INT32_MAX && size > p->request.out[i])
        memcpy(p->in[l], &p->request.out[i], sizeof size);
}

/* One object or buffer. What the kernel reads and writes is copied: a request that comes again must
 * not change the reply that is kept. */
static void lay_plain(struct plan *p, int i, char *arena)
{
    const struct wire_request *r = &p->request;
    char *at = p->in[i];
    if (!r->in[i] || r->out[i])
        at = p->out[i] = take(p, arena, r->out[i]);
    if (r->in[i] && r->out[i])
        memcpy(at, p->in[i], r->in[i]);
    p->args[i] = (uintptr_t)at;
}

/* Nobody's memory: below vm.mmap_min_addr. */
#define BAD_POINTER 16

static void lay_arg(struct plan *p, int i, char *arena)
{
    if (!p->request.args[i] || !wire_is_pointer(p->kinds[i].kind))
        return;
    if (p->request.args[i] == WIRE_BAD) {
        p->args[i] = BAD_POINTER;
        return;
    }
    switch (p->kinds[i].kind) {
    case ARG_IOVIN:
        lay_vector(p, i, p->in[i], p->request.in[i]);
        break;
    case ARG_IOVOUT:
        p->out[i] = take(p, arena, p->request.out[i]);
        lay_vector(p, i, p->out[i], p->request.out[i]);
        break;
    case ARG_MSGIN:
        lay_message_in(p, i, arena);
        break;
    case ARG_MSGOUT:
        lay_message_out(p, i, arena);
        break;
    case ARG_OUTL:
        break; /* before the others: it may change its LENP */
    default:
        lay_plain(p, i, arena);
    }
}

void decode_lay(struct plan *p, char *arena)
{
    p->used = 0;
    p->message = (struct msghdr){0};
    memcpy(p->args, p->request.args, sizeof p->args);
    for (int i = 0; i < CALL_ARGS; i++)
        if (p->kinds[i].kind == ARG_OUTL && p->request.args[i] == 1)
            lay_sized_by_pointer(p, i, arena);
    for (int i = 0; i < CALL_ARGS; i++)
        lay_arg(p, i, arena);
}

/* --- the reply --- */

static uint32_t least(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

/* Bytes that the kernel wrote at argument `i`. What it reads and writes is always told, since an
 * error may come with something written (what is left of a timeout, the size that was needed). */
static uint32_t written(const struct plan *p, int i, int64_t result)
{
    const struct call_arg *a = &p->kinds[i];
    uint32_t room = p->request.out[i], size;
    if (p->request.in[i] && a->kind != ARG_MSGOUT)
        return room;
    if (result < 0)
        return 0;
    switch (a->kind) {
    case ARG_OUT:
    case ARG_IOVOUT:
        if (p->request.number == __NR_keyctl && (uint64_t)result > room)
            return 0; /* the size that it needs, and nothing written (keyctl_read(3)) */
        return least(room, (uint64_t)result);
    case ARG_OUTH:
        return least(room, (uint64_t)result + (uint64_t)a->value);
    case ARG_OUTA:
        return least(room, (uint64_t)result * (uint64_t)a->value);
    case ARG_OUTL:
        if (p->request.args[a->other - 1] != 1)
            return 0;
        memcpy(&size, p->out[a->other - 1], sizeof size);
        return least(room, size);
    default:
        return room;
    }
}

static uint32_t reply_message(struct plan *p, int i, int64_t result, struct iovec *pieces)
{
    struct wire_msg room, *got = &p->received;
    memcpy(&room, p->in[i], sizeof room);
    *got = (struct wire_msg){.name = least(p->message.msg_namelen, room.name),
                             .control = least(p->message.msg_controllen, room.control),
                             .data = least((uint64_t)result, room.data),
                             .flags = p->message.msg_flags};
    pieces[0] = (struct iovec){got, sizeof *got};
    pieces[1] = (struct iovec){p->message.msg_name, got->name};
    pieces[2] = (struct iovec){p->message.msg_control, got->control};
    pieces[3] = (struct iovec){p->vector.iov_base, got->data};
    return (uint32_t)sizeof *got + got->name + got->control + got->data;
}

int decode_reply(struct plan *p, int64_t result, struct wire_reply *reply, struct iovec *pieces)
{
    int count = 0;
    *reply = (struct wire_reply){.result = result};
    for (int i = 0; i < CALL_ARGS && !p->refused; i++) {
        if (!p->request.args[i] || !p->request.out[i])
            continue;
        if (p->kinds[i].kind == ARG_MSGOUT && result >= 0) {
            reply->out[i] = reply_message(p, i, result, pieces + count);
            count += 4;
        } else if ((reply->out[i] = p->kinds[i].kind == ARG_MSGOUT ? 0 : written(p, i, result))) {
            pieces[count++] = (struct iovec){p->out[i], reply->out[i]};
        }
    }
    return count;
}
