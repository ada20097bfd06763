/* trace_print.c - see trace.h: a call's arguments by their kinds, and its result. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "driver/calls.h"
#include "driver/trace.h"
#include "stubs/calls_by.h"

#define RESULT_COLUMN 40 /* as strace */
#define ELEMENTS      8  /* of an array of numbers */

/* --- the frame --- */

static void resolve(struct trace_call *c)
{
    const struct wire_request *r = &c->traced.request;
    for (c->count = 0; c->count < CALL_ARGS && c->row->args[c->count].kind; c->count++) {
        const struct call_arg *arg = &c->row->args[c->count];
        c->kinds[c->count] =
            arg->kind == ARG_BY ? call_by(r->number, c->row, c->count, r->args) : *arg;
    }
}

int trace_read(struct trace_call *c, const void *payload, size_t size)
{
    struct wire_traced *t = &c->traced;
    const unsigned char *at = (const unsigned char *)payload + sizeof *t;
    memset(c, 0, sizeof *c);
    if (size < sizeof *t)
        return -EBADMSG;
    memcpy(t, payload, sizeof *t);
    size_t left = size - sizeof *t;
    if (t->request.number >= calls_count || calls[t->request.number].how == CALL_UNKNOWN)
        return -EBADMSG;
    for (int i = 0; i < 2 * CALL_ARGS; i++) {
        uint32_t part = i < CALL_ARGS ? t->in[i] : t->out[i - CALL_ARGS];
        *(i < CALL_ARGS ? &c->in[i] : &c->out[i - CALL_ARGS]) = at;
        if (part > left)
            return -EBADMSG;
        at += part;
        left -= part;
    }
    c->row = &calls[t->request.number];
    resolve(c);
    return left ? -EBADMSG : 0;
}

bool trace_in(const struct trace_call *c, int index, void *to, size_t size)
{
    if (c->traced.in[index] < size)
        return false;
    memcpy(to, c->in[index], size);
    return true;
}

bool trace_out(const struct trace_call *c, int index, void *to, size_t size)
{
    if (c->traced.out[index] < size)
        return false;
    memcpy(to, c->out[index], size);
    return true;
}

bool trace_bytes(const struct trace_call *c, int index, void *to, size_t size)
{
    return trace_out(c, index, to, size) || trace_in(c, index, to, size);
}

/* --- strings --- */

static void put(FILE *to, unsigned char byte, bool digit_follows)
{
    static const char named[] = "\t\n\v\f\r", names[] = "tnvfr";
    const char *name = byte ? strchr(named, byte) : NULL;
    if (name)
        fprintf(to, "\\%c", names[name - named]);
    else if (byte == '"' || byte == '\\')
        fprintf(to, "\\%c", byte);
    else if (byte >= 0x20 && byte < 0x7f)
        fputc(byte, to);
    else
        fprintf(to, digit_follows ? "\\%03o" : "\\%o", byte);
}

void trace_quote(FILE *to, const unsigned char *text, size_t there, size_t size, size_t most)
{
    size_t shown = there < most ? there : most;
    fputc('"', to);
    for (size_t i = 0; i < shown; i++)
        put(to, text[i], i + 1 < shown && text[i + 1] >= '0' && text[i + 1] <= '9');
    fputs(shown < size ? "\"..." : "\"", to);
}

/* --- arguments by their kinds --- */

/* What is at an address that is not known. */
static void print_pointer(FILE *to, const struct trace_call *c, int i)
{
    fputs(c->traced.request.args[i] ? "0x..." : "NULL", to);
}

static void print_scalar(FILE *to, const struct trace_call *c, int i)
{
    uint64_t value = c->traced.request.args[i];
    switch (c->kinds[i].kind) {
    case ARG_FLAGS:
        fprintf(to, "%#x", (unsigned)value);
        break;
    case ARG_MODE:
        fprintf(to, "%#03o", (unsigned)value);
        break;
    case ARG_OFF:
        fprintf(to, "%lld", (long long)value);
        break;
    case ARG_LEN:
    case ARG_COUNT:
        fprintf(to, "%llu", (unsigned long long)value);
        break;
    case ARG_DIRFD:
        if ((int)value == AT_FDCWD) {
            fputs("AT_FDCWD", to);
            break;
        }    /* fallthrough */
    default: /* strace takes what it does not know of an ioctl for a pointer */
        fprintf(to, c->traced.request.number == __NR_ioctl && i == 2 ? "%#x" : "%d", (int)value);
    }
}

