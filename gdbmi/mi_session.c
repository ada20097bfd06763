/* mi_session.c - commands and events over one gdb; mi_intake.c brings what gdb says. */
#include "gdbmi/mi_session.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "gdbmi/mi_intake.h"

/* --- commands --- */

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
            error = mi_pump(s, deadline, false); /* gdb is dying */
        } else if (errno == EAGAIN) {
            error = mi_pump(s, deadline, true);
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

    mi_trace_line(s, '>', line, size - 1);
    s->commands++;
    mi_faults_strike(&s->faults, s->commands, true, s->pid);
    error = send_all(s, line, size, deadline);
    mi_faults_strike(&s->faults, s->commands, false, s->pid);
    return error;
}

static int await_result(struct mi_session *s, int64_t deadline)
{
    int error = 0;

    while (!s->result && !error)
        error = mi_pump(s, deadline, false);
    return s->result ? 0 : error;
}

static void forget_command(struct mi_session *s)
{
    mi_record_free(s->result);
    s->result = NULL;
    s->short_of_memory = false;
    s->error[0] = s->error_code[0] = '\0';
    mi_text_clear(&s->console);
    mi_text_clear(&s->log);
}

static int refused_by_gdb(struct mi_session *s)
{
    const char *message = mi_string(s->result->results, "msg");
    const char *code = mi_string(s->result->results, "code");

    snprintf(s->error_code, sizeof s->error_code, "%s", code ? code : "");
    return mi_fail(s, -EREMOTEIO, "%s", message ? message : "gdb gave no reason");
}

static int judge_result(struct mi_session *s)
{
    if (s->short_of_memory)
        return mi_fail(s, -ENOMEM, "out of memory for gdb's output");
    if (s->result->kind == MI_BROKEN)
        return mi_fail(s, -EPROTO, "gdb's answer cannot be understood: %s",
                       s->result->text ? s->result->text : "out of memory");
    return strcmp(s->result->class, "error") == 0 ? refused_by_gdb(s) : 0;
}

static int converse(struct mi_session *s, const char *line, size_t size)
{
    int64_t deadline = mi_now_ms() + s->deadline_ms;
    int error = send_command(s, line, size, deadline);
    int shown = size > 80 ? 80 : (int)size - 1;

    if (!error)
        error = await_result(s, deadline);
    if (error == -ETIMEDOUT)
        return mi_fail(s, error, "gdb did not answer \"%.*s\" within %d ms", shown, line,
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
        return mi_dead(s);
    va_start(arguments, format);
    line = format_line(++s->token, format, arguments, &size);
    va_end(arguments);
    if (!line)
        return mi_fail(s, -ENOMEM, "out of memory for a gdb command");
    if (strcspn(line, "\r\n") != (size_t)size - 1)
        error = mi_fail(s, -EINVAL, "a gdb command cannot hold a line end");
    else
        error = converse(s, line, (size_t)size);
    free(line);
    if (result && s->result)
        *result = s->result->results;
    return error;
}

/* --- events --- */

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
    int64_t deadline = mi_now_ms() + timeout;
    int error = 0;
    size_t index;

    if (out)
        *out = NULL;
    while (!find_event(s, class, &index) && !error)
        error = s->gdb.pid ? mi_pump(s, deadline, false) : mi_dead(s);
    if (error == -ETIMEDOUT)
        mi_fail(s, error, "no \"%s\" came from gdb within %d ms", class ? class : "event", timeout);
    if (error)
        return error;
    mi_record_free(s->event);
    s->event = mi_unqueue(s, index);
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
        mi_record_free(mi_unqueue(s, index));
}

/* --- opening and closing --- */

static struct mi_session *new_session(const struct mi_options *o)
{
    struct mi_session *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->parser = mi_parser_new(mi_sort, s);
    if (!s->parser) {
        free(s);
        return NULL;
    }
    s->deadline_ms = o->deadline_ms > 0 ? o->deadline_ms : MI_DEADLINE_MS;
    s->trace = o->trace;
    s->trace_context = o->trace_context;
    mi_faults_read(&s->faults);
    return s;
}

int mi_session_start(struct mi_session **out, const struct mi_options *o)
{
    static const struct mi_options defaults;
    const struct mi_options *options = o ? o : &defaults;
    const char *gdb = options->gdb ? options->gdb : "gdb";
    struct mi_session *s = *out = new_session(options);
    int error;

    if (!s)
        return -ENOMEM;
    error = mi_process_start(&s->gdb, gdb, options->argv);
    if (error) {
        snprintf(s->death, sizeof s->death, "cannot run \"%s\": %s", gdb, strerror(-error));
        mi_dead(s);
        return error;
    }
    s->pid = s->gdb.pid;
    return 0;
}

/* Twice: the clock of a virtual machine leaps when that is paused, and once is over at once. */
int mi_session_await(struct mi_session *s)
{
    int error = -ETIMEDOUT;

    for (int i = 0; i < 2 && error == -ETIMEDOUT && !s->prompt; i++) {
        int64_t deadline = mi_now_ms() + s->deadline_ms;
        error = 0;
        while (!s->prompt && !error)
            error = mi_pump(s, deadline, false);
    }
    if (error == -ETIMEDOUT && !s->prompt)
        mi_fail(s, error, "gdb gave no MI prompt within %d ms", s->deadline_ms);
    return s->prompt ? 0 : error;
}

int mi_session_open(struct mi_session **out, const struct mi_options *o)
{
    int error = mi_session_start(out, o);

    return error ? error : mi_session_await(*out);
}

/* Listens to gdb until it has ended, at most for the session's deadline. */
static void await_end(struct mi_session *s)
{
    int64_t deadline = mi_now_ms() + s->deadline_ms;
    int error = 0;

    while (s->gdb.pid && !error)
        error = mi_pump(s, deadline, false);
}

/* From gentle to certain. A gdb that waits for its target does not read, but heeds SIGTERM; both
 * ways it detaches. */
static void end_gdb(struct mi_session *s)
{
    static const char command[] = "-gdb-exit\n";

    if (s->prompt)
        send_command(s, command, sizeof command - 1, mi_now_ms() + s->deadline_ms);
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

void mi_session_kill(struct mi_session *s)
{
    if (s && s->gdb.pid) {
        kill(s->gdb.pid, SIGKILL);
        await_end(s);
    }
    mi_session_close(s);
}

/* --- accessors --- */

static const char *text_of(const struct mi_text *t)
{
    return t->data ? t->data : "";
}

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
