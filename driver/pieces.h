/*
 * pieces.h - pieces of memory as one file, for gdb's `restore`: an executable that has a section
 * for each, at its address.
 */
#ifndef DRIVER_PIECES_H
#define DRIVER_PIECES_H

#include <stddef.h>

#include "driver/failure.h"
#include "driver/taddr.h"

struct piece {
    taddr address;
    void *bytes;
    size_t size;
};

/* A descriptor of a file in memory, the caller's to close; or -errno. */
int pieces_file(const struct piece *pieces, size_t count, struct failure *f);

#endif
