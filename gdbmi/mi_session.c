/*
 * mi_session.c - commands and events over one gdb.
 *
 * Everything that gdb says arrives in pump(), goes through the parser into on_record(), and is
 * sorted there: the awaited result, events, text. The public calls pump until what they wait for is
 * there.
 */
#include "gdbmi/mi_session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "gdbmi/mi_parser.h"
#include "gdbmi/mi_process.h"

#define QUEUE_MAX   4096
#define COMMAND_MAX ((size_t)64 << 20)

/* Text that grows. */
struct text {
    char *data;
    size_t size, room;
};

struct mi_session {
    struct mi_process gdb;
    pid_t pid; /* also after gdb has been reaped */
    struct mi_parser *parser;
    mi_trace *trace;
    void *trace_context;
    int deadline_ms;

    uint64_t token;           /* of the current command */
    struct mi_record *result; /* its answer, once there */
    bool prompt;              /* gdb has given a prompt */
    bool short_of_memory;     /* something of this command was lost */
    struct text console, log;

    struct mi_record *queue[QUEUE_MAX]; /* events, oldest first */
    size_t queued;
    struct mi_record *event; /* the one given out last */

    unsigned commands;
    unsigned long fault_after, fault_before; /* 0: none */

    char last_words[256]; /* the end of what gdb wrote to stderr */
    char death[512];      /* how gdb ended; "" while it lives */
    char error[1024];
    char error_code[64];
};

/* --- small things
 * ------------------------------------------------------------------------------------------------
 */

