/*
 * tdesc.h - GDB's own XML: the target description of the live target, and its tables of system
 * calls.
 *
 * Parsers of text already read, by expat; they do no I/O but tdesc_syscalls_load(). The flow is:
 * read the text from gdb
 * (`maint print xml-tdesc`), tdesc_parse(), look up, tdesc_free(); tdesc_syscalls_load(), look up,
 * free. Sources: GDB manual, "Target Description Format"; gdb-syscalls.dtd.
 */
#ifndef DRIVER_TDESC_H
#define DRIVER_TDESC_H

#include <stddef.h>

#include "driver/failure.h"

struct tdesc_register {
    char *name, *type, *group; /* "" where the description has none */
    char *feature;             /* "org.gnu.gdb.i386.core" */
    unsigned bits;
    unsigned number; /* GDB's regnum: given, or the one after its predecessor's */
};

struct tdesc {
    char *architecture; /* "i386:x86-64" */
    char *osabi;        /* "GNU/Linux", or "" */
    size_t count;
    struct tdesc_register *registers;
};

/* -EBADMSG: not well-formed, or no target description. The caller frees with tdesc_free(). */
int tdesc_parse(const char *xml, size_t size, struct tdesc *out, struct failure *f);
void tdesc_free(struct tdesc *tdesc);
/* NULL when there is no register of that name. */
const struct tdesc_register *tdesc_register(const struct tdesc *tdesc, const char *name);

struct tdesc_syscall {
    char *name;
    long number;
};
struct tdesc_syscalls {
    size_t count;
    struct tdesc_syscall *at;
};

/* GDB's table, united with the numbers this program was compiled with (GDB's ends at 450 and may be
 * missing). `data_directory`: `show data-directory` in gdb, or NULL for the compiled-in numbers
 * alone. `architecture`: tdesc's. A missing file is no failure, a malformed one is. */
int tdesc_syscalls_load(const char *data_directory, const char *architecture,
                        struct tdesc_syscalls *out, struct failure *f);
int tdesc_syscalls_parse(const char *xml, size_t size, struct tdesc_syscalls *out,
                         struct failure *f);
void tdesc_syscalls_free(struct tdesc_syscalls *table);
/* "" style look-ups: NULL and -1 when unknown. */
const char *tdesc_syscall_name(const struct tdesc_syscalls *table, long number);
long tdesc_syscall_number(const struct tdesc_syscalls *table, const char *name);

#endif
