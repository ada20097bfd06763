/* starter_fds_plan.h - what the files of starter_fds.h share: where each descriptor of the image
 * comes from. */
#ifndef RESTART_STARTER_FDS_PLAN_H
#define RESTART_STARTER_FDS_PLAN_H

#include <stdbool.h>

#include "stubs/fds.h"
#include "restart/starter_fds.h"
#include "shadow/control.h"

enum source {
    FROM_NOWHERE,
    FROM_LEADER,   /* the same open file description as entry.shares */
    FROM_SHADOW,   /* starter_fds.kept: fetched already by the check */
    FROM_FILE,     /* opened by its path, checked */
    FROM_GIVEN,    /* --fd */
    FROM_COMMAND,  /* descriptor `command` of the restart command */
    FROM_TERMINAL, /* /dev/tty */
    FROM_MAKER,    /* made anew */
};

struct plan {
    enum source source;
    int command;
    int made;         /* the descriptor, above the floor; -1: not yet */
    const char *path; /* FROM_GIVEN */
    bool cut;         /* grown: cut back to entry.size */
};

struct starter_fds {
    struct starter_fds_options o;
    struct fds_header *h; /* our copy of the note, `size` bytes */
    size_t size;
    struct plan *plans;    /* one for each entry */
    struct control shadow; /* open (fd >= 0) when it holds this image's descriptors */
    bool with_shadow;
    bool kept;  /* of a program that went on after the image: it has only files, as they are now */
    bool lives; /* a copy of the program runs, or is about to */
    bool resized;          /* a terminal has another window size than at the image */
    bool key_in_use;       /* another process has the session: the restarted one needs its own */
    const char *no_shadow; /* why the shadow does not help, for messages */
    char reason[256];      /* room for it */
    int floor;
    bool failed;
    char *error;
    size_t error_size;
};

static inline const struct fds_entry *entry_at(const struct starter_fds *f, uint32_t i)
{
    return fds_entries(f->h) + i;
}

static inline const char *entry_path(const struct starter_fds *f, const struct fds_entry *e)
{
    return fds_string(f->h, e->path);
}

/* Says what is wrong with all of it. Returns `code`. */
int starter_fds_fail(struct starter_fds *f, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Adds a line to the error text: "descriptor N (PATH): " and the message. Returns -EINVAL. */
int starter_fds_refuse(struct starter_fds *f, const struct fds_entry *e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Moves a descriptor above the floor, close-on-exec; closes the old one. The new number, or -errno.
 */
int starter_fds_lift(const struct starter_fds *f, int fd);
/* The index of the entry with that number, or -1. */
long starter_fds_index(const struct starter_fds *f, int number);

/* --- starter_fds_check.c --- */
void starter_fds_plan(struct starter_fds *f);
/* Compares the files that the shadow has kept with the image. */
void starter_fds_check_kept(struct starter_fds *f);

/* --- starter_fds_shadow.c --- */
/* Looks for the shadow; when it holds this image's descriptors: f->with_shadow, else why not. 0 or
 * -errno. */
int starter_fds_find_shadow(struct starter_fds *f);
/* Takes the descriptors that plans want from it. 0 or -errno. */
int starter_fds_fetch(struct starter_fds *f);

/* --- starter_fds_make.c --- */
/* Can entry `i` be made anew from what the image tells? */
bool starter_fds_can_make(const struct starter_fds *f, uint32_t i);
/* Makes eventfds, timerfds, signalfds, pipes, widowed sockets, empty epoll sets. 0 or -errno. */
int starter_fds_make(struct starter_fds *f, uint32_t i);
/* Fills the epoll sets, those from the shadow with what they lost, once everything stands under its
 * number. */
int starter_fds_fill_epoll(struct starter_fds *f);

/* --- starter_fds_lock.c --- */
/* Is there a lock that somebody else holds now? Refuses those by name. */
void starter_fds_check_locks(struct starter_fds *f);
/* Takes the locks: with a shadow only those of the process, else all. */
int starter_fds_take_locks(struct starter_fds *f);

/* --- starter_fds_remote.c: --remote-io --- */
/* enum remote_mode (stubs/remote.h), once the shadow is found. */
int starter_fds_mode(const struct starter_fds *f);
/* The shadow makes the program's calls from now on, with what the plans say. 0 or -errno. */
int starter_fds_remain(struct starter_fds *f);

/* Tells the program what --io said, and which descriptors are buffered by it. */
void starter_fds_policy(struct starter_fds *f);

/* --- starter_spawn.c: as hijack_start_shadow(), for this process. Its pid or -errno. --- */
/* `parent`: the other end of a socket that is served outside our pid namespace; NULL: there is
 * none. The pid is then the one that the shadow has there. */
long starter_spawn_shadow(const struct hijack_params *params, const char *shadow,
                          const int *parent);
/* Serves one request of that kind: 0, or -errno when there will be no more. */
int starter_spawn_serve(int requests);

#endif
