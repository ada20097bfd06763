/*
 * symbols.h - the symbols of one ELF file, found the way the dynamic linker finds them.
 *
 * Inside driver/objects.c only. Everything comes from PT_DYNAMIC, so that it works for a file
 * without section headers (the vdso, or an image read back from memory); .symtab is used in
 * addition where there is one. Tables of all functions are made when first asked for: a program of
 * 100 MB costs nothing until then.
 */
#ifndef DRIVER_SYMBOLS_H
#define DRIVER_SYMBOLS_H

#include <gelf.h>
#include <stdbool.h>
#include <stddef.h>

#include "driver/objects.h"

struct symbols;

/* `bias` is added to every address; `elf` must outlive the symbols. NULL: out of memory. A file
 * without a dynamic section, or with a damaged one, has no dynamic symbols. */
struct symbols *symbols_open(Elf *elf, taddr bias);
void symbols_close(struct symbols *symbols);

/* By name, the default version of it; functions and data, no IFUNC resolvers. An exported name is
 * found by the hash table, any other by a look at every symbol of .symtab. */
bool symbols_find_exported(struct symbols *symbols, const char *name, struct object_function *out);
bool symbols_find(struct symbols *symbols, const char *name, struct object_function *out);
/* All functions, by ascending address; the plainest name of an address first. */
const struct object_function *symbols_functions(struct symbols *symbols, size_t *count);

#endif
