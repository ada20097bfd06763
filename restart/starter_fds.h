/*
 * starter_fds.h - the starter gives its process the descriptors of the image.
 *
 * The flow is: starter_fds_check() finds out where each descriptor comes from and refuses by name
 * what cannot be had, changing nothing; starter_fds_take() makes them, under their numbers, and
 * finds or starts the shadow. The restart library then sends starter_fds_session.done over
 * .connection and closes it, as the last thing before the program runs: until then the old shadow
 * keeps what it holds, so that a failed restart can be tried again.
 *
 * Where descriptors come from: the shadow that holds them for this very image; else by name: files
 * and directories by path, identity and state checked; terminals, and 0, 1, 2 that were terminal,
 * pipe or socket, from the restart command; eventfd, timerfd, epoll, signalfd, private pipes made
 * anew; --fd N=PATH for the rest. Away, where neither the shadow nor home's files are: 0, 1, 2
 * always from the restart command, the rest made anew or named.
 *
 * With remote I/O none comes here: starter_fds_remote.c.
 *
 * After starter_fds_take() every descriptor below `floor` is the program's; those in `keep` were
 * moved above it and all others are closed. Hosted, one thread.
 */
#ifndef RESTART_STARTER_FDS_H
#define RESTART_STARTER_FDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stubs/agent.h"
#include "stubs/frame.h"

struct image_process;
struct starter_fds_options {
    const char *const *named; /* each "N=PATH", from --fd */
    size_t named_count;
    int rollback;       /* --rollback-files: cut back what has only grown */
    int accept_changed; /* --accept-changed-files: take files as they are */
    int copy;           /* --copy: the program may live; this one gets descriptors of its own */
    int away;           /* --away: nothing of home is here */
    int remote;         /* --remote-io: descriptors stay with the shadow, which must be there */
    const char *policy; /* --io: lines of stubs/policy.h; NULL: as in the image */
    const char *socket; /* --shadow: where it listens; NULL: where the image says */
    const struct image_process *process; /* of the image, for the shadow */
    int no_shadow;                       /* start no shadow for the restarted program */
    const char *shadow;                  /* path of hijack-shadow; NULL: params->shadow */
    const int *parent;      /* --keep-ids: the socket to who starts it for us; NULL: we do */
    const bool *foreground; /* --keep-ids: were we, outside? NULL: the terminal knows */
    /* Of the image: where to look for the shadow. Comes back with pid and start time of this
     * process, and with a socket (and key, when another process has the session) that are the
     * restarted program's: the starter writes the whole back to hijack_params in the image's
     * memory. */
    struct hijack_params *params;
    int **keep; /* the starter's own descriptors; their numbers may change */
    size_t keep_count;
};

struct starter_fds_session {
    int connection; /* to the old shadow, above every number of the program; -1: nothing to say or
                       close */
    size_t done_size;
    unsigned char done[64]; /* when the program is about to run: write(connection, done, done_size),
                               read() the answer */
    int floor;              /* above all descriptors of the program */
    long shadow;            /* pid of a new shadow; 0: the old one goes on; -errno: none */
    int remote;             /* the program may run only when the shadow has answered well */
    int resized;            /* its terminal has another window size than at the image */
    char warning[1024];     /* for the user; empty when all is well */
};

struct starter_fds; /* opaque */

/* 0 or -errno; `error` then lists every descriptor that cannot be had, one line each. *out is freed
 * by take or free. */
int starter_fds_check(const struct starter_fds_options *o, const void *note, size_t size,
                      struct starter_fds **out, char *error, size_t error_size);
/* After an error the process is of no more use for a restart, but nothing outside it has changed.
 * Frees `fds`. */
int starter_fds_take(struct starter_fds *fds, struct starter_fds_session *session, char *error,
                     size_t error_size);
void starter_fds_free(struct starter_fds *fds);

/* With remote I/O: what the shadow finds at home under that path. 0 or -errno. */
int starter_fds_look(struct starter_fds *fds, const char *path, struct frame_looked *to);

/* Closes all descriptors but these, which come back sorted; -1 is none. */
void starter_close_but(int *kept, size_t count);

/* Both. */
int starter_fds_restore(const struct starter_fds_options *o, const void *note, size_t size,
                        struct starter_fds_session *session, char *error, size_t error_size);

#endif
