/*
 * interrupt.h - Ctrl-C and its like while somebody else's process is in our hands.
 *
 * From interrupt_guard() on no signal that a terminal, a shell or a closed pipe sends ends or stops
 * this process in mid-work. SIGINT, SIGTERM, SIGHUP and SIGQUIT are noted, and asked for where
 * going back is possible: between two steps, and between two looks for a safe point. SIGPIPE,
 * SIGXFSZ and the terminal's stops are ignored: the target stands still while we do. gdb is in a
 * session of its own and gets default dispositions. What was ignored before (nohup) stays so.
 */
#ifndef DRIVER_INTERRUPT_H
#define DRIVER_INTERRUPT_H

#include "driver/failure.h"

void interrupt_guard(void);

/* -EINTR, with the signal's name in `f`, when one has come since; 0 otherwise. */
int interrupt_check(struct failure *f);

/* What has come, or will, is not reported any more: undoing goes on to its end. */
void interrupt_forget(void);

#endif