/* A string with its NUL; one that is cut has none. */
static void print_string(FILE *to, const struct trace_call *c, int i)
{
    size_t there = strnlen((const char *)c->in[i], c->traced.in[i]);
    size_t size = there < c->traced.in[i] ? there : c->traced.request.in[i];
    trace_quote(to, c->in[i], there, size, c->kinds[i].kind == ARG_PATH ? there : TRACE_TEXT);
}

static void print_in(FILE *to, const struct trace_call *c, int i, size_t head)
{
    trace_quote(to, c->in[i] + head, c->traced.in[i] - head, c->traced.request.in[i] - head,
                TRACE_TEXT);
}

static void print_out(FILE *to, const struct trace_call *c, int i, size_t head)
{
    if (c->traced.reply.result < 0 || c->traced.out[i] < head)
        print_pointer(to, c, i);
    else
        trace_quote(to, c->out[i] + head, c->traced.out[i] - head, c->traced.reply.out[i] - head,
                    TRACE_TEXT);
}

/* The head of INH and OUTH is the type of a System V message. */
static void print_headed(FILE *to, const struct trace_call *c, int i)
{
    bool wrote = c->kinds[i].kind == ARG_OUTH;
    long type = 0;
    if (c->kinds[i].value != sizeof type ||
        !(wrote ? trace_out : trace_in)(c, i, &type, sizeof type)) {
        print_pointer(to, c, i);
        return;
    }
    fprintf(to, "{mtype=%ld, mtext=", type);
    (wrote ? print_out : print_in)(to, c, i, sizeof type);
    fputc('}', to);
}

static void print_vector(FILE *to, const struct trace_call *c, int i)
{
    bool wrote = c->kinds[i].kind == ARG_IOVOUT;
    if (wrote && c->traced.reply.result < 0) {
        print_pointer(to, c, i);
        return;
    }
    fputs("[{iov_base=", to);
    (wrote ? print_out : print_in)(to, c, i, 0);
    fprintf(to, ", iov_len=%u}]", wrote ? c->traced.request.out[i] : c->traced.request.in[i]);
}

/* --- numbers behind pointers --- */

static void print_numbers(FILE *to, const unsigned char *from, size_t there, size_t all,
                          size_t width)
{
    size_t count = there / width;
    fputc('[', to);
    for (size_t i = 0; i < count && i < ELEMENTS; i++) {
        int64_t wide = 0;
        int32_t narrow = 0;
        memcpy(width == 8 ? (void *)&wide : (void *)&narrow, from + i * width, width);
        fprintf(to, "%s%lld", i ? ", " : "", width == 8 ? (long long)wide : (long long)narrow);
    }
    fputs(all / width > (count < ELEMENTS ? count : ELEMENTS) ? ", ...]" : "]", to);
}

/* Objects of four or eight bytes are numbers, all others text. */
static void print_object(FILE *to, const unsigned char *from, size_t there, size_t all,
                         size_t width)
{
    if (width == 4 || width == 8)
        print_numbers(to, from, there, all, width);
    else
        trace_quote(to, from, there, all, TRACE_TEXT);
}

/* What the kernel reads, and what it makes of that: `[0] => [5]`. */
static void print_objects(FILE *to, const struct trace_call *c, int i)
{
    const struct wire_traced *t = &c->traced;
    size_t width = (size_t)c->kinds[i].value;
    bool wrote = t->out[i] && t->reply.result >= 0;
    bool changed = wrote && (t->in[i] != t->out[i] || memcmp(c->in[i], c->out[i], t->in[i]) != 0);
    if (!t->in[i] && !wrote) {
        print_pointer(to, c, i);
        return;
    }
    if (t->in[i])
        print_object(to, c->in[i], t->in[i], t->request.in[i], width);
    if (changed)
        fputs(t->in[i] ? " => " : "", to);
    if (changed)
        print_object(to, c->out[i], t->out[i], t->reply.out[i], width);
}

