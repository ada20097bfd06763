/*
 * table.h - the executor lists the program's descriptors (restart/fds.h), for an image or to give
 * them back, and keeps the newest table.
 *
 * The flow is: table_begin(); table_make(), table_piece() for its bytes, table_batch() for the
 * descriptors. Main thread only; the program's calls are over or blocked.
 */
#ifndef SHADOW_TABLE_H
#define SHADOW_TABLE_H

#include "shadow/execute.h"

/* The table that the descriptors came with is the first. It must stay. */
void table_begin(const struct hold *hold);
/* Lists all. For an image: names the table so, brings files to disk. For a program that takes its
 * descriptors home (0): terminals are among them. `offer` tells name and sizes. 0 or -errno. */
int table_make(struct executor *x, uint64_t image, struct frame_offer *offer);
const void *table_data(void);
/* The bytes from `from` on, at most a frame: how many, or -EINVAL. */
int table_piece(uint32_t from, const char **piece);
/* The numbers of a batch of its descriptors, in the order of those that travel. How many, or
 * -EBADMSG. */
int table_batch(const struct frame_batch *batch, int *fds);
/* Takes the record locks of the table, or lets go of them. How many went to somebody else. */
uint32_t table_lock(bool take);

#endif
