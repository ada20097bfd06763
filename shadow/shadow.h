/*
 * shadow.h - the shadow process: it stays behind in the program's home context while the program
 * runs, leaves, and comes back.
 *
 * The flow is: the spawner (stubs/spawn.c or restart/starter_spawn.c) execs it with its end of a
 * socket pair as descriptor 0; shadow.c learns from FRAME_START who the application is, listens on
 * a socket in the 0700 runtime directory and polls; peer.c lets peers in, serve.c answers their
 * frames by one table; session.c follows the application's life; hold.c keeps descriptors.
 *
 *   SHADOW_HOME --COMMIT--> SHADOW_LEAVING --its end--> SHADOW_HELD --ADOPT--> SHADOW_RETURNING
 * --DONE--> SHADOW_HOME
 *                                                            ^------ starter gone without DONE
 * -----'
 *
 * Invariants: at home no descriptor of the program is held. Descriptors on offer are kept only
 * after COMMIT, and dropped only by DONE, FRAME_END or SIGTERM. Every peer has our user's id or is
 * root; the application and a starter know the key. A peer that breaks the protocol loses its
 * connection, nothing else. One thread; never blocks in anything but poll.  Paper: section 3.1.
 */
#ifndef SHADOW_SHADOW_H
#define SHADOW_SHADOW_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "stubs/frame.h"

#define SHADOW_PEERS 32
#define SHADOW_KEPT  4 /* of them, for the application while there is one */

enum shadow_state { SHADOW_HOME, SHADOW_LEAVING, SHADOW_HELD, SHADOW_RETURNING };
enum request_state { REQUEST_NONE, REQUEST_PENDING, REQUEST_TAKEN, REQUEST_CANCELED };

/* The descriptors of one image, in the order of the travelling entries of its table
 * (stubs/fds.h). */
struct hold {
    uint64_t image; /* 0: empty */
    uint32_t count, received;
    int *fds;
    char *table;
    uint32_t table_size, table_received;
    uint32_t lost_locks;
    bool kept;    /* files of an image whose program went on (kept.h) */
    bool handles; /* and so far only handles to them */
};

/* The executor (execute.h) as the shadow knows it. */
struct remote {
    int fd;    /* our end of the pair; -1: there is none */
    int pidfd; /* of the executor */
    bool ends; /* it gets no more frames, and only those that tell of calls are passed on */
    bool ready;
    struct execute_shared *shared;
    struct peer *asker; /* of FRAME_REMOTE or FRAME_QUIT, which are answered later */
    uint64_t asker_sequence;
    unsigned asker_type;
    struct frame_offer listed; /* the newest table that it made */
    struct frame_offer left;   /* of the image that the program left with */
    struct peer *recaller;     /* the program, which takes its descriptors home */
};

struct peer {
    int fd;        /* -1: free slot */
    pid_t pid;     /* as the kernel gave it (SO_PEERCRED) */
    uint32_t role; /* enum frame_role; 0 before FRAME_HELLO */
    uint64_t sequence;
    uint64_t serial; /* of the connection: slots are used again */
    unsigned asked;  /* type of its last frame that the executor has to answer; 0: none */
    bool traces;     /* wants FRAME_TRACED */
    uint32_t lost;   /* of which it has missed so many */
};

struct shadow {
    int listener;
    char socket[108];
    dev_t socket_dev;
    ino_t socket_inode;
    struct frame_start start; /* the application's identity */
    uint64_t session;
    uint32_t epoch;
    int application; /* pidfd; -1 when it has ended */
    pid_t own;       /* its pid as it sees itself; start.pid is as we see it */
    bool away;       /* frame_remote.away */
    char name[16];   /* of the application */
    enum shadow_state state;
    bool end;

    struct frame_request request;
    enum request_state request_state;
    struct peer *requester;     /* the tool that waits; NULL: none, or gone */
    struct peer *taker;         /* the program's connection over which it took the request */
    struct frame_report report; /* withheld until the program that leaves has ended */
    bool reported;

    struct hold offered, held;
    struct hold listed,
        kept; /* handles for the image that is being made, for the last one (kept.h) */
    struct remote remote;
    struct rlimit files, size; /* the program's RLIMIT_NOFILE, RLIMIT_FSIZE */
    bool goes_on;              /* the restart under way keeps the executor that the program left */
    uint32_t refused;          /* connections that broke a rule */
    int32_t last_error;        /* of them */
    struct peer *giver;        /* who offers */
    struct peer *adopter;      /* the starter in SHADOW_RETURNING */
    struct frame_image images[FRAME_IMAGES];
    uint32_t image_count;
    struct peer peers[SHADOW_PEERS];
    uint64_t serial;
};

