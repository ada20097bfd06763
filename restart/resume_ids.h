/*
 * resume_ids.h - the program's threads have other ids than before, and libc must know.
 *
 * Where it is certain, an id is changed: each thread changes its own where libc keeps it
 * (resume_set_id()). When all have theirs, resume_owners() changes those in the robust mutexes that
 * threads hold, by their lists of them. What only looks like a lock that is held is written down
 * for when it is used (stubs/owners.h); so is a wait for a mutex in which libc has read the id
 * before, where it cannot be told what of the stack it is.
 */
#ifndef RESTART_RESUME_IDS_H
#define RESTART_RESUME_IDS_H

#include <stddef.h>

#include "restart/ckpt_rendezvous.h"
#include "restart/image.h"
#include "restart/resume.h"

/* The program's threads, resume_process.thread_count of them. */
static inline struct image_thread *resume_thread_at(unsigned i)
{
    return resume_state(rendezvous_thread(i));
}

/* In the thread itself: notes its id (`now`), and tells libc. */
void resume_set_id(struct image_thread *t);

/* The id that the thread with id `then` has now; 0: there is none. After that. */
int32_t resume_thread_now(int32_t then);

/* What was found to look like locks that are held under an old id, and what threads wait for. When
 * all have their ids, and none has gone on. */
void resume_owners(const struct resume_owner *found, uint64_t count);

/* Reads memory that may not be there; 0 then. */
int resume_peek(uint64_t address, void *to, size_t size);

#endif
