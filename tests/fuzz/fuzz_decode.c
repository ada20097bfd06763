/*
 * fuzz_decode.c - whatever comes on a channel as a request, its decoder reads and writes only what
 * is there, and everything that it lays out for the kernel has its room.
 *
 * Input: the payload of a FRAME_CALL, its first bytes being a struct wire_request whose number is
 * taken modulo the table, so that rows are found. Of 16 bytes a request is made that fits its row.
 * Bytes that a call of the kernel would read are read, those that it would write are written; the
 * reply is put together.
 *
 *   clang -g -D_GNU_SOURCE -I. -fsanitize=fuzzer,address,undefined tests/fuzz/fuzz_decode.c \
 *         shadow/decode.c -o fuzz_decode && ./fuzz_decode -max_len=4096
 */
#include <stdlib.h>
#include <string.h>

#include "shadow/decode.h"
#include "stubs/calls_by.h"

#define NUMBERS 480

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct plan plan;
static struct wire_reply reply;
static struct iovec pieces[DECODE_PIECES];
static volatile unsigned char sink;

static void read_all(const void *from, size_t size)
{
    for (size_t i = 0; i < size; i += size < 64 ? 1 : 61)
        sink = ((const unsigned char *)from)[i];
}

static void write_all(void *to, size_t size)
{
    if (to)
        memset(to, 0x55, size);
}

static void use_message(void)
{
    read_all(plan.message.msg_name, plan.message.msg_namelen);
    read_all(plan.message.msg_control, plan.message.msg_controllen);
    read_all(plan.vector.iov_base, plan.vector.iov_len);
}

static void fill_message(void)
{
    write_all(plan.message.msg_name, plan.message.msg_namelen);
    write_all(plan.message.msg_control, plan.message.msg_controllen);
    write_all(plan.vector.iov_base, plan.vector.iov_len);
}

/* What the kernel might do with argument `i`. */
static void use(int i)
{
    if (!decode_has(&plan, i))
        return;
    switch (plan.kinds[i].kind) {
    case ARG_PATH:
    case ARG_STR:
        if (strlen((const char *)plan.args[i]) + 1 != plan.request.in[i])
            abort();
        break;
    case ARG_IOVIN:
        read_all(plan.vector.iov_base, plan.vector.iov_len);
        break;
    case ARG_IOVOUT:
        write_all(plan.vector.iov_base, plan.vector.iov_len);
        break;
    case ARG_MSGIN:
        use_message();
        break;
    case ARG_MSGOUT:
        fill_message();
        break;
    default:
        if (plan.request.in[i])
            read_all((const void *)plan.args[i], plan.request.in[i]);
        if (plan.request.out[i] && plan.kinds[i].kind != ARG_LENP)
            write_all((void *)plan.args[i], plan.request.out[i]);
    }
}

/* An error, a size, more than there is room for: all may come out of the kernel. */
static void put_together(int64_t result)
{
    int count = decode_reply(&plan, result, &reply, pieces);
    size_t told = 0, sent = 0;
    if (count < 0 || count > DECODE_PIECES - 2)
        abort();
    for (int i = 0; i < count; i++) {
        read_all(pieces[i].iov_base, pieces[i].iov_len);
        sent += pieces[i].iov_len;
    }
    for (int i = 0; i < CALL_ARGS; i++) {
        if (reply.out[i] > plan.request.out[i])
            abort();
        told += reply.out[i];
    }
    if (told != sent || told + sizeof reply > WIRE_MAX_PAYLOAD)
        abort();
}

/* --- requests that are right, so that what comes behind the check is reached --- */

static struct {
    struct wire_request request;
    char in[8 * WIRE_DATA];
} made;
static size_t made_in;

static void bring(int i, const void *bytes, size_t size)
{
    memcpy(made.in + made_in, bytes, size);
    made_in += size;
    made.request.in[i] += (uint32_t)size;
}

