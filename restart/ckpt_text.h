/*
 * ckpt_text.h - text in and out for the checkpoint: messages put together without printf, files of
 * /proc read by line.
 *
 * Freestanding (stubs/raw.h). Texts are always NUL-terminated and are cut, never overrun.
 */
#ifndef RESTART_CKPT_TEXT_H
#define RESTART_CKPT_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct text {
    char *bytes;
    size_t size;
    size_t length;
};

void text_add(struct text *t, const char *s);
void text_number(struct text *t, int64_t n);
/* ": " and the cause: the common errors in words, the others by number. */
void text_cause(struct text *t, long error);

/* Parses a number in base 8, 10 or 16 at *s and moves *s behind it. */
uint64_t text_parse(const char **s, unsigned base);
/* Moves behind the next space-separated words, `count` of them. */
const char *text_skip(const char *s, unsigned count);

/* What getdents64(2) lists. */
struct dent {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

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
