/*
 * proc.h - what the kernel says about a process in /proc: never stops, touches or attaches to it.
 *
 * Two readers: proc_read() for the process itself, maps_read() for its address space. Both are
 * snapshots; a process that runs may differ the moment after. The identity of a process is its pid
 * together with its start time. Sources: proc(5), pid_namespaces(7), capget in user_namespaces(7).
 */
#ifndef DRIVER_PROC_H
#define DRIVER_PROC_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "driver/failure.h"
#include "driver/taddr.h"

enum proc_seccomp { PROC_SECCOMP_NONE = 0, PROC_SECCOMP_STRICT = 1, PROC_SECCOMP_FILTER = 2 };

struct proc_info {
    pid_t pid;
    char name[64]; /* comm, without the parentheses of /proc/PID/stat */
    char state;    /* R S D T t Z X I */
    pid_t ppid;
    pid_t process_group, session;
    uid_t real_uid, effective_uid, saved_uid;
    gid_t real_gid, effective_gid, saved_gid;
    uint64_t start_time; /* control_start_time(): clock ticks since boot */
    int threads;
    bool kernel_thread;
    bool exiting; /* it, or its first thread, is on its way out */
    pid_t tracer; /* 0: none */
    char tracer_name[64];
    uint64_t signals_caught, signals_ignored, signals_blocked,
        signals_pending; /* bit N-1: signal N */
    bool no_new_privileges;
    enum proc_seccomp seccomp;
    int seccomp_filters;
    bool shadow_stack;   /* x86_Thread_features names shstk */
    pid_t innermost_pid; /* as the process sees itself: last of NSpid */
    bool foreign_pid_namespace,
        foreign_mount_namespace; /* other than ours; false when not visible */
    bool dumpable;      /* /proc/PID belongs to the process's effective ids: as far as that shows */
    bool exe_known;     /* we may read /proc/PID/exe (as ptrace's permission to look) */
    char exe[PATH_MAX]; /* "" for a kernel thread; " (deleted)" at the end when so */
};

/* Reads everything above. -ESRCH: no such process. */
int proc_read(pid_t pid, struct proc_info *out, struct failure *f);

/* The start time alone, for the check that a pid still is the process that it was. */
int proc_start_time(pid_t pid, uint64_t *out, struct failure *f);

/* Whether the process that began at `start_time` (0: whenever) has ended, its parent told or not.
 */
bool proc_ended(pid_t pid, uint64_t start_time);

/* The process ids of the live children (zombies included) into `out`, at most `size`; returns how
 * many there are. */
int proc_children(pid_t pid, pid_t *out, int size, struct failure *f);

/* One thread of a process: /proc/PID/task/TID. */
struct proc_thread {
    pid_t tid;
    char name[64];
    char state;                                /* as of a process */
    uint64_t signals_blocked, signals_pending; /* the latter for this thread alone */
    bool ending; /* on its way out, or killed: as each is when one calls exit_group() */
};

/* 1: read; 0: it has ended. */
int proc_thread(pid_t pid, pid_t tid, struct proc_thread *out);

/* Calls `each` with every thread, the leader first, until it returns non-zero; returns that, or
 * -errno. Threads that end meanwhile are left out. */
int proc_threads(pid_t pid, int (*each)(void *context, const struct proc_thread *thread),
                 void *context);

/* The system call that a thread is blocked in: /proc/PID/task/TID/syscall. */
struct proc_syscall {
    bool running; /* on a CPU, or about to be: nothing below is set */
    long number;  /* -1: blocked (e.g. stopped by a tracer) outside of a system call */
    uint64_t arguments[6];
    taddr sp, pc;
};
int proc_syscall(pid_t pid, pid_t tid, struct proc_syscall *out, struct failure *f);

/* One line of /proc/PID/maps. */
struct mapping {
    taddr start, end;
    bool read, write, execute, shared;
    uint64_t offset;
    unsigned major, minor;
    uint64_t inode;
    bool deleted;     /* the path ended in " (deleted)", which is cut off */
    const char *path; /* "" for anonymous memory; owned by the maps */
};

struct maps {
    size_t count;
    struct mapping *at; /* by ascending address */
    char *text;         /* what the paths point into */
};

int maps_read(pid_t pid, struct maps *out,
              struct failure *f); /* the caller frees with maps_free() */
void maps_free(struct maps *maps);

/* The mapping that holds `address`, or NULL. */
const struct mapping *maps_find(const struct maps *maps, taddr address);

/* A free range of `size` bytes (a multiple of the page size) that lies within `reach` of `near`,
 * first byte to last: nearest first. False when there is none. Keeps a guard gap below regions that
 * grow down, stays above vm.mmap_min_addr and below the end of the user's address space. */
bool maps_gap(const struct maps *maps, taddr near, uint64_t size, uint64_t reach, taddr *out);

/* Copies bytes of the target's memory (process_vm_readv: permission as for ptrace). 0 or -errno. */
int proc_read_memory(pid_t pid, taddr address, void *to, size_t size);

/* Descriptors: calls `each` with every number and what /proc/PID/fd/N points to, until it returns
 * non-zero; returns that, or -errno. */
int proc_descriptors(pid_t pid, int (*each)(void *context, int fd, const char *target),
                     void *context);

/* A whole file of /proc as a NUL-terminated string; *size without that NUL. The caller frees. NULL:
 * errno is set. */
char *proc_slurp(const char *path, size_t *size);

#endif
