/*
 * kept.h - what the shadow keeps of an image whose program went on with its calls made at home: the
 * files that it had open, so that a restart finds them, unlinked or renamed, when the program ends
 * without a word - as when its host is lost.
 *
 * The flow is: the executor, asked for the table of an image (FRAME_LIST), sends handles to the
 * files with it, kept_send(); the door collects them, kept_receive(), and they take the place of
 * the older image's once the newer one is complete, kept_settle(). When the program has ended,
 * kept_outlive() decides whether they are of use, and kept_revive() makes descriptors of them for a
 * starter, at the image's offsets.
 *
 * Invariant: nobody can tell. A handle is O_PATH: it keeps no open file description, so what the
 * program closes is closed for everybody, its locks with it (DESIGN: closes are seen everywhere);
 * and its own end drops no record lock. So pipes, sockets and the like are not kept; nor is a
 * lease, which another open file would have to give way to.
 */
#ifndef SHADOW_KEPT_H
#define SHADOW_KEPT_H

#include "shadow/execute.h"

/* --- the executor: kept_send.c --- */
/* Sends the door the table of an image, FDS_GONE where nothing is kept, and a handle for each of
 * the others. */
void kept_send(struct executor *x, const void *table, size_t size);

/* --- the door: kept.c --- */
/* Is it a frame of kept_send()'s? Takes its descriptors. */
bool kept_receive(struct shadow *s, struct frame *f);
/* A checkpoint has come to its end. `stays`: the image is complete, and the program goes on with
 * calls made at home. */
void kept_settle(struct shadow *s, bool stays);
void kept_drop(struct shadow *s);
/* The program has ended without a word. True: its last image's files are held now (SHADOW_HELD);
 * only where a restart by name could not find them: the program was away, or a file has no name. */
bool kept_outlive(struct shadow *s);
/* Opens what is held by its handles, and puts it to the image's offsets; what cannot be had becomes
 * FDS_GONE. */
void kept_revive(struct hold *h);

#endif
