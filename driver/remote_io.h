/*
 * remote_io.h - a hijacked process's I/O goes to its shadow, and comes home (paper, section 3).
 *
 * Both happen in the process, in the handler of its checkpoint signal (restart/ckpt_remote.h); here
 * they are asked for (ask.h). Either leaves everything as it was when it fails. Where the I/O is
 * can be seen from outside: nobody may be served (server.h) whose calls the kernel dispatches to
 * the net.
 */
#ifndef DRIVER_REMOTE_IO_H
#define DRIVER_REMOTE_IO_H

#include "driver/ask.h"
#include "driver/hijack.h"

/* Where the I/O of the process is: enum remote_mode (stubs/remote.h); -errno: not hijacked, or not
 * to be seen. The process need not be stopped. */
int remote_io_mode(pid_t pid);

/* -EXDEV, with what to do, for a process that is not on its home host: its I/O cannot come home,
 * and so it cannot be released. */
int remote_io_refuse_away(pid_t pid, struct failure *f);

/* Asks for it, and says in `detail` what was done. A request for what is so already is refused. */
enum ask_outcome remote_io_begin(pid_t pid, const char *policy, char *detail, size_t size,
                                 struct failure *f);
enum ask_outcome remote_io_end(pid_t pid, char *detail, size_t size, struct failure *f);

/* `hijack --remote-io` and `--local-io` of a process that is hijacked already: the step alone. */
enum hijack_outcome remote_io_run(const struct hijack_options *options, struct failure *f);

#endif