/* A frame as it came, its payload checked against its type's bounds. */
struct frame {
    struct frame_header header;
    char payload[FRAME_MAX_PAYLOAD];
    int fds[FRAME_BATCH];
    uint32_t fd_count;
};

/* --- peer.c --- */
void peer_accept(struct shadow *s);
void peer_drop(struct shadow *s, struct peer *p);
/* As peer_drop(), and counts what was not just the end of the connection. */
void peer_refuse(struct shadow *s, struct peer *p, int error);
/* A frame that answers none. 0, or -errno: the peer does not read, or is gone. */
int peer_tell(struct shadow *s, struct peer *p, unsigned type, const void *payload, size_t size);
/* Answers a frame that came earlier: SERVE_LATER was what its answer_*() returned. */
void peer_reply(struct shadow *s, struct peer *p, unsigned type, uint64_t sequence, int status,
                const void *payload, size_t size, const int *fds, uint32_t fd_count);

/* --- serve.c --- */
/* Receives and answers one frame; a broken one, or the end, costs the connection. */
void serve_peer(struct shadow *s, struct peer *p);
#define SERVE_LATER INT_MIN

/* --- remote.c --- */
void remote_clear(struct remote *r);
bool remote_alive(const struct shadow *s);
/* Forks the executor with these descriptors, which stay ours as well, and those that came with the
 * frame for the terminals that are not among them. It answers the peer. */
int remote_start(struct shadow *s, struct peer *p, const struct frame *f, struct hold *with);
/* Passes a frame on; the executor's answer is passed back to the peer. */
int remote_forward(struct shadow *s, struct peer *p, const struct frame *f);
/* A message of the executor's, or its end. What it leaves unanswered is answered with -EIO. */
void remote_serve(struct shadow *s);
void remote_ended(struct shadow *s);
/* Ends it. */
void remote_end(struct shadow *s);
/* Waits until one that was killed is gone. */
void remote_await(struct shadow *s);
/* Ends it, and answers the frame when all its descriptors are closed. */
int remote_end_for(struct shadow *s, struct peer *p, const struct frame *f);
/* Tells it who the application is now, and the epoch. */
int remote_adopted(struct shadow *s);
void remote_status(const struct shadow *s, struct frame_status *status);
/* Tells the executor whether a tool listens (peer.traces). */
void remote_trace(struct shadow *s);
/* Record locks: lets go of them, or takes them again. */
void remote_lock(struct shadow *s, bool take);

/* --- session.c --- */
/* Opens a pidfd of `pid` and checks the start time when that is not 0 (it returns it there). The
 * pidfd or -errno. */
int session_identify(pid_t pid, uint64_t *start_time, char name[16]);
/* Its pid as it sees itself, of a process that we see as `pid`. */
pid_t session_innermost(pid_t pid);
/* Brings s->name up to date while the application lives. */
void session_name(struct shadow *s);
void session_application_ended(struct shadow *s);
void session_report(struct shadow *s, const struct frame_report *report);
/* What the end of a connection means to the session. */
void session_peer_gone(struct shadow *s, struct peer *p);
int session_adopt(struct shadow *s, struct peer *p);
int session_remote(struct shadow *s, struct peer *p, const struct frame *f);
/* Reads the limits of the program while it lives. */
void session_limits(struct shadow *s);
int session_done(struct shadow *s, struct peer *p, const struct frame *f);

/* --- hold.c --- */
int hold_offer(struct hold *h, const struct frame_offer *offer);
int hold_table(struct hold *h, const char *piece, uint32_t size);
int hold_receive(struct hold *h, const struct frame_batch *batch, const int *fds);
bool hold_complete(const struct hold *h);
/* Takes the POSIX record locks of the table / lets go of them. Taking counts in h->lost_locks. */
void hold_lock(struct hold *h);
void hold_unlock(struct hold *h);
void hold_drop(struct hold *h);
/* Our copy of the program's descriptor `number`; -1 when it did not travel. */
int hold_find(const struct hold *h, int number);

#endif
