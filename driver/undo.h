/* undo.h - undoing what the record in the target lists, in reverse order of doing (hijack.h). */
#ifndef DRIVER_UNDO_H
#define DRIVER_UNDO_H

#include "driver/hijack.h"
#include "driver/target.h"

/* Everything, in a target that is served: signal handler, jumps, island, shadow, library. The
 * library stays when the jumps could not all be taken out. */
int undo_all(struct target *target, struct failure *f);

/* After a failed step: undo_all() with the gdb at hand, or a new one at a new safe point, and the
 * target let go. Returns the outcome and appends to `f` what became of the target. */
enum hijack_outcome undo_failed(struct target *target, struct failure *f);

/* Places that are unsafe for undoing: inside the island, whose memory goes away. (target_unsafe) */
int undo_unsafe(void *context, const struct target *target, const taddr *places, size_t count,
                char reason[SAFEPOINT_REASON]);

#endif
