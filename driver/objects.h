/*
 * objects.h - the ELF files mapped into the target, and their functions.
 *
 * The flow is: maps_read() (driver/proc.h), objects_open(), look up, objects_free(). Files are read
 * with libelf through /proc/PID/root (or /proc/PID/map_files when deleted); the target is not
 * touched and need not be stopped; debug information is never needed. Symbols are .dynsym's, and
 * .symtab's where it is present.
 */
#ifndef DRIVER_OBJECTS_H
#define DRIVER_OBJECTS_H

#include <stddef.h>
#include <stdbool.h>
#include <sys/types.h>

#include "driver/failure.h"
#include "driver/taddr.h"

struct maps;
struct objects;

/* One ELF file mapped into the target. */
struct object {
    const char *path;    /* as /proc/PID/maps names it; owned by the objects */
    taddr bias;          /* load address minus link address */
    taddr text_start;    /* first executable mapping */
    taddr text_end;      /* its end, a page boundary */
    taddr text_used_end; /* end of the PT_LOAD's file bytes within it: [text_used_end, text_end) is
                            never executed */
};

/* A function symbol. Several names may share an address. */
struct object_function {
    const char *name; /* without version; owned by the objects */
    taddr address;    /* in the target; never an IFUNC resolver */
    uint64_t size;    /* bytes; 0 when the symbol says so */
};

/* Opens every ELF file that `maps` shows as mapped executable. The caller frees *out. */
int objects_open(pid_t pid, const struct maps *maps, struct objects **out, struct failure *f);
void objects_free(struct objects *objects);

size_t objects_count(const struct objects *objects);
const struct object *objects_at(const struct objects *objects, size_t index);

/* The object whose file name (last path component) begins with `prefix`: "libc.so", "libc-2.",
 * "ld-musl-"; or NULL. */
const struct object *objects_named(const struct objects *objects, const char *prefix);
/* The C library among them (glibc or musl), or NULL. */
const struct object *objects_libc(const struct objects *objects);
/* The object whose executable mapping holds `address`, or NULL. */
const struct object *objects_holding(const struct objects *objects, taddr address);

/* The address of a defined function or data symbol of `object`; false when it has none of that
 * name. */
bool object_symbol(const struct objects *objects, const struct object *object, const char *name,
                   taddr *address);
/* The same with its size, for exported names (.dynsym) only: fast, however large the object. */
bool object_function_exported(const struct objects *objects, const struct object *object,
                              const char *name, struct object_function *out);
/* The function that `address` lies in (by symbol sizes), or false. */
bool object_function_at(const struct objects *objects, const struct object *object, taddr address,
                        struct object_function *out);
/* Calls `each` for every function symbol, until it returns non-zero; returns that. */
int object_functions(const struct objects *objects, const struct object *object,
                     int (*each)(void *context, const struct object_function *function),
                     void *context);
/* The ELF handle (libelf's Elf *) of the object, read from its file or, when that is gone, from the
 * target's memory. Stays the objects'. NULL when it cannot be had. For unwind.c. */
void *object_elf(const struct objects *objects, const struct object *object);
/* `size` bytes of the object's text as they stand in the file (not in the target), in place; the
 * objects'. NULL when the file does not hold all of them. */
const uint8_t *object_bytes(const struct objects *objects, const struct object *object,
                            taddr address, size_t size);
/* Copies them. 0 or -EFAULT. */
int object_text(const struct objects *objects, const struct object *object, taddr address, void *to,
                size_t size);

#endif
