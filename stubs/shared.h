/*
 * shared.h - shared file mappings while the file is at home: memory here that is written back.
 *
 * Writable only of files of which the user said that this program is the only user (--io
 * PATTERN=buffer): nobody else could see when a page changes. Those that were ever writable are
 * written back whole, by pwrite, up to the file's end: at msync, munmap, mremap, the program's end
 * and a checkpoint. Others are a copy, which mprotect() makes writable never (EACCES). A file that
 * could be written is kept open at home, under a number from SHARED_FDS on if there may be so many;
 * the program cannot close it. When I/O comes home, real mappings take their place; but not of what
 * could not be written back.
 *
 * A page of a file is there once where it can be written to. Mappings from before I/O was remote
 * share theirs (one_memory); another mapping of the same pages is refused.
 *
 * Limit: what the program writes to the file by write(2) meanwhile is not in the mapping, and the
 * other way round until it is written back.
 */
#ifndef STUBS_SHARED_H
#define STUBS_SHARED_H

#include <stddef.h>

#include "stubs/remote.h"

#define SHARED_FDS 512

struct shared_file {
    uint64_t dev, inode;
    long fd;        /* -1: it cannot be written */
    int sole;       /* only the program uses it: its mappings may be written to */
    int written;    /* what is there now is not yet in the file */
    int one_memory; /* what is written to one of those mappings is seen in the others */
};

/* A mapping at [start, start + length) now stands for the file. 0 or -errno: then it does not. */
long shared_add(struct remote_call *call, uintptr_t start, size_t length,
                const struct shared_file *file, long offset, long protection);

/* Before a mapping of that part of the file is made: the file gets what its mappings show.
 * `instead`: the place where it replaces what is there; 0: it replaces nothing. 0, or -ENODEV: it
 * would show something else than one that stays. */
long shared_prepare(struct remote_call *call, const struct shared_file *file, uintptr_t instead,
                    size_t length, long offset, long protection);

/* Before a part of a mapping becomes other than the rest: no mapping lies on both sides of `start`
 * or of the end, after this. 0 or -errno. */
long shared_split(struct remote_call *call, uintptr_t start, size_t length);

/* Writes back what of [start, start + length) is such a mapping; all of them: 0, SIZE_MAX. 0 or the
 * first -errno. */
long shared_write_back(struct remote_call *call, uintptr_t start, size_t length);

/* [start, start + length), split, is unmapped. */
void shared_remove(struct remote_call *call, uintptr_t start, size_t length);

/* Is [start, start + length) all of one? */
int shared_has(uintptr_t start, size_t length);

/* May mprotect() make it writable? Not what stands for a part that is mapped elsewhere, too. */
int shared_may_be_written(uintptr_t start, size_t length);

/* [start, start + length), split, has another protection. */
void shared_protect(uintptr_t start, size_t length, long protection);

/* What was [from, from + length), split, is at `to` now. */
void shared_moved(uintptr_t from, uintptr_t to, size_t length);

/* The same before the mapping [start, start + old) gets `new` bytes, more. 0 or -ENOMEM. */
long shared_prepare_growth(struct remote_call *call, uintptr_t start, size_t old, size_t new);

/* What was [start, start + old) has `new` bytes now: where that is a mapping of which the file is
 * held, its descriptor at home, and the offset of the new part; -1: it is not. */
int shared_grown(uintptr_t start, size_t old, size_t new, long *offset, long *protection);

/* 1 when the call would close what is held here: its result is in *result. */
int shared_call(struct remote_call *call, long number, const long *args, long *result);

/* I/O is here again, descriptors included. */
void shared_come_home(void);

#endif