static void bring_message(int i, const uint8_t *data, uint8_t kind)
{
    static const char zeros[3 * 255];
    struct wire_msg m = {data[0], data[1], data[2], 0};
    size_t size = (size_t)m.name + m.control + m.data;
    bring(i, &m, sizeof m);
    if (kind == ARG_MSGIN)
        bring(i, zeros, size);
    else
        made.request.out[i] = (uint32_t)(sizeof m + size);
}

static void bring_by_rule(int i, const struct call_arg *arg, const uint8_t *data)
{
    char object[256 + 64] = {(char)data[0]};
    switch (arg->kind) {
    case ARG_PATH:
    case ARG_STR:
        bring(i, "a path", 7);
        break;
    case ARG_OUTL: /* no more than its length, which comes later, will say */
        made.request.out[i] = data[0] % 4;
        break;
    case ARG_IOVIN:
    case ARG_SEMSIN:
        bring(i, data, data[0] % 8);
        break;
    case ARG_IOVOUT:
    case ARG_SEMSOUT:
        made.request.out[i] = data[0];
        break;
    case ARG_INW:
    case ARG_INOUTW:
        bring(i, object, data[0] + (size_t)arg->value);
        made.request.out[i] = arg->kind == ARG_INOUTW ? made.request.in[i] : 0;
        break;
    default:
        bring_message(i, data, arg->kind);
    }
}

static void bring_argument(int i, const struct call_arg *arg, const uint8_t *data)
{
    static const char zeros[2 * WIRE_DATA];
    static const uint32_t length = 1000;
    uint64_t in, out;
    if (!wire_is_pointer(arg->kind) || !made.request.args[i])
        return;
    if (!wire_sizes(arg, made.request.args, &in, &out)) {
        bring_by_rule(i, arg, data);
        return;
    }
    bring(i, arg->kind == ARG_LENP ? (const void *)&length : zeros, in <= WIRE_DATA ? in : 0);
    made.request.out[i] = out <= WIRE_DATA ? (uint32_t)out : 0;
}

/* A request whose lengths fit; 16 bytes of `data` choose. */
static size_t make_request(const uint8_t *data)
{
    const struct call *row = decode_row((data[0] | data[1] << 8) % NUMBERS);
    if (!row)
        return 0;
    memset(&made.request, 0, sizeof made.request);
    made_in = 0;
    made.request.number = (data[0] | data[1] << 8) % NUMBERS;
    for (int i = 0; i < CALL_ARGS; i++)
        made.request.args[i] = wire_is_pointer(row->args[i].kind) ? data[2] >> i & 1
                               : row->args[i].kind == ARG_SIGSET || row->args[i].kind == ARG_SIGSETP
                                   ? 0
                                   : data[3 + i];
    for (int i = 0; i < CALL_ARGS; i++) {
        struct call_arg arg = row->args[i];
        if (arg.kind == ARG_BY)
            arg = call_by(made.request.number, row, i, made.request.args);
        bring_argument(i, &arg, data + 9);
    }
    return sizeof made.request + made_in;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t fits = size == 16 ? make_request(data) : 0;
    size_t outcome = fits ? data[15] : size;
    if (fits) {
        data = (const uint8_t *)&made;
        size = fits;
    }
    char *payload = malloc(size ? size : 1), *arena = NULL;
    memcpy(payload, data, size);
    if (size >= sizeof(struct wire_request)) {
        uint32_t number;
        memcpy(&number, payload, sizeof number);
        number %= NUMBERS;
        memcpy(payload, &number, sizeof number);
    }
    if (decode_check(&plan, payload, size) == 0 && !plan.refused) {
        arena = malloc(DECODE_ARENA); /* not cleared: an address sanitizer sees its end */
        decode_lay(&plan, arena);
        if (plan.used > DECODE_ARENA)
            abort();
        for (int i = 0; i < CALL_ARGS; i++)
            use(i);
        static const int64_t results[] = {-EINTR, 0, 1, 7, 100, WIRE_DATA, INT32_MAX, INT64_MAX};
        put_together(results[outcome % (sizeof results / sizeof *results)]);
    }
    free(arena);
    free(payload);
    return 0;
}
