/* mi_process.h - a gdb as a child process: its descriptors, its end. Internal to gdbmi/. */
#ifndef GDBMI_MI_PROCESS_H
#define GDBMI_MI_PROCESS_H

#include <stddef.h>
#include <sys/types.h>

struct mi_process {
    pid_t pid;  /* 0: none */
    int handle; /* pidfd: readable when the process has ended */
    int in;     /* its stdin: a socket, because send() can do without SIGPIPE; non-blocking */
    int out;    /* its stdout and stderr: pipes */
    int err;
};

/* Starts `gdb` (searched in PATH) with -nx -q --interpreter=mi3 and `more`. Nothing of this process
 * but its working directory goes with it: standard descriptors only, a session of its own, default
 * signals, a small environment. 0 or -errno; then *p holds nothing. */
int mi_process_start(struct mi_process *p, const char *gdb, const char *const *more);

/* Reaps the process, which has ended, and puts "exited with status 1" or the like into `how`. */
void mi_process_reap(struct mi_process *p, char *how, size_t size);

/* Closes the descriptors. The process must have been reaped, or never started. */
void mi_process_close(struct mi_process *p);

#endif
