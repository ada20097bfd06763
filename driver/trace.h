/*
 * trace.h - a remote call as `gdb-hijack trace` prints it: in the form of strace(1).
 *
 * The flow is: trace_read() takes a FRAME_TRACED (stubs/wire.h) apart; trace_line() prints the
 * call, by its row in calls.def and by the names in trace.def; trace_sum() counts it, for the
 * summary.
 *
 * Only samples of the data travel here, and no addresses: what is not known of a pointer is printed
 * as 0x..., an array of struct iovec as one buffer.
 *
 * trace_print.c prints kinds of arguments and results, trace_names.c names of bits and values,
 * trace_struct.c structs.
 */
#ifndef DRIVER_TRACE_H
#define DRIVER_TRACE_H

#include <stdbool.h>
#include <stdio.h>

#include "stubs/wire.h"

struct trace_call {
    struct wire_traced traced;
    const struct call *row;
    struct call_arg kinds[CALL_ARGS];                    /* BY resolved */
    const unsigned char *in[CALL_ARGS], *out[CALL_ARGS]; /* the samples, within the frame */
    int count;                                           /* of arguments */
};

/* Checks a frame's payload, which must outlive *c. 0, or -EBADMSG. */
int trace_read(struct trace_call *c, const void *payload, size_t size);

/* `openat(AT_FDCWD, "data", O_RDONLY) = 3`, from column `column` of its line on. */
void trace_line(FILE *to, const struct trace_call *c, int column);
/* One argument, counted from 0; nothing where the kernel does not look at it. */
void trace_argument(FILE *to, const struct trace_call *c, int index);
bool trace_is_shown(const struct trace_call *c, int index);
/* What stands behind the `=`. */
void trace_result(FILE *to, const struct trace_call *c);

/* --- the summary, as strace -c --- */

struct trace_sums {
    uint64_t calls, errors, nanoseconds;
};
void trace_sum(struct trace_sums *sums, const struct trace_call *c); /* one for each call number */
void trace_summary(FILE *to, const struct trace_sums *sums);

/* --- parts, for trace_*.c --- */

struct trace_name {
    const char *name; /* NULL: the end */
    uint32_t value, mask;
};
#define TABLE(id, ...) extern const struct trace_name trace_##id[];
#include "driver/trace.def"

/* `O_RDWR|O_CREAT`; bits without a name in hexadecimal, as well as a value without one. */
void trace_names(FILE *to, const struct trace_name *table, uint32_t value);
/* The table for an argument, or NULL. */
const struct trace_name *trace_table(const struct trace_call *c, int index);

/* `"text"...`: at most `most` of `size` bytes, of which `there` are there. */
void trace_quote(FILE *to, const unsigned char *text, size_t there, size_t size, size_t most);
#define TRACE_TEXT 32 /* strace's default for -s */

/* Prints an argument whose bytes are there. False: they are not. */
typedef bool trace_shower(FILE *to, const struct trace_call *c, int index);
#define SHOWN(call, argument, function) trace_shower function;
#include "driver/trace.def"
trace_shower *trace_find_shower(const struct trace_call *c, int index);

/* Copies the first `size` bytes that the kernel wrote at the argument, or else read. */
bool trace_bytes(const struct trace_call *c, int index, void *to, size_t size);
bool trace_in(const struct trace_call *c, int index, void *to, size_t size);
bool trace_out(const struct trace_call *c, int index, void *to, size_t size);

trace_shower trace_pointer; /* at an address that is not known */
/* struct sockaddr of `size` bytes, of which `there` are there. */
void trace_sockaddr(FILE *to, const unsigned char *address, size_t there, size_t size);
/* struct msghdr: wire_msg and what follows. */
trace_shower trace_message;
/* Descriptors of an fd_set: `[3 5]`. */
trace_shower trace_fdset;
/* What poll and select add to the result: `([{fd=3, revents=POLLIN}])`. */
void trace_ready(FILE *to, const struct trace_call *c);

#endif
