/*
 * replace.h - which functions of the C library are replaced in the target, and by which bytes
 * (paper, section 3.2).
 *
 * The flow is: replace_plan() decides from the library's file; the caller allocates
 * replace_island_size() bytes of island within jump_reach of the library; replace_place() makes the
 * bytes; the caller compares each patch's `expected` with the target's text, writes all slots, then
 * each entry in one write (all threads stopped and none of them where replace_covers_pc() finds
 * one), reads back, and undoes by writing `expected` again. Slots are undone by unmapping the
 * island. Nothing here reads or writes the target, and the target need not be stopped.
 *
 * A function is patched once, at its address, whatever its names. Rows of the table
 * (driver/calls.h) say which.
 */
#ifndef DRIVER_REPLACE_H
#define DRIVER_REPLACE_H

#include "driver/calls.h"
#include "driver/jump.h"
#include "driver/objects.h"

#define REPLACE_NAME 40 /* the longest function name of the table fits */

/* One patched function. Valid until replace_free(). */
struct replace_patch {
    char name[REPLACE_NAME]; /* its plainest name: "read" rather than "__read" */
    const struct call_function *row;
    taddr address;           /* of the function */
    uint64_t size;           /* of the function, bytes */
    struct jump_plan jump;   /* .entry, .bytes and .displaced: the text as it is in the file */
    uint8_t entry[JUMP_MAX]; /* jump_entry_size bytes for jump.entry; set by replace_place() */
    taddr slot;              /* address of its slot; set by replace_place() */
    uint8_t slot_bytes[JUMP_SLOT];
};

/* A function of the table that cannot be patched. */
struct replace_refusal {
    char name[REPLACE_NAME];
    const struct call_function *row;
    taddr address;
    char why[80];
};

struct replace;

/* Plans the patches of `object`, the target's C library. The caller frees *out. 0, -ENOMEM, or
 * -ENOENT when the object has no function of the table. Functions that cannot be patched are not an
 * error: ask for the refusals. */
int replace_plan(const struct objects *objects, const struct object *object, struct replace **out,
                 struct failure *f);
void replace_free(struct replace *replace);

/* Slots needed, one per patch, and the bytes of island that they take. */
size_t replace_count_slots(const struct replace *replace);
size_t replace_island_size(const struct replace *replace);

/* Makes every patch's bytes for an island at `island` (aligned to JUMP_SLOT). May be called again
 * with another address. 0, or -ERANGE when the island is out of reach. */
int replace_place(struct replace *replace, taddr island, struct failure *f);

/* The patches, by ascending address; index < replace_count_slots(). */
const struct replace_patch *replace_at(const struct replace *replace, size_t index);
/* The patch whose function `address` lies in, or NULL. */
const struct replace_patch *replace_holding(const struct replace *replace, taddr address);

size_t replace_refused(const struct replace *replace);
const struct replace_refusal *replace_refusal_at(const struct replace *replace, size_t index);

/* The patch in whose interior `pc` lies, or NULL: a thread that stands there, or returns there,
 * would go on in the middle of the jump. The first displaced byte is not interior: there the jump
 * itself is executed. */
const struct replace_patch *replace_covers_pc(const struct replace *replace, taddr pc);

#endif
