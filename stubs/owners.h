/*
 * owners.h - locks of libc's that are held under an id from before a restart.
 *
 * libc notes who holds a lock by the thread's id. A restart that cannot give a thread its old id
 * (restart/resume_ids.h) has to change that note. But where the locks are, nobody knows: what
 * looks like one (owners_look.h) may be anything, since ids can be small numbers. So the restart
 * only writes down what looks like a held lock, and a word is changed when the program hands it to
 * one of libc's lock functions, the LOCK rows of calls.def: then it is a lock. Those functions come
 * by here only while anything is written down.
 *
 * Within such a function a checkpoint finds a thread only where it waits (ckpt_rendezvous.h). What
 * it waits for is a lock, and looked at by the restart.
 */
#ifndef STUBS_OWNERS_H
#define STUBS_OWNERS_H

#include <stdbool.h>
#include <stdint.h>

#define OWNERS_ROOM    4096 /* entries, a power of two */
#define OWNERS_WAITERS 64

struct owners_entry {
    uint64_t object; /* the lock's address; 0: an entry never used */
    uint32_t offset; /* in it, of the word that names the owner */
    int32_t then;    /* the id there; 0: settled; negative: somebody does so right now */
    int32_t now;     /* that thread's id since */
    int32_t padding;
};

/* A thread that waits for a mutex of glibc's, and will write `then` into it. */
struct owners_waiter {
    uint64_t object;
    uint32_t kind; /* the mutex's */
    int32_t then;  /* 0: a free place */
    int32_t now;
    uint32_t padding;
};

struct owners {
    uint32_t count; /* of both; first: the stubs look at it */
    uint32_t waiting;
    struct owners_entry at[OWNERS_ROOM];
    struct owners_waiter waiters[OWNERS_WAITERS];
};
extern struct owners owners;

/* Puts an id where the old one stands, its flags kept. Has it stood there? */
int owners_change(uint64_t address, int32_t then, int32_t now);

/* A restart, while nobody else is running, in this order. The ids have changed once more: `now_of`
 * gives the new one of an id, 0 when it is nobody's any more. */
void owners_renumber(int32_t (*now_of)(int32_t then));
/* Writes down that the word names the thread `then`, which is `now`; unless an earlier restart has,
 * as it is not changed yet. 0, or -ENOSPC. */
int owners_note(uint64_t object, uint32_t offset, int32_t then, int32_t now);
/* Forgets what is right as it stands. */
void owners_drop(void);

/* Writes down that `now` waits for that mutex and has read its id before, when it was `then`. What
 * stands in the mutex is put right when it is used, as long as no other thread has that id, and
 * until that thread comes by itself. Nothing where there is no room. */
void owners_await(uint64_t object, uint32_t kind, int32_t then, int32_t now);
/* Does it still wait so, since an earlier restart? */
bool owners_awaited(uint64_t object, int32_t now);

/* A restart: that is a lock, or the word of a lock that a thread waits at in the kernel. Changes
 * what is written down of it. */
void owners_settle(uint64_t address);

/* A thread hands this to a lock function. Changes what is written down of it. From any thread, at
 * any time. */
void owners_pass(uint64_t object);

/* We go: changes all that still looks like a lock. */
void owners_settle_rest(void);

#endif
