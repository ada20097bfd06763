/*
 * reissue.h - a system call that the checkpoint signal interrupted is issued again.
 *
 * SA_RESTART does this for most calls; some (poll, select, nanosleep, epoll_wait, semtimedop, a recv with SO_RCVTIMEO
 * and others, see signal(7)) return EINTR all the same, and the program never asked for a signal. Their argument
 * registers are still intact in the signal frame; the number is known from the call site.
 */
#ifndef STUBS_REISSUE_H
#define STUBS_REISSUE_H

#include <ucontext.h>

/* Changes the frame's pc and result register when it stands behind a call that was interrupted. 1 if so, else 0. */
int reissue(ucontext_t *frame);

#endif
