/*
 * paths.h - the paths by which a program names itself.
 *
 * Below /proc/self - and /proc/PID with the id that the program knows - descriptors, working and
 * root directory are the shadow's, which has them under the same names; the rest tells of memory
 * and threads, which are here. What tells of them is text: it is read here when it is opened, and
 * the program gets a copy at home (a memfd). /proc/self/exe is the program's file at home.
 *
 * Freestanding (raw.h).
 */
#ifndef STUBS_PATHS_H
#define STUBS_PATHS_H

#include <stddef.h>

#include "stubs/remote.h"

/* Rewrites a path, in a buffer of `size` bytes, to what names the same thing in the shadow. */
void paths_translate(char *path, size_t size);

/* 1 when the call is about such a text or link and was done, with its result in *result. */
int paths_here(struct remote_call *call, long number, const long *args, long *result);

#endif
