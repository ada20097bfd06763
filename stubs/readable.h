/*
 * readable.h - memory of the program's that can be read without asking the kernel.
 *
 * A write's bytes are the program's, and a bad pointer must be EFAULT and no SIGSEGV; so they are
 * read by a system call (remote_read()), which for a few bytes is most of what the write costs.
 * Private anonymous memory and an object's data (.data and .bss) stay as they are until the program
 * itself makes a call that changes its mappings, and that call comes by here. So some such
 * stretches are remembered. (Not a file's: its pages go when anybody cuts the file.) What the
 * kernel's list of mappings does not show is not seen: guard pages (MADV_GUARD_INSTALL) and
 * protection keys.
 *
 * For programs with one thread: another could unmap what is being read.
 */
#ifndef STUBS_READABLE_H
#define STUBS_READABLE_H

#include <stdbool.h>
#include <stddef.h>

/* Is it all in a remembered stretch? At any time. */
bool readable_known(const void *from, size_t size);

/* The same; what was not so a number of times is looked up (/proc/self/maps). Signals are blocked.
 */
bool readable_learned(const void *from, size_t size);

/* A call of the program's is to be made: if it can change a mapping, all is forgotten. */
void readable_note_call(long number, const long *args);

void readable_forget(void);

#endif
