/*
 * starter_family.h - restart --keep-ids: the program gets a pid namespace in which it and its
 * threads have the ids of the image.
 *
 *   caller ── parent ──┬── guard ── init (process 1)      outside │ inside
 *                      └── program                          parent │ init
 *                                                            guard │ program
 *
 * The flow is: family_make() in the starter makes the other three and returns in the one that is to
 * be the program, which goes on as any starter does (starter.c). The starter itself stays as the
 * parent (starter_parent.c): it is to its caller what the program would be. It passes signals on,
 * stops when the program stops, and ends as the program ends. The guard (starter_guard.c) stands
 * in the parent's process group, where it gets each signal that is sent to the whole group: those
 * the program has got itself. When the parent is killed, it kills init, and the kernel all in the
 * namespace. Init waits for orphans; after the program's end it stays as long as there are any. A
 * program that was process 1 itself is so again, and there is no init.
 *
 * Why the program is a child of the parent's and not of init's: its exit status, its stops and its
 * death are the kernel's word to the parent, and getppid() is 0, not the 1 by which programs tell
 * that their parent has died.
 *
 * Invariants: parent, guard and init block every signal, hold none of the caller's descriptors, and
 * do nothing but what is said here; a shadow that the program needs is the parent's to start
 * (starter_spawn.c), for it must outlive the namespace. Hosted, one thread each.
 */
#ifndef RESTART_STARTER_FAMILY_H
#define RESTART_STARTER_FAMILY_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

struct image;

/* As the parent sees it. */
struct family {
    pid_t guard, program;
    int init;     /* a pidfd of process 1 of the namespace */
    int watch;    /* the guard's socket; of each process's own end */
    int requests; /* between parent and program */
};

/* In the process that becomes the program: 0, or -errno with image.error. In the parent only when
 * it fails, with -errno and nothing left. */
int family_make(struct image *image);

/* --- starter_guard.c --- */

/* What the guard tells the parent at first. */
struct guard_word {
    pid_t program, first; /* the latter is process 1 of the namespace */
    int error;            /* -errno; the rest is unset then but for `text` */
    char text[1024];
};

/* Asks the guard: did this signal come to the whole group? -errno when there is no guard. */
int guard_saw(const struct family *f, int signal);
/* The program has ended by itself. Whoever is there tells init, which may be the program. */
void guard_dismiss(const struct family *f);
/* The guard's life; returns in the program, as family_make() does. */
int guard_run(struct image *image, struct family *f, const sigset_t *mask);

/* --- starter_parent.c --- */
_Noreturn void parent_run(struct family *f);

#endif
