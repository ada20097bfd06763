/*
 * trace.h - calls told to `gdb-hijack trace`: FRAME_TRACED (stubs/wire.h) for each, through the
 * door.
 *
 * The flow is: trace_begin() before a call, where a tool listens; trace_end() once its reply is
 * laid out. In the channel's thread. A door that is full loses the record, which the next one
 * counts: a slow tool never delays the program.
 */
#ifndef SHADOW_TRACE_H
#define SHADOW_TRACE_H

#include "shadow/execute.h"

struct trace {
    uint64_t began; /* CLOCK_REALTIME, nanoseconds; 0: nobody listens */
    uint64_t clock; /* CLOCK_MONOTONIC */
};

void trace_begin(struct trace *t);
void trace_end(const struct trace *t, const struct channel *c);

#endif
