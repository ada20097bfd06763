/*
 * libcs.h - for the tests: the C libraries of this machine as driver/objects.h shows them.
 *
 * The test program runs on glibc. musl's library is mapped, not loaded: enough for whoever reads
 * its text.
 */
#ifndef TESTS_LIBCS_H
#define TESTS_LIBCS_H

#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver/objects.h"
#include "driver/proc.h"

#define MUSL "/lib/ld-musl-x86_64.so.1"

struct libcs {
    struct maps maps;
    struct objects *objects;
    const struct object *glibc, *musl; /* NULL: not on this machine */
};

/* Maps the executable segment of an ELF file. */
static inline void libcs_map_text(const char *path)
{
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (pread(fd, &header, sizeof header, 0) != sizeof header)
        abort();
    for (int i = 0; i < header.e_phnum; i++) {
        off_t at = (off_t)(header.e_phoff + (size_t)i * sizeof segment);
        if (pread(fd, &segment, sizeof segment, at) != sizeof segment)
            abort();
        if (segment.p_type == PT_LOAD && (segment.p_flags & PF_X) &&
            mmap(NULL, segment.p_filesz, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd,
                 (off_t)segment.p_offset) == MAP_FAILED)
            abort();
    }
    close(fd);
}

static inline void libcs_open(struct libcs *l)
{
    struct failure f;
    libcs_map_text(MUSL);
    if (maps_read(getpid(), &l->maps, &f) != 0 ||
        objects_open(getpid(), &l->maps, &l->objects, &f) != 0) {
        fprintf(stderr, "%s\n", f.text);
        abort();
    }
    l->glibc = objects_named(l->objects, "libc.so.6");
    l->musl = NULL;
    for (size_t i = 0; i < objects_count(l->objects); i++)
        if (strstr(objects_at(l->objects, i)->path, "musl"))
            l->musl = objects_at(l->objects, i);
}

static inline void libcs_close(struct libcs *l)
{
    objects_free(l->objects);
    maps_free(&l->maps);
}

#endif
