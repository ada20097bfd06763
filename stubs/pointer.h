/*
 * pointer.h - how much of what a pointer of the program's points to is there.
 *
 * A call with a bad pointer must fail as the kernel would have it fail, and change nothing: bytes
 * that were read at home and find no place here would be lost. What is read is looked at when a
 * frame could not be sent; what is written, before: a page that was found good is remembered, so
 * that this costs a system call only for buffers that are new.
 *
 * Freestanding, no locks: the memory of good pages is the caller's.
 */
#ifndef STUBS_POINTER_H
#define STUBS_POINTER_H

#include <stddef.h>
#include <stdint.h>

#define POINTER_PAGES 16
/* Numbers of pages that could be written lately. They may have gone meanwhile. */
struct pointer_pages {
    uint64_t good[POINTER_PAGES];
};

/* Bytes from there on that can be read, at most `size`. */
size_t pointer_readable(const void *from, size_t size);
/* That can be written. Changes nothing. */
size_t pointer_writable(struct pointer_pages *pages, const void *to, size_t size);

/* Does the kernel believe that an object of `count` times `size` bytes could be there at all
 * (access_ok() of its arch/x86/include/asm/uaccess_64.h)? */
int pointer_possible(const void *at, uint64_t count, uint64_t size);

#endif
