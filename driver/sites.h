/*
 * sites.h - the system call instructions in a piece of text.
 *
 * The flow is: sites_next() for each place where the bytes of one stand, sites_is_one() whether
 * they are an instruction of their own. (Where instructions have different lengths they may be part
 * of another one; to find that out costs some 10 us.) The bytes are a file's; nothing here touches
 * a target.
 *
 * The implementation is the architecture's: arch/ARCH/sites.c.
 */
#ifndef DRIVER_SITES_H
#define DRIVER_SITES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The offset in `text` of the first such bytes at or behind `from`; `size` when there are none. */
size_t sites_next(const uint8_t *text, size_t size, size_t from);
/* Whether those at `site`, which sites_next() returned, are a system call instruction. */
bool sites_is_one(const uint8_t *text, size_t size, size_t site);
/* The number of its call, where the instruction before tells it; else -1. */
long sites_number(const uint8_t *text, size_t site);

#endif
