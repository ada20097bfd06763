/*
 * librestart.h - the restart library: replaces the address space of the starter by that of the
 * image.
 *
 * The flow is: the starter has reserved every address of the image, so that this library, dlopened,
 * lies outside; has mapped and filled all memory at temporary addresses, also outside; and calls
 * librestart_go() with a plan. That unmaps all but the ranges to keep, moves the memory to its
 * place, tells the kernel where program, heap and stack are, sends the last word to the shadow and
 * jumps into the image (restart/resume.h). Paper: section 4.
 *
 * Invariants: freestanding; library, plan and stack lie in ranges to keep; nothing is read or
 * decided here. A step that fails ends the process with LIBRESTART_FAILED, after a message.
 */
#ifndef RESTART_LIBRESTART_H
#define RESTART_LIBRESTART_H

#include <stdint.h>

#include "restart/image.h"

#define LIBRESTART_FAILED 3
#define LIBRESTART_NAME   "librestart.so"

struct restart_move {
    uint64_t from, to, size;
};

struct restart_plan {
    uint64_t entry;              /* resume_entry in the image */
    uint64_t top;                /* end of the address space */
    uint64_t stack;              /* top of the stack to run on */
    struct restart_move vdso[8]; /* the kernel's own pages, to a temporary place; size 0 ends */
    uint64_t keep_count, move_count;
    uint64_t (*keep)[2]; /* start, end; by rising address; not to be unmapped */
    struct restart_move *moves;
    struct image_layout layout;
    uint64_t auxv[2 * IMAGE_AUXV_MAX];
    int32_t connection;  /* to the shadow, -1: none */
    int32_t must_answer; /* without its consent the program cannot run */
    int32_t errors;      /* for messages; closed before the program runs unless it is 2 */
    uint32_t done_size;
    unsigned char done[64];
    struct resume_handover handover; /* what of the above is left to unmap */
};

/* Does not return. All signals are blocked, rseq is unregistered. */
void librestart_go(struct restart_plan *plan);

#endif
