/*
 * shared.h - shared writable file mappings while the file is at home: memory here that is written
 * back.
 *
 * Only of files of which the user said that this program is the only user (--io PATTERN=buffer):
 * nobody else could see when a page changes. Written back whole, by pwrite, up to the file's end:
 * at msync, munmap, mremap, the program's end and a checkpoint. The file is kept open for it at
 * home, under a number from SHARED_FDS on. When I/O comes home, real mappings take their place.
 *
 * Limit: what the program writes to the file by write(2) meanwhile is not in the mapping, and the
 * other way round until it is written back.
 */
#ifndef STUBS_SHARED_H
#define STUBS_SHARED_H

#include <stddef.h>

#include "stubs/remote.h"

#define SHARED_FDS 512

/* A mapping at [start, start + length) now stands for the file. 0 or -errno: then it does not. */
long shared_add(struct remote_call *call, uintptr_t start, size_t length, long fd, long offset,
                long protection);

/* Writes back what of [start, start + length) is such a mapping; all of them: 0, SIZE_MAX. 0 or the
 * first -errno. */
long shared_write_back(struct remote_call *call, uintptr_t start, size_t length);

/* [start, start + length) is unmapped. */
void shared_remove(struct remote_call *call, uintptr_t start, size_t length);

/* What began at `from` is at `to` now, `length` bytes long. */
void shared_moved(uintptr_t from, uintptr_t to, size_t length);

/* I/O is here again, descriptors included. */
void shared_come_home(void);

#endif
