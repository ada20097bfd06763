/*
 * masks.h - the checkpoint signal in the masks of the target's threads.
 *
 * A checkpoint reaches each thread by its signal. So a hijack takes that out of the mask of every
 * thread that blocks it - node has a thread that blocks all signals for as long as it lives - and a
 * release puts it back in the same ones. Only a thread itself can change its mask: the server
 * (server.h) is sent into one after the other for that, when it has left the one that was served.
 *
 * The threads are known by their thread pointers, which a restart keeps.
 */
#ifndef DRIVER_MASKS_H
#define DRIVER_MASKS_H

#include "driver/target.h"
#include "stubs/record.h"

/* Lists in `record` the threads of a served target that block `signal`. Those that find no room
 * there go on blocking it, and a checkpoint will name them. */
int masks_find(struct target *target, int signal, struct hijack_record *record, struct failure *f);

/* Has target_go() change the masks of the threads that the record lists. */
void masks_order(struct target *target, int signal, bool block, const struct hijack_record *record);

/* Carries the order out: in the thread that is served, through the server's frame... */
int masks_change_served(struct target *target, struct failure *f);
/* ... and, when the server has left it, in the others. One that stands where the server may not go
 * is left as it is. */
int masks_change_others(struct target *target, struct failure *f);

#endif
