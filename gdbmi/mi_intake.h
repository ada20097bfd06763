/*
 * mi_intake.h - the session behind mi_session.h, and what gdb says being sorted into it. Internal
 * to gdbmi/.
 *
 * Everything that gdb says arrives in mi_pump(), goes through the parser and is sorted: the awaited
 * result, events, text. The public calls pump until what they wait for is there.
 */
#ifndef GDBMI_MI_INTAKE_H
#define GDBMI_MI_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gdbmi/mi_parser.h"
#include "gdbmi/mi_fault.h"
#include "gdbmi/mi_process.h"
#include "gdbmi/mi_session.h"

#define MI_QUEUE_MAX 4096

/* Text that grows. */
struct mi_text {
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
    struct mi_text console, log;

    struct mi_record *queue[MI_QUEUE_MAX]; /* events, oldest first */
    size_t queued;
    struct mi_record *event; /* the one given out last */

    unsigned commands;
    struct mi_faults faults;

    char last_words[256]; /* the end of what gdb wrote to stderr */
    char death[512];      /* how gdb ended; "" while it lives */
    char error[1024];
    char error_code[64];
};

/* The parser's callback; `context` is the session. */
void mi_sort(void *context, struct mi_record *r);

/* Waits until something happens and takes in what gdb has said. 0; -ETIMEDOUT; -EPIPE, once all
 * output has been taken and gdb been reaped. With `sending`, room in gdb's stdin is something that
 * happens. `deadline` as mi_now_ms(). */
int mi_pump(struct mi_session *s, int64_t deadline, bool sending);

/* Takes event number `index` out of the queue; it is the caller's. */
struct mi_record *mi_unqueue(struct mi_session *s, size_t index);

/* Stores the message and returns `error`. */
int mi_fail(struct mi_session *s, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* -EPIPE, and how gdb ended. */
int mi_dead(struct mi_session *s);

void mi_text_clear(struct mi_text *t);
void mi_trace_line(const struct mi_session *s, char direction, const char *line, size_t size);
int64_t mi_now_ms(void);

#endif
