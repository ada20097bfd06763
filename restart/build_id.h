/*
 * build_id.h - the build-id of an ELF file: what tells one build of a program or library from
 * another, whatever its date and inode (the note NT_GNU_BUILD_ID, which linkers write).
 *
 * Inline and without libc: the checkpoint reads it from memory, the starter from the file.
 */
#ifndef RESTART_BUILD_ID_H
#define RESTART_BUILD_ID_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#include "restart/image.h"

#define BUILD_ID_NOTES 2048 /* bytes of one PT_NOTE that are looked at */

/* Reads `size` bytes of the file at `offset`; 0, or not. */
typedef int build_id_read(void *context, void *to, size_t size, uint64_t offset);

static inline int build_id_is_elf(const Elf64_Ehdr *e)
{
    return e->e_ident[0] == ELFMAG0 && e->e_ident[1] == ELFMAG1 && e->e_ident[2] == ELFMAG2 &&
           e->e_ident[3] == ELFMAG3 && e->e_ident[EI_CLASS] == ELFCLASS64 &&
           e->e_phentsize == sizeof(Elf64_Phdr);
}

/* The size of the id among `size` bytes of notes, aligned to `align`; 0: there is none. */
static inline uint32_t build_id_among(const unsigned char *notes, size_t size, size_t align,
                                      uint8_t id[IMAGE_BUILD_ID])
{
    size_t at = 0;
    align = align == 8 ? 7 : 3;
    while (at + sizeof(Elf64_Nhdr) + 4 <= size) {
        const Elf64_Nhdr *n = (const void *)(notes + at);
        size_t text = at + sizeof *n + (((size_t)n->n_namesz + 3) & ~(size_t)3);
        size_t end = text + n->n_descsz;
        if (end > size)
            return 0;
        const unsigned char *name = notes + at + sizeof *n;
        if (n->n_type == NT_GNU_BUILD_ID && n->n_namesz == 4 && name[0] == 'G' && name[1] == 'N' &&
            name[2] == 'U' && n->n_descsz <= IMAGE_BUILD_ID) {
            for (size_t i = 0; i < n->n_descsz; i++)
                id[i] = notes[text + i];
            return n->n_descsz;
        }
        at = (end + align) & ~align;
    }
    return 0;
}

/* Writes the id of the file that `read` reads and returns its size; 0: it has none. */
static inline uint32_t build_id(build_id_read *read, void *context, uint8_t id[IMAGE_BUILD_ID])
{
    Elf64_Ehdr e;
    Elf64_Phdr p;
    _Alignas(8) unsigned char notes[BUILD_ID_NOTES];
    uint32_t found = 0;
    if (read(context, &e, sizeof e, 0) || !build_id_is_elf(&e))
        return 0;
    for (uint64_t i = 0; i < e.e_phnum && !found; i++) {
        if (read(context, &p, sizeof p, e.e_phoff + i * sizeof p))
            return 0;
        size_t size = p.p_filesz < sizeof notes ? p.p_filesz : sizeof notes;
        if (p.p_type == PT_NOTE && read(context, notes, size, p.p_offset) == 0)
            found = build_id_among(notes, size, p.p_align, id);
    }
    return found;
}

#endif
