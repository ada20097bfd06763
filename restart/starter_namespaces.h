/*
 * starter_namespaces.h - namespaces that the starter makes for the program.
 *
 * The flow is: namespaces_new_user(), where the caller may not make others as it is; unshare(2) of
 * those that are wanted; namespaces_proc() in a process of the new pid namespace.
 *
 * Sources: user_namespaces(7), pid_namespaces(7), mount_namespaces(7). Errors are -errno, with a
 * sentence in image.error that says what to do. Hosted, one thread.
 */
#ifndef RESTART_STARTER_NAMESPACES_H
#define RESTART_STARTER_NAMESPACES_H

struct image;

/* A user namespace in which this process's user and group have their own numbers, and it all
 * capabilities; other users and groups have no number there. `with`: other CLONE_NEW flags. No
 * sentence. */
int namespaces_new_user(int with);

/* unshare(2), in a user namespace where the caller may not without. */
int namespaces_unshare(struct image *image, int flags);

/* The pid namespace's own /proc, in this mount namespace: no other sees it. */
int namespaces_proc(struct image *image);

#endif