static int fail(struct mi_session *s, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct mi_session *s, int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(s->error, sizeof s->error, format, arguments);
    va_end(arguments);
    return error;
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void trace(const struct mi_session *s, char direction, const char *line, size_t size)
{
    if (s->trace)
        s->trace(s->trace_context, direction, line, size);
}

static bool text_append(struct text *t, const char *data, size_t size)
{
    if (size >= t->room - t->size) {
        size_t room = (t->room + size + 1) * 2;
        char *grown = realloc(t->data, room);

        if (!grown)
            return false;
        t->data = grown;
        t->room = room;
    }
    if (size)
        memcpy(t->data + t->size, data, size);
    t->size += size;
    t->data[t->size] = '\0';
    return true;
}

static void text_clear(struct text *t)
{
    t->size = 0;
    if (t->data)
        t->data[0] = '\0';
}

static const char *text_of(const struct text *t)
{
    return t->data ? t->data : "";
}

/* --- what gdb says
 * -----------------------------------------------------------------------------------------------
 */

static struct mi_record *unqueue(struct mi_session *s, size_t index)
{
    struct mi_record *r = s->queue[index];

    s->queued--;
    memmove(s->queue + index, s->queue + index + 1, (s->queued - index) * sizeof *s->queue);
    return r;
}

/* Exec records tell where the target is; the others can be asked for again, so they go first. */
static size_t most_dispensable(const struct mi_session *s)
{
    for (size_t i = 0; i < s->queued; i++)
        if (s->queue[i]->kind != MI_EXEC)
            return i;
    return 0;
}

static void take_event(struct mi_session *s, struct mi_record *r)
{
    if (s->queued == QUEUE_MAX)
        mi_record_free(unqueue(s, most_dispensable(s)));
    s->queue[s->queued++] = r;
}

/* What was printed before a late answer belongs to the command that has been given up. */
static void take_result(struct mi_session *s, struct mi_record *r)
{
    if (r->has_token && r->token == s->token && !s->result) {
        s->result = r;
        return;
    }
    if (r->kind == MI_RESULT && r->has_token && r->token < s->token) {
        text_clear(&s->console);
        text_clear(&s->log);
    }
    mi_record_free(r);
}

static void take_text(struct mi_session *s, struct mi_record *r, struct text *to)
{
    if (!text_append(to, r->text, r->text_size))
        s->short_of_memory = true;
    mi_record_free(r);
}

static void on_record(void *context, struct mi_record *r)
{
    struct mi_session *s = context;

    trace(s, '<', r->line, r->line_size);
    r->line = NULL;
    switch (r->kind) {
    case MI_RESULT:
    case MI_BROKEN:
        take_result(s, r);
        break;
    case MI_EXEC:
    case MI_STATUS:
    case MI_NOTIFY:
        take_event(s, r);
        break;
    case MI_CONSOLE:
        take_text(s, r, &s->console);
        break;
    case MI_LOG:
        take_text(s, r, &s->log);
        break;
    default:
        s->prompt = s->prompt || r->kind == MI_PROMPT;
        mi_record_free(r);
    }
}

/* --- I/O
 * ---------------------------------------------------------------------------------------------------------
 */

/* gdb's stderr: shown in the trace, and its end kept for the message about its death. */
static void take_stderr(struct mi_session *s, const char *data, size_t size)
{
    size_t room = sizeof s->last_words - 1, old = strlen(s->last_words);
    size_t more = size < room ? size : room;
    size_t keep = old < room - more ? old : room - more;

    trace(s, '!', data, size && data[size - 1] == '\n' ? size - 1 : size);
    memmove(s->last_words, s->last_words + old - keep, keep);
    memcpy(s->last_words + keep, data + size - more, more);
    s->last_words[keep + more] = '\0';
}

/* Reads once. True when there were bytes; at the end of the file *fd is closed. */
static bool take_output(struct mi_session *s, int *fd)
{
    char data[65536];
    ssize_t size = read(*fd, data, sizeof data);

    if (size > 0 && fd == &s->gdb.out)
        mi_parser_push(s->parser, data, (size_t)size);
    else if (size > 0)
        take_stderr(s, data, (size_t)size);
    if (size == 0) {
        close(*fd);
        *fd = -1;
    }
    return size > 0;
}

static int dead(struct mi_session *s)
{
    return fail(s, -EPIPE, "%s", s->death);
}

/* gdb has ended: reaps it and remembers how, with the first line of its last words. */
static int bury(struct mi_session *s)
{
    char how[128];
    int size = (int)strcspn(s->last_words, "\n");

    mi_process_reap(&s->gdb, how, sizeof how);
    mi_process_close(&s->gdb);
    snprintf(s->death, sizeof s->death, "gdb (process %d) %s%s%.*s", (int)s->pid, how,
             size ? ": " : "", size, s->last_words);
    return dead(s);
}

/* Milliseconds for poll(), rounded so that it does not return early. */
static int until(int64_t deadline)
{
    int64_t left = deadline - now_ms();

    return left < 0 ? 0 : left > 1000000 ? 1000000 : (int)left;
}

/* Waits until something happens and takes in what gdb has said. 0; -ETIMEDOUT; -EPIPE, once all
 * output has been taken. With `sending`, space for input is something that happens. */
static int pump(struct mi_session *s, int64_t deadline, bool sending)
{
    struct pollfd p[] = {{s->gdb.out, POLLIN, 0},
                         {s->gdb.err, POLLIN, 0},
                         {s->gdb.handle, POLLIN, 0},
                         {sending ? s->gdb.in : -1, POLLOUT, 0}};
    int ready = poll(p, 4, until(deadline));
    bool heard = false;

    if (ready < 0)
        return errno == EINTR ? 0 : fail(s, -errno, "cannot wait for gdb: %s", strerror(errno));
    if (ready == 0)
        return until(deadline) ? 0 : -ETIMEDOUT;
    if (p[0].revents)
        heard |= take_output(s, &s->gdb.out);
    if (p[1].revents)
        heard |= take_output(s, &s->gdb.err);
    return p[2].revents && !heard ? bury(s) : 0;
}

/* --- commands
 * ----------------------------------------------------------------------------------------------------
 */

static void strike(struct mi_session *s, unsigned long at, const char *variable)
{
    if (at == 0 || at != s->commands)
        return;
    kill(s->pid, SIGKILL);
    unsetenv(variable); /* once: whoever cleans up may start another gdb */
}

/* Sends all of it, listening meanwhile: gdb may be unable to read because we do not. */
static int send_all(struct mi_session *s, const char *line, size_t size, int64_t deadline)
{
    int error = 0;

    while (size && !error) {
        ssize_t sent = send(s->gdb.in, line, size, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent >= 0) {
            line += sent;
            size -= (size_t)sent;
        } else if (errno == EPIPE || errno == ECONNRESET) {
            error = pump(s, deadline, false); /* gdb is dying */
        } else if (errno == EAGAIN) {
            error = pump(s, deadline, true);
        } else if (errno != EINTR) {
            error = -errno;
        }
    }
    return error;
}

/* Writes one command line, which ends in a newline, and counts it. */
static int send_command(struct mi_session *s, const char *line, size_t size, int64_t deadline)
{
    int error;

    trace(s, '>', line, size - 1);
    s->commands++;
    strike(s, s->fault_before, "HIJACK_FAULT_GDB_BEFORE");
    error = send_all(s, line, size, deadline);
    strike(s, s->fault_after, "HIJACK_FAULT_GDB");
    return error;
}

static int await_result(struct mi_session *s, int64_t deadline)
{
    int error = 0;

    while (!s->result && !error)
        error = pump(s, deadline, false);
    return s->result ? 0 : error;
}

static void forget_command(struct mi_session *s)
{
    mi_record_free(s->result);
    s->result = NULL;
    s->short_of_memory = false;
    s->error[0] = s->error_code[0] = '\0';
    text_clear(&s->console);
    text_clear(&s->log);
}

static int refused_by_gdb(struct mi_session *s)
{
    const char *message = mi_string(s->result->results, "msg");
    const char *code = mi_string(s->result->results, "code");

    snprintf(s->error_code, sizeof s->error_code, "%s", code ? code : "");
    return fail(s, -EREMOTEIO, "%s", message ? message : "gdb gave no reason");
}

static int judge_result(struct mi_session *s)
{
    if (s->short_of_memory)
        return fail(s, -ENOMEM, "out of memory for gdb's output");
    if (s->result->kind == MI_BROKEN)
        return fail(s, -EPROTO, "gdb's answer cannot be understood: %s",
                    s->result->text ? s->result->text : "out of memory");
    return strcmp(s->result->class, "error") == 0 ? refused_by_gdb(s) : 0;
}

static int converse(struct mi_session *s, const char *line, size_t size)
{
    int64_t deadline = now_ms() + s->deadline_ms;
    int error = send_command(s, line, size, deadline);
    int shown = size > 80 ? 80 : (int)size - 1;

    if (!error)
        error = await_result(s, deadline);
    if (error == -ETIMEDOUT)
        return fail(s, error, "gdb did not answer \"%.*s\" within %d ms", shown, line,
                    s->deadline_ms);
    return error ? error : judge_result(s);
}

/* The command with its token and newline; *size without the NUL. */
static char *format_line(uint64_t token, const char *format, va_list arguments, int *size)
{
    char *command = NULL, *line = NULL;

    if (vasprintf(&command, format, arguments) < 0)
        return NULL;
    *size = asprintf(&line, "%llu%s\n", (unsigned long long)token, command);
    free(command);
    return *size < 0 ? NULL : line;
}

int mi_command(struct mi_session *s, const struct mi_value **result, const char *format, ...)
{
    va_list arguments;
    char *line;
    int size, error;

    if (result)
        *result = NULL;
    forget_command(s);
    if (!s->gdb.pid)
        return dead(s);
    va_start(arguments, format);
    line = format_line(++s->token, format, arguments, &size);
    va_end(arguments);
    if (!line)
        return fail(s, -ENOMEM, "out of memory for a gdb command");
    if (strcspn(line, "\r\n") != (size_t)size - 1)
        error = fail(s, -EINVAL, "a gdb command cannot hold a line end");
    else
        error = converse(s, line, (size_t)size);
    free(line);
    if (result && s->result)
        *result = s->result->results;
    return error;
}

/* --- events
 * ------------------------------------------------------------------------------------------------------
 */

static bool find_event(const struct mi_session *s, const char *class, size_t *index)
{
    for (*index = 0; *index < s->queued; ++*index)
        if (!class || strcmp(s->queue[*index]->class, class) == 0)
            return true;
    return false;
}

int mi_wait_event(struct mi_session *s, const char *class, const struct mi_value **out,
                  int timeout_ms)
{
    int timeout = timeout_ms < 0 ? s->deadline_ms : timeout_ms;
    int64_t deadline = now_ms() + timeout;
    int error = 0;
    size_t index;

    if (out)
        *out = NULL;
    while (!find_event(s, class, &index) && !error)
        error = s->gdb.pid ? pump(s, deadline, false) : dead(s);
    if (error == -ETIMEDOUT)
        fail(s, error, "no \"%s\" came from gdb within %d ms", class ? class : "event", timeout);
    if (error)
        return error;
    mi_record_free(s->event);
    s->event = unqueue(s, index);
    if (out)
        *out = s->event->results;
    return 0;
}

const char *mi_event_class(const struct mi_session *s)
{
    return s->event ? s->event->class : "";
}

void mi_drop_events(struct mi_session *s, const char *class)
{
    size_t index;

    while (find_event(s, class, &index))
        mi_record_free(unqueue(s, index));
}

/* --- opening and closing
 * ----------------------------------------------------------------------------------------- */

static unsigned long fault(const char *variable)
{
    const char *number = getenv(variable);

    return number ? strtoul(number, NULL, 10) : 0;
}

static struct mi_session *new_session(const struct mi_options *o)
{
    struct mi_session *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->parser = mi_parser_new(on_record, s);
    if (!s->parser) {
        free(s);
        return NULL;
    }
    s->deadline_ms = o->deadline_ms > 0 ? o->deadline_ms : MI_DEADLINE_MS;
    s->trace = o->trace;
    s->trace_context = o->trace_context;
    s->fault_after = fault("HIJACK_FAULT_GDB");
    s->fault_before = fault("HIJACK_FAULT_GDB_BEFORE");
    return s;
}

int mi_session_open(struct mi_session **out, const struct mi_options *o)
{
    static const struct mi_options defaults;
    const struct mi_options *options = o ? o : &defaults;
    const char *gdb = options->gdb ? options->gdb : "gdb";
    struct mi_session *s = *out = new_session(options);
    int64_t deadline;
    int error;

    if (!s)
        return -ENOMEM;
    deadline = now_ms() + s->deadline_ms;
    error = mi_process_start(&s->gdb, gdb, options->argv);
    if (error) {
        snprintf(s->death, sizeof s->death, "cannot run \"%s\": %s", gdb, strerror(-error));
        dead(s);
        return error;
    }
    s->pid = s->gdb.pid;
    while (!s->prompt && !error)
        error = pump(s, deadline, false);
    if (error == -ETIMEDOUT && !s->prompt)
        fail(s, error, "\"%s\" gave no MI prompt within %d ms", gdb, s->deadline_ms);
    return s->prompt ? 0 : error;
}

/* Listens to gdb until it has ended, at most for the session's deadline. */
static void await_end(struct mi_session *s)
{
    int64_t deadline = now_ms() + s->deadline_ms;
    int error = 0;

    while (s->gdb.pid && !error)
        error = pump(s, deadline, false);
}

/* From gentle to certain. A gdb that waits for its target does not read, but heeds SIGTERM; both
 * ways it detaches. */
static void end_gdb(struct mi_session *s)
{
    static const char command[] = "-gdb-exit\n";

    if (s->prompt)
        send_command(s, command, sizeof command - 1, now_ms() + s->deadline_ms);
    if (s->gdb.pid)
        shutdown(s->gdb.in, SHUT_WR);
    await_end(s);
    for (int i = 0; i < 2 && s->gdb.pid; i++) {
        kill(s->gdb.pid, i ? SIGKILL : SIGTERM);
        await_end(s);
    }
}

void mi_session_close(struct mi_session *s)
{
    if (!s)
        return;
    if (s->gdb.pid)
        end_gdb(s);
    mi_process_close(&s->gdb);
    mi_drop_events(s, NULL);
    mi_record_free(s->event);
    mi_record_free(s->result);
    mi_parser_free(s->parser);
    free(s->console.data);
    free(s->log.data);
    free(s);
}

/* --- accessors
 * ---------------------------------------------------------------------------------------------------
 */

const char *mi_console(const struct mi_session *s)
{
    return text_of(&s->console);
}

const char *mi_log(const struct mi_session *s)
{
    return text_of(&s->log);
}

const char *mi_session_error(const struct mi_session *s)
{
    return s->error;
}

const char *mi_session_error_code(const struct mi_session *s)
{
    return s->error_code;
}

pid_t mi_session_pid(const struct mi_session *s)
{
    return s->pid;
}

unsigned mi_session_commands(const struct mi_session *s)
{
    return s->commands;
}

int mi_session_set_deadline(struct mi_session *s, int deadline_ms)
{
    int old = s->deadline_ms;

    s->deadline_ms = deadline_ms;
    return old;
}

int mi_session_interrupt(struct mi_session *s)
{
    if (!s->gdb.pid)
        return dead(s);
    return kill(s->gdb.pid, SIGINT) == 0 ? 0 : fail(s, -errno, "cannot signal gdb");
}
