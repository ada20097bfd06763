/*
 * checksum.h - the checksum of images: finds changed, missing and misplaced bytes; no defence
 * against forgery.
 *
 * Eight lanes, each mixing one 64-bit word at a time by steps that can be undone, so that any
 * change within a single word changes the sum for certain. General registers only, faster than
 * memory. Inline and without libc: the checkpoint (freestanding) and the starter share it.
 */
#ifndef RESTART_CHECKSUM_H
#define RESTART_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#define CHECKSUM_LANES 8
#define CHECKSUM_BLOCK                                                                             \
    (CHECKSUM_LANES * sizeof(uint64_t)) /* feed multiples of this until the last piece */
#define CHECKSUM_PRIME 0x9e3779b97f4a7c15ULL

struct checksum {
    uint64_t lane[CHECKSUM_LANES];
    uint64_t length;
};

static inline uint64_t checksum_mix(uint64_t lane, uint64_t word)
{
    lane = (lane ^ word) * CHECKSUM_PRIME;
    return lane << 29 | lane >> 35;
}

static inline void checksum_start(struct checksum *c)
{
    for (unsigned i = 0; i < CHECKSUM_LANES; i++)
        c->lane[i] = (i + 1) * CHECKSUM_PRIME;
    c->length = 0;
}

static inline void checksum_words(struct checksum *c, const uint64_t *words, size_t blocks)
{
    uint64_t a = c->lane[0], b = c->lane[1], d = c->lane[2], e = c->lane[3];
    uint64_t f = c->lane[4], g = c->lane[5], h = c->lane[6], i = c->lane[7];
    for (; blocks; blocks--, words += CHECKSUM_LANES) {
        a = checksum_mix(a, words[0]), b = checksum_mix(b, words[1]);
        d = checksum_mix(d, words[2]), e = checksum_mix(e, words[3]);
        f = checksum_mix(f, words[4]), g = checksum_mix(g, words[5]);
        h = checksum_mix(h, words[6]), i = checksum_mix(i, words[7]);
    }
    c->lane[0] = a, c->lane[1] = b, c->lane[2] = d, c->lane[3] = e;
    c->lane[4] = f, c->lane[5] = g, c->lane[6] = h, c->lane[7] = i;
}

/* `bytes` must be aligned to 8. Only the last piece may have a size that is no multiple of
 * CHECKSUM_BLOCK. */
static inline void checksum_add(struct checksum *c, const void *bytes, size_t size)
{
    uint64_t last[CHECKSUM_LANES] = {0};
    size_t blocks = size / CHECKSUM_BLOCK, rest = size % CHECKSUM_BLOCK;
    checksum_words(c, bytes, blocks);
    for (size_t i = 0; i < rest; i++)
        last[i / 8] |= (uint64_t)((const uint8_t *)bytes)[blocks * CHECKSUM_BLOCK + i]
                       << 8 * (i % 8);
    if (rest)
        checksum_words(c, last, 1);
    c->length += size;
}

static inline uint64_t checksum_end(const struct checksum *c)
{
    uint64_t sum = checksum_mix(CHECKSUM_PRIME, c->length);
    for (unsigned i = 0; i < CHECKSUM_LANES; i++)
        sum = checksum_mix(sum, c->lane[i]);
    return sum ^ sum >> 32;
}

static inline uint64_t checksum(const void *bytes, size_t size)
{
    struct checksum c;
    checksum_start(&c);
    checksum_add(&c, bytes, size);
    return checksum_end(&c);
}

#endif