static void print_length(FILE *to, const struct trace_call *c, int i)
{
    uint32_t before = 0, after = 0;
    trace_in(c, i, &before, sizeof before);
    if (c->traced.reply.result >= 0 && trace_out(c, i, &after, sizeof after) && after != before)
        fprintf(to, "[%u => %u]", before, after);
    else
        fprintf(to, "[%u]", before);
}

/* A socket's option of four bytes is a number. */
static void print_option(FILE *to, const struct trace_call *c, int i)
{
    bool get = c->traced.request.number == __NR_getsockopt;
    const unsigned char *from = get ? c->out[i] : c->in[i];
    size_t there = get ? c->traced.out[i] : c->traced.in[i];
    size_t all = get ? c->traced.reply.out[i] : c->traced.request.in[i];
    if (!there || (get && c->traced.reply.result < 0))
        print_pointer(to, c, i);
    else
        print_object(to, from, there, all, there == 4 ? 4 : 1);
}

static bool is_option(const struct trace_call *c, int i)
{
    return i == 3 && (c->traced.request.number == __NR_getsockopt ||
                      c->traced.request.number == __NR_setsockopt);
}

static void print_memory(FILE *to, const struct trace_call *c, int i)
{
    switch (c->kinds[i].kind) {
    case ARG_PATH:
    case ARG_STR:
        print_string(to, c, i);
        break;
    case ARG_IN:
    case ARG_INW:
        print_in(to, c, i, 0);
        break;
    case ARG_OUT:
    case ARG_OUTL:
        print_out(to, c, i, 0);
        break;
    case ARG_INH:
    case ARG_OUTH:
        print_headed(to, c, i);
        break;
    case ARG_IOVIN:
    case ARG_IOVOUT:
        print_vector(to, c, i);
        break;
    case ARG_LENP:
        print_length(to, c, i);
        break;
    case ARG_MSGIN:
    case ARG_MSGOUT:
        if (!trace_message(to, c, i))
            print_pointer(to, c, i);
        break;
    case ARG_FDSET:
        trace_fdset(to, c, i);
        break;
    default:
        print_objects(to, c, i);
    }
}

bool trace_is_shown(const struct trace_call *c, int i)
{
    const struct wire_request *r = &c->traced.request;
    if ((r->number == __NR_open && i == 2) || (r->number == __NR_openat && i == 3))
        return r->args[i - 1] & O_CREAT || (r->args[i - 1] & O_TMPFILE) == O_TMPFILE;
    if (r->number == __NR_mq_open && i >= 2)
        return r->args[1] & O_CREAT;
    if (r->number == __NR_ioctl && i == 2)
        return r->args[1] != FIOCLEX && r->args[1] != FIONCLEX;
    if (r->number != __NR_fcntl || i != 2)
        return true;
    return r->args[1] != F_GETFD && r->args[1] != F_GETFL && r->args[1] != F_GETOWN &&
           r->args[1] != F_GETSIG && r->args[1] != F_GETLEASE && r->args[1] != F_GETPIPE_SZ &&
           r->args[1] != F_GET_SEALS;
}

void trace_argument(FILE *to, const struct trace_call *c, int index)
{
    const struct trace_name *table = trace_table(c, index);
    trace_shower *show = trace_find_shower(c, index);
    uint64_t value = c->traced.request.args[index];
    if (!trace_is_shown(c, index))
        return;
    if (table)
        trace_names(to, table, (uint32_t)value);
    else if (show && value && show(to, c, index))
        return;
    else if (c->kinds[index].kind < ARG_PATH)
        print_scalar(to, c, index);
    else if (!value)
        print_pointer(to, c, index);
    else if (is_option(c, index))
        print_option(to, c, index);
    else
        print_memory(to, c, index);
}

/* --- the result --- */

/* What it means beside its value. */
static void print_meaning(FILE *to, const struct trace_call *c)
{
    const struct wire_traced *t = &c->traced;
    if (t->request.number != __NR_fcntl)
        return;
    const struct trace_name *table = t->request.args[1] == F_GETFL ? trace_open_flags
                                     : t->request.args[1] == F_GETFD && t->reply.result
                                         ? trace_descriptor_flags
                                         : NULL;
    if (!table)
        return;
    fputs(" (flags ", to);
    trace_names(to, table, (uint32_t)t->reply.result);
    fputc(')', to);
}

