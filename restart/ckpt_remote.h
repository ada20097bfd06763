/*
 * ckpt_remote.h - remote I/O begins and ends in a running program; and the descriptors of a program
 * whose I/O is remote.
 *
 * Begin and end happen in the handler of the checkpoint signal, asked for through the shadow like a
 * checkpoint: there the program stands still with every signal blocked, and goes on through its
 * signal frame. remote_begin() gives the shadow all descriptors, closes them here, turns the jumps
 * to the stubs and arms the net; remote_end() is its undo: the descriptors come back under their
 * numbers. A failure leaves everything as it was.
 *
 * In a checkpoint while I/O is remote, the table of descriptors comes from the shadow
 * (remote_table()). After a restart the starter has decided the mode (hijack_params.remote), and
 * remote_resume() makes it so.
 */
#ifndef RESTART_CKPT_REMOTE_H
#define RESTART_CKPT_REMOTE_H

#include <sys/resource.h>

#include "stubs/fds.h"
#include "stubs/link.h"

/* 0 or -errno, with the reason in ckpt_why. */
long remote_begin(struct link *link, const char *policy); /* the text of policy.h */
long remote_end(struct link *link);

/* What is on its way is at home when this returns; before anything of the program is looked at. */
void remote_settle(void);

/* Copies the table of the program's descriptors at home, made for the image named `image`, to `to`;
 * its size, or -errno. */
long remote_table(struct link *link, uint64_t image, void *to, size_t room);

/* Who and where the program is: at home. 0 or -errno. */
struct image_process;
long remote_identity(struct image_process *p);

/* The limit of descriptors in this process, at the handler's end: `files` is what it was before.
 * While I/O is remote all numbers below are ours, and each thread needs two. */
void remote_limit(const struct rlimit *files);

void remote_resume(void);

#endif
