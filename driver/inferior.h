/*
 * inferior.h - the target, held still by gdb (GDB/MI through gdbmi/).
 *
 * The flow is: inferior_start(), inferior_await(), inferior_attach(), read and write,
 * inferior_continue(), inferior_detach(), close. The same gdb can detach and attach again. What is
 * done here is safe at every moment against gdb's death: no breakpoint is ever inserted, the only
 * registers ever written are the program counter here, and the result of an interrupted call
 * (threads.h), each in one ptrace call that is right before and after; every write to memory of up
 * to a page is one write(2) to /proc/PID/mem. When gdb is gone (-EPIPE) the target runs by itself.
 *
 * How gdb is kept quick and harmless: it is given an empty executable (gdb-blank) and a sysroot
 * that does not exist, so that it reads no symbol file and, more important, finds no dynamic linker
 * to set its internal breakpoint in.
 */
#ifndef DRIVER_INFERIOR_H
#define DRIVER_INFERIOR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "driver/failure.h"
#include "driver/taddr.h"
#include "driver/pieces.h"
#include "gdbmi/mi_session.h"

struct inferior;

/* Starts a gdb, which takes its time; *out is NULL after a failure. Then waits for it, and gives it
 * the settings above. `blank`: path of the empty executable. */
int inferior_start(struct inferior **out, mi_trace *trace, struct failure *f);
int inferior_await(struct inferior *inferior, const char *blank, struct failure *f);
/* Ends gdb; a target still held is let go. NULL is accepted. */
void inferior_close(struct inferior *inferior);

/* Stops the target, all its threads, and reads the registers of one. -EPERM, -ESRCH, ...: gdb's own
 * words in `f`. -ETIMEDOUT: a thread did not stop; this gdb is good for nothing but to be closed.
 */
int inferior_attach(struct inferior *inferior, pid_t pid, int deadline_ms, struct failure *f);
/* Lets the target run, without gdb. */
int inferior_detach(struct inferior *inferior, struct failure *f);
bool inferior_attached(const struct inferior *inferior); /* NULL is accepted */

/* From now on registers are those of this thread (gdb's number), and inferior_continue() runs it
 * alone; the others stand still. The attach has selected one. */
int inferior_select(struct inferior *inferior, unsigned thread, struct failure *f);
/* Whether inferior_continue() lets the others run too, until the next stop. While they do it does
 * not stop at INFERIOR_EXITS, which are calls of theirs as well: each stop ends calls that somebody
 * must mend (threads.h). */
int inferior_run_all(struct inferior *inferior, bool all, struct failure *f);

/* The signal that the thread whose stop the attach reported was about to get, or "". It gets it
 * when it runs again; a handler may then leave by longjmp from wherever the target is. */
const char *inferior_pending_signal(const struct inferior *inferior);

/* "13.1" */
const char *inferior_gdb_version(const struct inferior *inferior);
/* GDB's data directory, where its tables of system calls are; valid until the next call. NULL: it
 * would not say. */
const char *inferior_data_directory(struct inferior *inferior);
/* GDB's target description of the live target (XML), valid until close. Asked for at the first
 * call. */
const char *inferior_description(struct inferior *inferior, struct failure *f);

/* A register of the stopped thread by GDB's name, as of the last stop. -ENOENT: no such register.
 */
int inferior_register(struct inferior *inferior, const char *name, uint64_t *value,
                      struct failure *f);
/* Changes the program counter of the selected thread. */
int inferior_set_pc(struct inferior *inferior, taddr pc, struct failure *f);

int inferior_read(struct inferior *inferior, taddr address, void *to, size_t size,
                  struct failure *f);
/* Also to memory that the target cannot write (a private copy of the page is made). */
int inferior_write(struct inferior *inferior, taddr address, const void *from, size_t size,
                   struct failure *f);
/* The same of many pieces, by one command. What gdb could not write it does not tell: read it back.
 */
int inferior_write_pieces(struct inferior *inferior, const struct piece *pieces, size_t count,
                          struct failure *f);
/* A NUL-terminated string; cut off at size-1 bytes. */
int inferior_read_string(struct inferior *inferior, taddr address, char *to, size_t size,
                         struct failure *f);

/* From now on inferior_continue() stops at the entry of these system calls, too; each kind is set
 * once. `numbers`: "26729 15". */
enum inferior_watched { INFERIOR_ENTRY = 1, INFERIOR_EXITS = 2 };
int inferior_catch_syscalls(struct inferior *inferior, enum inferior_watched kind,
                            const char *numbers, struct failure *f);
/* Runs the target until it enters one of them; *number says which. -ETIMEDOUT: it runs still.
 * -ESRCH: it ended. */
int inferior_continue(struct inferior *inferior, long *number, int timeout_ms, struct failure *f);

/* What gdb's command line prints for a command that only looks; valid until the next call. NULL: it
 * failed. */
const char *inferior_console(struct inferior *inferior, const char *command, struct failure *f);

#endif