static void print_value(FILE *to, const struct trace_call *c)
{
    const struct wire_traced *t = &c->traced;
    bool flags = t->request.number == __NR_fcntl &&
                 (t->request.args[1] == F_GETFL || t->request.args[1] == F_GETFD);
    if (t->request.number == __NR_umask)
        fprintf(to, "%#03o", (unsigned)t->reply.result);
    else if (flags)
        fprintf(to, "%#llx", (unsigned long long)t->reply.result);
    else
        fprintf(to, "%lld", (long long)t->reply.result);
}

void trace_result(FILE *to, const struct trace_call *c)
{
    int64_t result = c->traced.reply.result;
    if (c->traced.reply.flags & (WIRE_CANCELED | WIRE_STOP | WIRE_WIDER)) {
        fputs("? ERESTARTSYS (To be restarted if SA_RESTART is set)", to);
        return;
    }
    if (result < 0 && result >= -4095) {
        const char *name = strerrorname_np((int)-result);
        fprintf(to, "-1 %s (%s)", name ? name : "E?", strerror((int)-result));
        return;
    }
    print_value(to, c);
    print_meaning(to, c);
    trace_ready(to, c);
}

/* --- the line --- */

void trace_line(FILE *to, const struct trace_call *c, int column)
{
    char *text = NULL;
    size_t size = 0;
    FILE *line = open_memstream(&text, &size);
    if (!line)
        return;
    fprintf(line, "%s(", c->row->name);
    for (int i = 0; i < c->count; i++) {
        if (!trace_is_shown(c, i))
            continue;
        fputs(i ? ", " : "", line);
        trace_argument(line, c, i);
    }
    fputc(')', line);
    fclose(line);
    int room = RESULT_COLUMN - column - 1;
    fprintf(to, "%-*s = ", room > 0 ? room : 0, text);
    trace_result(to, c);
    free(text);
}

/* --- the summary --- */

void trace_sum(struct trace_sums *sums, const struct trace_call *c)
{
    struct trace_sums *s = &sums[c->traced.request.number];
    s->calls++;
    s->errors += c->traced.reply.result < 0;
    s->nanoseconds += c->traced.took;
}

static const struct trace_sums *sorted;

static int by_time(const void *a, const void *b)
{
    const struct trace_sums *x = &sorted[*(const size_t *)a], *y = &sorted[*(const size_t *)b];
    if (x->nanoseconds != y->nanoseconds)
        return x->nanoseconds < y->nanoseconds ? 1 : -1;
    return x->calls < y->calls ? 1 : x->calls > y->calls ? -1 : 0;
}

static void print_sums(FILE *to, const struct trace_sums *s, const struct trace_sums *total,
                       const char *name)
{
    double share =
        total->nanoseconds ? 100.0 * (double)s->nanoseconds / (double)total->nanoseconds : 0;
    char errors[24] = "";
    if (s->errors)
        snprintf(errors, sizeof errors, "%llu", (unsigned long long)s->errors);
    fprintf(to, "%6.2f %11.6f %11llu %9llu %9s %s\n", share, (double)s->nanoseconds / 1e9,
            s->calls ? (unsigned long long)(s->nanoseconds / s->calls / 1000) : 0ULL,
            (unsigned long long)s->calls, errors, name);
}

void trace_summary(FILE *to, const struct trace_sums *sums)
{
    static const char rule[] =
        "------ ----------- ----------- --------- --------- ----------------\n";
    struct trace_sums total = {0, 0, 0};
    size_t *order = calloc(calls_count, sizeof *order), count = 0;
    for (size_t i = 0; order && i < calls_count; i++) {
        if (!sums[i].calls)
            continue;
        order[count++] = i;
        total.calls += sums[i].calls;
        total.errors += sums[i].errors;
        total.nanoseconds += sums[i].nanoseconds;
    }
    sorted = sums;
    if (order)
        qsort(order, count, sizeof *order, by_time);
    fprintf(to, "%% time     seconds  usecs/call     calls    errors syscall\n%s", rule);
    for (size_t i = 0; i < count; i++)
        print_sums(to, &sums[order[i]], &total, calls[order[i]].name);
    fputs(rule, to);
    print_sums(to, &total, &total, "total");
    free(order);
}
