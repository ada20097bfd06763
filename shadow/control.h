/*
 * control.h - the tools' side of the conversation with a shadow (stubs/frame.h), for gdb-hijack and
 * hijack-starter.
 *
 * The flow is: control_runtime_directory() and control_socket_path() where a session begins;
 * control_find(), or control_each(), or control_open() where one exists; control_ask() and
 * control_next(); control_close().
 *
 * Invariants: sockets are looked for only in directories that nobody but their user can write
 * (lstat: no symbolic link, right owner, 0700), and spoken to only when the process behind is that
 * user's. Sockets of ours that nobody listens on any more are removed on the way. Hosted; errors
 * are -errno, and text where the user needs more. One thread.
 */
#ifndef SHADOW_CONTROL_H
#define SHADOW_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "stubs/frame.h"

#define CONTROL_SOCKET  108 /* sizeof sun_path */
#define CONTROL_TIMEOUT 10  /* seconds for an answer */

struct control {
    int fd;
    pid_t shadow; /* as we see it; 0 from outside its pid namespace's view */
    uint64_t session, sequence;
    char socket[CONTROL_SOCKET];
};

struct control_status {
    struct frame_status status;
    struct frame_image images[FRAME_IMAGES];
};

/* A received frame with its payload (header.length bytes). */
struct control_frame {
    struct frame_header header;
    char payload[FRAME_MAX_PAYLOAD];
};

/* The 0700 directory for the sockets of user `uid`: $XDG_RUNTIME_DIR/gdb-hijack for ourselves,
 * /run/user/UID/gdb-hijack, else /tmp/gdb-hijack-UID. Makes it; root makes it for another user. 0,
 * or -errno with a sentence in `error`. */
int control_runtime_directory(uid_t uid, gid_t gid, char *out, size_t size, char *error,
                              size_t error_size);

/* The socket of the session with that key: its name does not change with the process id. As above.
 */
int control_socket_path(uid_t uid, gid_t gid, const uint8_t key[FRAME_KEY],
                        char out[CONTROL_SOCKET], char *error, size_t error_size);

/* 16 bytes of getrandom(2). */
int control_new_key(uint8_t key[FRAME_KEY]);

/* Connects. `key` NULL: as a tool; else as a starter. 0; -ECONNREFUSED or -ENOENT: nobody is there;
 * -EACCES. */
int control_open(struct control *c, const char *socket, const uint8_t *key);
void control_close(struct control *c);

/* Sends a frame and waits for its answer, which goes to *reply (may be NULL). The answer's status,
 * or -errno. */
int control_ask(struct control *c, unsigned type, const void *payload, size_t size,
                struct control_frame *reply);
/* The next unasked frame. Its type, -EAGAIN after `milliseconds` (-1: never), or -errno. */
int control_next(struct control *c, struct control_frame *frame, int milliseconds);
/* As control_ask(), for a starter: `fds` takes the descriptors that come with the answer, *count of
 * them. */
int control_ask_descriptors(struct control *c, const struct frame_batch *batch, int *fds,
                            uint32_t *count);

/* As control_ask(), with descriptors for the shadow. */
int control_give(struct control *c, unsigned type, const void *payload, size_t size, const int *fds,
                 uint32_t count);

int control_status(struct control *c, struct control_status *out);

/* Calls `each` with an open connection for every living shadow of user `uid` ((uid_t) -1: of all
 * users, for root), until it returns non-zero; returns that. The connection is closed afterwards
 * unless `each` set c->fd to -1. */
int control_each(uid_t uid,
                 int (*each)(void *context, struct control *c, const struct control_status *status),
                 void *context);

/* The shadow whose application is process `pid`, as we see it (pid and start time agree). 0;
 * -ENOENT: it has none; -ESRCH: there is no such process. */
int control_find(pid_t pid, struct control *c, struct control_status *status);

/* The same by the name of its socket, which another word than its place tells to be the process's;
 * wherever that is, the same is asked of it. -EACCES: the directory is not its user's alone. */
int control_find_at(pid_t pid, const char *path, struct control *c, struct control_status *status);

/* Is this the status of process `pid`, seen from our pid namespace? */
bool control_is_of(const struct frame_status *status, pid_t pid);

/* Tells the shadow to end, dropping whatever it holds. */
int control_end(struct control *c);

/* --- what /proc says, for the tools (control_proc.c) --- */

struct control_process {
    uid_t uid; /* effective */
    gid_t gid;
    uint64_t start_time; /* control_start_time() */
    pid_t innermost;     /* its pid as it sees itself */
    char state;          /* R, S, D, T, t, Z, X */
    int threads;
    uint64_t caught; /* SigCgt: bit s-1 for signal s */
    char name[16];
};

/* 0, or -ESRCH. */
int control_process(pid_t pid, struct control_process *out);

/* /proc/PID/stat's field 22, in clock ticks since the boot, as everybody on this machine agrees on
 * it: the kernel shows it by the clock of who reads, and a program restarted with shifted clocks,
 * its tools and its shadow need not have the same (time_namespaces(7)). */
uint64_t control_start_time(uint64_t shown);

/* The program, when `pid` is the process that `restart --keep-ids` left as its parent, by which its
 * caller knows it; else `pid`. */
pid_t control_program(pid_t pid);

/* Whether the in-target library is mapped in it: it was hijacked, whether its shadow lives or not.
 */
bool control_has_agent(pid_t pid);

/* Another process than `except` that maps the file (numbers as in /proc/PID/maps), as far as we may
 * look; 0: none. control_users.c. */
pid_t control_mapper(pid_t except, dev_t device, ino_t inode);
/* A descriptor that process `pid` has of that inode; -1: none. */
int control_opener(pid_t pid, ino_t inode);

/* Writes `text` as a JSON string, quotes included, bytes that are no UTF-8 as U+FFFD. Returns
 * `out`. */
char *control_json(char *out, size_t size, const char *text);

#endif
