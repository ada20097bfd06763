/*
 * mi_parser.h - GDB/MI output, parsed as it arrives. No I/O.
 *
 * The flow is: mi_parser_new(), mi_parser_push() whatever was read, in chunks of any size; each
 * line that has become complete is handed to the callback as one record; mi_parser_free().
 *
 * The whole of the output grammar of MI 2 to 4 is understood. A line that is no MI record is output
 * of the inferior (MI_OUTPUT), which GDB does not keep apart. One that is a record but breaks the
 * grammar, nests deeper than MI_DEPTH_MAX, is longer than MI_LINE_MAX or does not fit in memory
 * comes as MI_BROKEN with the reason; the next line is parsed as if nothing had been wrong.
 *
 * Ownership: a record belongs to the receiver of the callback, who frees it with mi_record_free(),
 * now or later. Only `line` dies with the callback. The callback must not push into or free the
 * same parser.
 *
 * Source: GDB manual, section "GDB/MI Output Syntax".
 */
#ifndef GDBMI_MI_PARSER_H
#define GDBMI_MI_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gdbmi/mi_value.h"

#define MI_LINE_MAX  ((size_t)64 << 20) /* bytes, without the line end */
#define MI_DEPTH_MAX 128                /* tuples and lists within each other */

enum mi_kind {
    MI_RESULT,  /* ^  class, results */
    MI_EXEC,    /* *  class, results: the inferior runs or stopped */
    MI_STATUS,  /* +  class, results: progress */
    MI_NOTIFY,  /* =  class, results: something else changed */
    MI_CONSOLE, /* ~  text: what the command line interface would have printed */
    MI_TARGET,  /* @  text: the inferior's output, of a remote target */
    MI_LOG,     /* &  text: GDB's own messages */
    MI_PROMPT,  /* (gdb) */
    MI_OUTPUT,  /*    text: a line that is no MI */
    MI_BROKEN,  /*    text: why the line could not be parsed */
};

struct mi_record {
    enum mi_kind kind;
    bool has_token;
    uint64_t token;           /* the number before the record's sign */
    char *class;              /* "done", "stopped", ...; NULL for kinds without */
    struct mi_value *results; /* a tuple, perhaps empty; NULL for kinds without */
    char *text;               /* NUL-terminated; NULL for kinds without */
    size_t text_size;
    const char *line; /* the line as it came, without its end; only within the callback */
    size_t line_size;
};

struct mi_parser;
typedef void mi_callback(void *context, struct mi_record *record);

/* A parser that hands records to `callback`; NULL when there is no memory. */
struct mi_parser *mi_parser_new(mi_callback *callback, void *context);
/* Takes the next `size` bytes. Never fails: what is wrong comes as MI_BROKEN. */
void mi_parser_push(struct mi_parser *p, const void *data, size_t size);
/* Frees the parser and a line not yet complete. NULL is accepted. */
void mi_parser_free(struct mi_parser *p);

/* Frees a record and all its values. NULL is accepted. */
void mi_record_free(struct mi_record *r);

#endif
