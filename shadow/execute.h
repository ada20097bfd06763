/*
 * execute.h - the executor: the process in which the shadow executes the program's calls.
 *
 * The flow is: remote.c forks it off the shadow with the program's descriptors; place.c puts them
 * under the program's own numbers, so that dup2, select, poll, epoll, SCM_RIGHTS and /proc/self/fd
 * mean here what they mean to the program; execute.c serves the shadow ("the door") over a
 * SOCK_SEQPACKET pair; each channel (channel.c) has a thread that reads requests, has them decoded
 * (decode.c) and executes them (call.c).
 *
 * Descriptors: numbers from `floor` on are ours, all others are the program's. The soft limit of
 * open files lies at or below the floor, so the kernel itself refuses ours as targets; as sources
 * they are refused by call.c.
 *
 * Threads: the main one owns the door, the list of channels, the table of descriptors. A channel's
 * lock guards its streams and what is being executed. `numbers` is held while a descriptor of ours
 * stands below the floor for a moment, and by the calls that name numbers of their own choice.
 *
 * Paper: section 3.2 (remote system calls).
 */
#ifndef SHADOW_EXECUTE_H
#define SHADOW_EXECUTE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <time.h>

#include "shadow/decode.h"
#include "shadow/shadow.h"

/* What the door and the executor both see (a shared mapping). */
struct execute_shared {
    _Atomic uint64_t calls;
    _Atomic uint32_t channels;
    _Atomic uint32_t lost_locks; /* record locks that somebody else got */
    _Atomic uint32_t refused;    /* connections lost to frames that broke a rule */
    _Atomic int32_t last_error;  /* of them, -errno: frame_error() */
    _Atomic uint32_t traced;     /* tools want to be told of each call */
};

struct execute_start {
    int door;                /* our end */
    const struct hold *hold; /* the program's descriptors and their table */
    struct execute_shared *shared;
    uint64_t session;
    uint32_t epoch;
    pid_t known;                      /* the program's pid as it knows itself */
    pid_t application;                /* and as we see it */
    bool at_home;                     /* the program runs: its context can be asked for */
    const struct frame_remote *whose; /* of a starter; else NULL */
    const int *terminals; /* for those of the table that are not held; none: /dev/null */
    uint32_t terminal_count;
    struct rlimit files, size; /* the program's RLIMIT_NOFILE, RLIMIT_FSIZE */
};

struct channel {
    struct channel *next_channel;
    uint32_t number;
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    int stream;              /* in use by the thread; -1: none */
    _Atomic int replacement; /* put in its place; -1: none */
    bool end;
    uint64_t running;         /* sequence that is being executed; 0: none */
    uint64_t canceled;        /* newest sequence that was canceled */
    _Atomic int cancel;       /* end the running call */
    _Atomic uint64_t blocked; /* what the thread has blocked of executor.blocked */
    _Atomic uint64_t last;    /* sequence of the kept reply */
    pid_t tid;

    char *request; /* mapped: header and payload, CHANNEL_REQUEST bytes, then the arena */
    size_t have;   /* bytes in it */
    bool request_large, arena_large; /* memory to give back */
    int quick;                       /* requests that followed soon upon a reply */
    int patience;                    /* so many of them make the thread spin for the next one */
    struct plan plan;
    struct frame_header header; /* of the kept reply */
    struct wire_reply reply;
    struct iovec pieces[DECODE_PIECES];
    int piece_count;
};

struct executor {
    struct execute_start start;
    struct execute_shared *shared;
    int door;
    int floor;                  /* numbers from here on are ours */
    int listing;                /* /proc/self/fd; negative: there is none */
    struct rlimit files;        /* RLIMIT_NOFILE as the program knows it */
    struct rlimit open, closed; /* RLIMIT_NOFILE while we, and while the program, open files */
    pthread_rwlock_t numbers;
    _Atomic uint32_t epoch;
    _Atomic pid_t application;
    pid_t pid;
    _Atomic uint64_t blocked; /* signals that signalfds of the program are there for */
    _Atomic bool terminal;    /* has, or may have, a controlling terminal */
    _Atomic uint64_t main_blocked;
    pthread_mutex_t list; /* guards the next one against other threads than the main one */
    struct channel *channels;
};

extern struct executor executor;

/* Whoever waits for the program looks for so long before it sleeps: to be waked takes both ends
 * longer than many a program needs to go on. */
#define EXECUTOR_SPIN_NS 50000
static inline uint64_t executor_now(void) /* CLOCK_MONOTONIC, ns */
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* --- execute.c --- */
/* Becomes the executor; the caller is a fresh fork of the shadow. Never returns. */
_Noreturn void execute_main(const struct execute_start *start);

/* --- place.c --- */
/* Puts the held descriptors at the program's numbers, the door above them, closes all others. 0 or
 * -errno. */
int place_descriptors(struct executor *x, const struct hold *hold);
/* The program's RLIMIT_NOFILE, which we share and keep numbers of. The old one in *old. */
int place_limit(struct executor *x, const struct rlimit *new, struct rlimit *old);
/* Puts a copy of a descriptor of ours at one of the program's numbers, in place of what is there.
 * 0 or -errno. */
int place_foreign(struct executor *x, int fd, int number, int cloexec);
/* Moves a descriptor of ours above the floor. Its new number or -errno; closes `fd`. */
int place_own(struct executor *x, int fd);

/* --- channel.c --- */
/* A new stream for a channel, which is made where it does not exist. Takes `stream`. */
int channel_attach(struct executor *x, const struct wire_channel *wire, int stream);
/* Ends the channel's thread when its stream has ended. */
int channel_end(struct executor *x, uint32_t number);
/* Blocks these signals in all threads from now on: what is sent to the executor is pending for the
 * program's signalfds. */
void channel_block(struct executor *x, uint64_t signals);
void channel_cancel(struct executor *x, const struct wire_cancel *cancel);
/* The signal that ends a wait, and what of it is in channel.c: done once, before any channel. */
int channel_prepare(void);

/* --- ring.c --- */
/* Maps the program's ring in place of an earlier one and begins to take what comes. 0 or -errno. */
int ring_map(int fd, uint32_t size);
/* Takes what is in the ring, if there is one: before any call. */
void ring_drain(void);

/* The signal that ends a wait comes to the calling thread each millisecond, until channel_calm().
 * False: the kernel has no timer left. */
bool channel_rouse(int *timer);
void channel_calm(int timer);

/* --- call.c --- */
/* Executes the plan of the channel's request; the kernel's result, and flags for the reply. */
int64_t call_execute(struct channel *c, uint32_t *flags);

#endif
