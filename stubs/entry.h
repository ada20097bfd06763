/*
 * entry.h - stubs: where the entry jumps lead while the program's I/O is remote (paper, section
 * 3.2).
 *
 * A stub is entered as if it were the function of libc that was replaced, and returns to the
 * function's caller, with the function's result and errno. There is one for each row of
 * calls.def but the BY_NET ones, which stay at home. entry_switch() turns all slots of the island
 * (driver/jump.h) to their stubs or back home: one store of a pointer each.
 *
 * The MASK rows are the other way round: at home they lead to a stub, from the hijack on. What sets
 * a signal mask is given a copy of it without the checkpoint signal; so a thread that blocks all
 * signals, and those that it makes, can still take part in a checkpoint. The stub makes no call
 * itself, and a mask without that signal never makes it take a frame.
 *
 * The LOCK rows lead to a stub, wherever I/O is, from a restart on that has left anything to settle
 * in owners.h; it goes on in libc.
 */
#ifndef STUBS_ENTRY_H
#define STUBS_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

/* Of each function, in arch/ARCH/entry.S; ENTRY_SIZE bytes apart, in the order of enum function_id.
 */
#define ENTRY_SIZE 16
extern const unsigned char entry_stubs[];

/* Where the original of a function is: JUMP_HOME of its slot, or of any where several do the same.
 * Written by the driver, with the island; 0: none, and none of LOCK where one of them could not be
 * given its jump. */
extern uintptr_t entry_homes[];

/* Called by a stub with the function's arguments. Where `home` is not 0 the stub goes on there,
 * with the arguments as they are then, as if it had not been there. */
struct entry_result {
    long result; /* the function's */
    uintptr_t home;
};
struct entry_result entry_main(unsigned function, long *args);
/* Likewise by that of a LOCK row, while there is something in owners.h. Where it goes on. */
uintptr_t entry_pass(unsigned function, const long *args);

/* Turns all slots. With threads the cancellation points stay in libc, which knows how to cancel. 0
 * or -errno (mprotect). */
enum entry_way { ENTRY_HOME, ENTRY_STUBS, ENTRY_STUBS_THREADED };
long entry_switch(enum entry_way way);

/* The same once more: there is something in owners.h now. As entry_switch(). */
long entry_refresh(void);

/* Do all of libc's lock functions come by here, if asked to? */
bool entry_has_locks(void);

/* Does a thread that is about to execute that instruction stand in one of them? It may have read
 * its id already, and write it into a lock later. What libc keeps static (glibc's
 * __pthread_mutex_lock_full, __futex_lock_pi64) lies near the function that it serves: what is near
 * counts. Does it in one of their stubs? */
bool entry_is_lock(uintptr_t address);
bool entry_is_lock_stub(uintptr_t address);

/* Code of theirs. */
#define ENTRY_LOCK_CODE __attribute__((section("entry_lock_code")))

#endif
