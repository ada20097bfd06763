/*
 * text.h - writing the entry jumps into the target's text, and taking them out again.
 *
 * All are written by one command to gdb, those of one page by one write. Called while the target is
 * served: its one thread stands in the server, not in the text. Before a byte is changed,
 * every patch's expected bytes were compared with the target's; after, read back.
 */
#ifndef DRIVER_TEXT_H
#define DRIVER_TEXT_H

#include "driver/target.h"
#include "stubs/record.h"

/* Writes every patch of the record. -ESTALE: the target's text is not what was expected; nothing
 * was written. */
int text_patch(struct target *target, const struct hijack_record *record, struct failure *f);
/* Puts the original bytes back wherever the patch stands. Text that is neither is left alone:
 * -ESTALE, after all the others have been undone. */
int text_unpatch(struct target *target, const struct hijack_record *record, struct failure *f);

#endif
