/*
 * jump.h - an entry jump: the first instructions of a function replaced by a jump to a slot of the
 * island.
 *
 * The flow is: jump_plan() from the function's bytes, then, once the island has its address,
 * jump_entry() and jump_slot(). Nothing here touches a target.
 *
 *     function                             slot, in the island
 *       [endbr64, kept]                      0              jmp *JUMP_SWITCH(slot)
 *       jmp slot       <- the entry          JUMP_SWITCH    address: JUMP_HOME of this slot, or a
 * stub rest of the function                 JUMP_HOME      the displaced instructions, relocated
 *                                                           jmp to the rest of the function
 *
 * The slot is entered with the registers and the stack of a call of the function, and takes no
 * frame: at home the original runs as if it had been called, and a stub returns to the function's
 * caller (paper, section 3.2). The switch is one naturally aligned pointer, data, so that a single
 * store turns a function from home to its stub.
 *
 * Invariants: the entry is jump_entry_size bytes, written at once. Of the function's body no branch
 * leads into the displaced bytes but to their first. None of them is a system call, and a call only
 * where it returns behind them; from the slot it is made with that same return address. So no
 * blocked thread and no return address is ever inside the displaced bytes or the slot. (Branches
 * from other functions, and through pointers, are not looked for: the unit test sweeps all of libc
 * for the first.)
 *
 * The implementation is the architecture's: arch/ARCH/jump.c; the numbers below hold for all.
 */
#ifndef DRIVER_JUMP_H
#define DRIVER_JUMP_H

#include <stddef.h>
#include <stdint.h>

#include "driver/failure.h"
#include "driver/taddr.h"
#include "stubs/record.h" /* JUMP_SLOT and what is in one */

#define JUMP_MAX      40 /* no architecture displaces more bytes */
#define JUMP_MAX_INSN 8  /* nor more instructions */

/* Properties of the architecture. */
extern const size_t jump_entry_size; /* bytes of an entry, at most JUMP_MAX */
extern const uint64_t jump_reach;    /* entry and slot are never further apart than this */

/* A displaced instruction: where it stands in the original bytes, and what in it must be relocated.
 */
struct jump_insn {
    uint8_t offset; /* from the entry */
    uint8_t size;   /* bytes */
    uint8_t form;   /* enum of the architecture */
    uint8_t field;  /* offset within the instruction of what depends on the address */
    taddr target;   /* absolute address that it refers to */
};

struct jump_plan {
    taddr entry;      /* where the jump goes: the function's address, or behind its endbr64 */
    size_t displaced; /* bytes: [entry, entry + displaced) do not run in place any more */
    uint8_t bytes[JUMP_MAX]; /* they, as expected */
    size_t count;            /* instructions among them */
    struct jump_insn insns[JUMP_MAX_INSN];
};

/* Plans the jump for the function at `address` whose `size` bytes are `body`. 0, or -ENOTSUP when
 * it cannot be done: too short, a call or system call at the entry, a branch into the displaced
 * bytes, unknown instructions. */
int jump_plan(const uint8_t *body, size_t size, taddr address, struct jump_plan *out,
              struct failure *f);

/* Makes the jump_entry_size bytes that jump from the entry to the slot. 0, or -ERANGE. */
int jump_entry(const struct jump_plan *plan, taddr slot_address, uint8_t *bytes, struct failure *f);

/* Makes the JUMP_SLOT bytes of the slot, switched to home. 0, or -ERANGE when something is out of
 * reach. */
int jump_slot(const struct jump_plan *plan, taddr slot_address, uint8_t *bytes, struct failure *f);

#endif
