/*
 * safepoint.h - may dlopen be called in this thread, here?
 *
 * dlopen allocates and takes the loader's lock. Called in a thread that was stopped inside malloc
 * or the dynamic linker it corrupts the heap or deadlocks. A place is safe when the stack was
 * followed to its outermost frame and no frame lies in: the dynamic linker; the malloc family, of
 * whichever object (libc's hidden helpers included); fork, exit or other functions of libc that
 * hold the loader's or the allocator's locks; a signal handler (what it interrupted may hold any of
 * them); a restartable sequence. Being blocked in a system call makes no difference to that.
 *
 * Code without unwind tables (musl's, just-in-time compilers'): every word of the stack that may be
 * a return address is taken for one. That sees too many frames, left-overs among them, never too
 * few.
 */
#ifndef DRIVER_SAFEPOINT_H
#define DRIVER_SAFEPOINT_H

#include "driver/failure.h"
#include "driver/proc.h"
#include "driver/unwind.h"

enum safepoint_purpose {
    SAFEPOINT_FOR_LIBC,   /* functions of libc will be called, dlopen above all: everything above
                             holds */
    SAFEPOINT_FOR_SERVER, /* only our own code and system calls: a restartable sequence is unsafe,
                             and a stack of unknown size, such as an alternate signal stack */
};

struct safepoint {
    enum safepoint_purpose purpose;
    struct unwind_input input;
    const struct maps *maps;
    taddr thread_pointer; /* fs_base on x86-64; 0: unknown, restartable sequences are not looked for
                           */
};

#define SAFEPOINT_REASON 256

/* Returns 1: safe; 0: not safe now, `reason` names the function ("in malloc (libc.so.6)"); -errno
 * and `f`. `where`, in either case, is the innermost function's name for the user
 * ("clock_nanosleep"), or "". */
int safepoint_check(const struct safepoint *place, char reason[SAFEPOINT_REASON],
                    char where[SAFEPOINT_REASON], struct failure *f);

#endif
