/*
 * mi_session.h - one GDB, spoken to over GDB/MI.
 *
 * The flow is: mi_session_open(), any number of mi_command() and mi_wait_event(), and at last
 * mi_session_close().
 *
 * - GDB runs in a session of its own, so that no Ctrl-C reaches it, with standard descriptors only,
 *   a small environment (LC_ALL=C) and default signals.
 * - GDB's stdin ends when this process dies, however it dies. GDB then detaches from its target and
 *   exits. For a target that runs, this needs "mi-async on", which is therefore set at the start:
 *   without it GDB does not read its stdin until the target stops.
 * - One command at a time: sent with a token, answered by the result record with that token.
 *   Answers to commands given up earlier (-ETIMEDOUT) are dropped, with their text.
 * - Async records of any kind (* + =) go to the event queue, in the order in which GDB sent them.
 * - Once GDB is gone every call returns -EPIPE and mi_session_error() says how it ended. Events
 *   that had come before can still be taken.
 * - Waiting is by CLOCK_MONOTONIC. Signals handled meanwhile change nothing (EINTR is retried); no
 *   SIGPIPE arises.
 *
 * There is no call that interrupts a running target, on purpose: in all-stop mode GDB does that by
 * a SIGINT of the target's own, which stays pending, or is delivered, when something else comes
 * first. With "non-stop on", -exec-interrupt leaves nothing behind; so does a detach.
 *
 * Errors: 0 or -errno; the text sits in the session. Not thread-safe; nothing here is
 * async-signal-safe.
 *
 * Tests have GDB, this process or the target killed at a command: mi_fault.h.
 */
#ifndef GDBMI_MI_SESSION_H
#define GDBMI_MI_SESSION_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "gdbmi/mi_value.h"

#define MI_DEADLINE_MS 10000

/* One line of the dialogue, without its end: `direction` is '>' to GDB, '<' from GDB, '!' GDB's
 * stderr. */
typedef void mi_trace(void *context, char direction, const char *line, size_t size);

struct mi_options {
    const char *gdb;         /* path or name, searched in PATH; NULL: "gdb" */
    const char *const *argv; /* more arguments (at most 56), NULL-terminated; or NULL */
    int deadline_ms;         /* for each command, and for GDB's start; 0: MI_DEADLINE_MS */
    mi_trace *trace;         /* or NULL */
    void *trace_context;
};

struct mi_session;

/* Starts GDB and waits for its first prompt. `o` may be NULL (all defaults) and is not kept.
 * 0, or -errno (-ENOENT: no such gdb; -EPIPE: it ended at once; -ETIMEDOUT). *out is then a session
 * good only for mi_session_error() and mi_session_close(), or NULL with -ENOMEM; so: close it in
 * any case. */
int mi_session_open(struct mi_session **out, const struct mi_options *o);

/* The same in two parts, for who has something else to do while GDB starts: what fails is told by
 * the one or the other. No command before both. */
int mi_session_start(struct mi_session **out, const struct mi_options *o);
int mi_session_await(struct mi_session *s);

/* Ends GDB and frees the session: -gdb-exit and end-of-file (GDB detaches from its target); SIGTERM
 * when that does not work within the deadline, SIGKILL at last. GDB is reaped. NULL is accepted. */
void mi_session_close(struct mi_session *s);

/* The same of a GDB that holds no target: it is killed, which takes it less time than to leave. */
void mi_session_kill(struct mi_session *s);

/* Sends one MI command (or CLI command) and waits for its result. Arguments that may hold blanks go
 * through mi_quote().
 * *result (result may be NULL): the results as a tuple, valid until the next mi_command() or close;
 * NULL when there is no result record.
 * 0 for ^done, ^running, ^connected, ^exit. -EREMOTEIO for ^error, with GDB's message in
 * mi_session_error(). -ETIMEDOUT; -EPIPE: GDB has ended; -EPROTO: the answer is no MI; -ENOMEM;
 * -EINVAL: a line end in the command, which has not been sent. */
int mi_command(struct mi_session *s, const struct mi_value **result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What the last command printed on the console stream (~) and on the log stream (&); "" for
 * nothing. Valid until the next mi_command(). GDB echoes CLI commands to the log. */
const char *mi_console(const struct mi_session *s);
const char *mi_log(const struct mi_session *s);

/* Takes the oldest async record of class `class` ("stopped", "library-loaded", ...; NULL: any) out
 * of the queue, or waits for one. Records of other classes stay queued in their order (the queue
 * holds 4096; then the oldest that is not an exec record goes). timeout_ms: 0 takes only what has
 * arrived, negative means the session's deadline. *out (out may be NULL): its results, valid until
 * the next mi_wait_event() or close. 0, -ETIMEDOUT, -EPIPE. */
int mi_wait_event(struct mi_session *s, const char *class, const struct mi_value **out,
                  int timeout_ms);
/* Class of the record that the last successful mi_wait_event() gave. */
const char *mi_event_class(const struct mi_session *s);
/* Forgets queued records of that class (NULL: all), as before a command whose own *stopped is
 * awaited. */
void mi_drop_events(struct mi_session *s, const char *class);

/* Why the last call failed. Never NULL. */
const char *mi_session_error(const struct mi_session *s);
/* The "code" of the last ^error ("undefined-command"), or "". */
const char *mi_session_error_code(const struct mi_session *s);
/* GDB's process id. */
pid_t mi_session_pid(const struct mi_session *s);
/* Commands written so far, as the fault injection counts them. */
unsigned mi_session_commands(const struct mi_session *s);
/* Changes the deadline of the commands to come; returns the old one. */
int mi_session_set_deadline(struct mi_session *s, int deadline_ms);

/* `argument` as an MI c-string, in double quotes, with its escapes; the caller frees it. NULL: no
 * memory. */
char *mi_quote(const char *argument);

#endif
