/* mi_intake.c - reading gdb, sorting what it says, noticing its end. */
#include "gdbmi/mi_intake.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* --- small things --- */

int mi_fail(struct mi_session *s, int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(s->error, sizeof s->error, format, arguments);
    va_end(arguments);
    return error;
}

int64_t mi_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void mi_trace_line(const struct mi_session *s, char direction, const char *line, size_t size)
{
    if (s->trace)
        s->trace(s->trace_context, direction, line, size);
}

static bool text_append(struct mi_text *t, const char *data, size_t size)
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

void mi_text_clear(struct mi_text *t)
{
    t->size = 0;
    if (t->data)
        t->data[0] = '\0';
}

/* --- what gdb says --- */

struct mi_record *mi_unqueue(struct mi_session *s, size_t index)
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
    if (s->queued == MI_QUEUE_MAX)
        mi_record_free(mi_unqueue(s, most_dispensable(s)));
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
        mi_text_clear(&s->console);
        mi_text_clear(&s->log);
    }
    mi_record_free(r);
}

static void take_text(struct mi_session *s, struct mi_record *r, struct mi_text *to)
{
    if (!text_append(to, r->text, r->text_size))
        s->short_of_memory = true;
    mi_record_free(r);
}

void mi_sort(void *context, struct mi_record *r)
{
    struct mi_session *s = context;

    mi_trace_line(s, '<', r->line, r->line_size);
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

/* --- I/O --- */

/* gdb's stderr: shown in the trace, and its end kept for the message about its death. */
static void take_stderr(struct mi_session *s, const char *data, size_t size)
{
    size_t room = sizeof s->last_words - 1, old = strlen(s->last_words);
    size_t more = size < room ? size : room;
    size_t keep = old < room - more ? old : room - more;

    mi_trace_line(s, '!', data, size && data[size - 1] == '\n' ? size - 1 : size);
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

int mi_dead(struct mi_session *s)
{
    return mi_fail(s, -EPIPE, "%s", s->death);
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
    return mi_dead(s);
}

/* Milliseconds for poll(), rounded so that it does not return early. */
static int until(int64_t deadline)
{
    int64_t left = deadline - mi_now_ms();

    return left < 0 ? 0 : left > 1000000 ? 1000000 : (int)left;
}

int mi_pump(struct mi_session *s, int64_t deadline, bool sending)
{
    struct pollfd p[] = {{s->gdb.out, POLLIN, 0},
                         {s->gdb.err, POLLIN, 0},
                         {s->gdb.handle, POLLIN, 0},
                         {sending ? s->gdb.in : -1, POLLOUT, 0}};
    int ready = poll(p, 4, until(deadline));
    bool heard = false;

    if (ready < 0)
        return errno == EINTR ? 0 : mi_fail(s, -errno, "cannot wait for gdb: %s", strerror(errno));
    if (ready == 0)
        return until(deadline) ? 0 : -ETIMEDOUT;
    if (p[0].revents)
        heard |= take_output(s, &s->gdb.out);
    if (p[1].revents)
        heard |= take_output(s, &s->gdb.err);
    return p[2].revents && !heard ? bury(s) : 0;
}
