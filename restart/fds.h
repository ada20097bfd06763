/*
 * fds.h - the checkpoint lists the program's descriptors. The table itself is stubs/fds.h.
 *
 * The flow in the handler is: fds_collect() before anything else of ours is opened or with those
 * named, fds_sync(), with --exit fds_check_leaving(); the bytes [data, data+size) are the note;
 * fds_free().
 *
 * Freestanding (stubs/raw.h), no file of the program is opened or closed (that would drop its
 * record locks); needs /proc and two free descriptor numbers for a moment.
 */
#ifndef RESTART_FDS_H
#define RESTART_FDS_H

#include "stubs/fds.h"

/* Lists the descriptors of this process, without the `owned` numbers in `own` (the image, the
 * link). Maps *table. 0 or -errno: -E2BIG more than FDS_MAX, -EMFILE no number free, -ENOENT no
 * /proc, -ENOMEM. */
long fds_collect(struct fds_table *table, const int *own, size_t owned);

/* Likewise those of numbers below `floor`: all others are the caller's. */
long fds_collect_below(struct fds_table *table, int floor);

/* Brings the regular files open for writing to disk (fsync), so that the image never is newer than
 * its files. A file system without fsync is no error. On -errno (EIO, ENOSPC, EDQUOT) `why` names
 * the descriptor. */
long fds_sync(const struct fds_table *table, char *why, size_t size);

/* Can everything go to the shadow? 0, or -ENOTSUP with the descriptor and the reason in `why`. */
long fds_check_leaving(const struct fds_table *table, char *why, size_t size);

/* The program ends now. Gives the terminal that it talks to (0 and 1 both are one, and it is in the
 * foreground) the modes of a shell's command again when the program had made it raw: its shell
 * takes over what a job that exits has left. */
void fds_leave_terminal(const struct fds_table *table);

void fds_free(struct fds_table *table);

/* Sets `shares` of each entry, for fds_collect(); FDS_SHARING_UNKNOWN where the kernel does not
 * tell. */
void fds_find_sharing(struct fds_header *h, struct fds_entry *entries);

/* For fds_collect(), after that: `extra` of each reading end of a pipe whose writing end the
 * program has, too, is added to the strings, which have room for `size` bytes. */
void fds_read_pipes(struct fds_header *h, struct fds_entry *entries, char *strings, size_t size);

#endif
