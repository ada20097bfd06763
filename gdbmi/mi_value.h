/*
 * mi_value.h - the results inside one GDB/MI record, as a tree, and look-up in it.
 *
 * A value is a string, a tuple {name=value,...} or a list ([value,...] or [name=value,...]). The
 * results of a whole record (`^done,a="1",b=[]`) are a tuple too, so one look-up serves all.
 *
 * A path names a value below another: members by name, joined with dots; elements of any container
 * by [index]: "frame.func"     "register-values[0].value"     "stack[2].addr" The element of a list
 * of results is the value itself (stack=[frame={addr="..."},...]: "stack[2].addr"); its name is
 * given by mi_name(). A name that occurs twice in a tuple means the first; mi_at() reaches the
 * others. An empty path means the value itself.
 *
 * Ownership: a tree belongs to its record (mi_parser.h) or its session (mi_session.h); everything
 * returned here points into the tree and lives as long as that. Look-ups accept NULL as "no value"
 * and never fail otherwise than by returning NULL, 0 or -errno, so they can be chained without a
 * check in between.
 *
 * Source: GDB manual, section "GDB/MI Output Syntax".
 */
#ifndef GDBMI_MI_VALUE_H
#define GDBMI_MI_VALUE_H

#include <stddef.h>
#include <stdint.h>

enum mi_type { MI_STRING, MI_TUPLE, MI_LIST };

struct mi_value;

/* The value below `v` that `path` names, or NULL. */
const struct mi_value *mi_get(const struct mi_value *v, const char *path);

/* Type of a value that is not NULL. */
enum mi_type mi_type(const struct mi_value *v);
/* Elements of a tuple or list; 0 for a string and for NULL. */
size_t mi_count(const struct mi_value *v);
/* Element number `index`, in GDB's order, or NULL. */
const struct mi_value *mi_at(const struct mi_value *v, size_t index);
/* The name that `v` has in its container, or NULL (element of a list of values; the tree itself).
 */
const char *mi_name(const struct mi_value *v);

/* The string at `path`, escapes decoded, NUL-terminated; NULL when there is none or it is no
 * string. */
const char *mi_string(const struct mi_value *v, const char *path);
/* Its length in bytes (it may hold NULs); 0 when there is none. */
size_t mi_string_size(const struct mi_value *v, const char *path);

/* The number at `path`: decimal or 0x..., with or without the symbol that GDB adds ("0x401136
 * <main+4>"). 0; -ENOENT: no such string; -EINVAL: no number; -ERANGE: more than 64 bits. *out is
 * set only with 0. */
int mi_u64(const struct mi_value *v, const char *path, uint64_t *out);

/* The bytes at `path`, written in hex (the "contents" of -data-read-memory-bytes), exactly `size`
 * of them. 0; -ENOENT: no such string; -EINVAL: no hex; -EMSGSIZE: another number of bytes. */
int mi_bytes(const struct mi_value *v, const char *path, void *to, size_t size);

/* The way back, for -data-write-memory-bytes: writes 2 * size hex digits and a NUL. */
void mi_hex(const void *from, size_t size, char *text);

#endif
