/*
 * lines.h - files of /proc read by line, and the words and numbers in them.
 *
 * Freestanding (raw.h). Texts are always NUL-terminated and are cut, never overrun.
 */
#ifndef STUBS_LINES_H
#define STUBS_LINES_H

#include <stddef.h>
#include <stdint.h>

/* Parses a number in base 8, 10 or 16 at *s and moves *s behind it. */
uint64_t text_parse(const char **s, unsigned base);
/* Moves behind the next space-separated words, `count` of them. */
const char *text_skip(const char *s, unsigned count);

/* A text file read line by line. */
#define LINES_SIZE 16384
struct lines {
    int fd;
    size_t start, end;
    int eof;
    char buffer[LINES_SIZE];
};

/* 0 or -errno; the lines must be closed. */
long lines_open(struct lines *l, const char *path);
/* The next line without its newline, valid until the next call; NULL at the end or on an error. */
char *lines_next(struct lines *l);
void lines_close(struct lines *l);

/* Reads a small file whole, NUL-terminated; its length, or -errno. */
long text_file(const char *path, char *to, size_t size);

#endif
