/*
 * ckpt_text.h - text for the checkpoint: messages put together without printf; what is read, by
 * stubs/lines.h.
 *
 * Freestanding (stubs/raw.h). Texts are always NUL-terminated and are cut, never overrun.
 */
#ifndef RESTART_CKPT_TEXT_H
#define RESTART_CKPT_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "stubs/lines.h"

struct text {
    char *bytes;
    size_t size;
    size_t length;
};

void text_add(struct text *t, const char *s);
void text_number(struct text *t, int64_t n);
/* ": " and the cause: the common errors in words, the others by number. */
void text_cause(struct text *t, long error);

/* What getdents64(2) lists. */
struct dent {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

#endif
