/* mem.h - the few libc functions that freestanding code needs (and that the compiler may call by
 * itself). */
#ifndef STUBS_MEM_H
#define STUBS_MEM_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);

/* Copies at most size-1 bytes of `from` and ends them with a NUL; returns strlen(from), as
 * strlcpy(3bsd) does. */
size_t mem_copy_string(char *to, const char *from, size_t size);

#endif
