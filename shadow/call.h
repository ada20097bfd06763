/*
 * call.h - what of a call is not simply the kernel's: the process that executes it is another one
 * than the program (its id, its own descriptors, its place at the terminal).
 *
 * Called in a channel's thread between decode_lay() and decode_reply(); all change plan.args or the
 * bytes in the plan, none blocks.
 */
#ifndef SHADOW_CALL_H
#define SHADOW_CALL_H

#include "shadow/execute.h"

/* --- call_numbers.c --- */
/* Numbers of ours mean nothing: 0, or the kernel's error for a number that is not open. */
int call_hide(struct plan *p);
/* Undoes what call_hide() changed in what the program gets back. */
void call_unhide(struct plan *p);
/* The program asks for select() of more descriptors than FD_SETSIZE: 0 when the kernel would look
 * at no more of them, or how many it would. */
int64_t call_selected(const struct plan *p);
/* Takes ours out of a listing of /proc/self/fd. The bytes that are left. */
int64_t call_hide_listed(const struct plan *p, int64_t result);
/* Does the call name a number that the program chose? */
bool call_names_number(const struct plan *p);

/* --- call_identity.c --- */
/* The program's own process id is the executor's here, or, as the owner that gets a descriptor's
 * signals, the program's as we see it. 0, or the error that the program would get. */
int call_translate(struct plan *p);
int64_t call_translate_result(struct plan *p, int64_t result);
/* The set*id family acts on the whole process. False: it is none of it. */
bool call_set_identity(const struct plan *p, int64_t *result);

/* --- call_clocks.c --- */
/* The moment at which a timerfd is to expire, by our clock (WIRE_MONOTONIC). */
void call_clocks(struct plan *p);

/* --- call_limits.c --- */
/* RLIMIT_NOFILE is as the program set it, whatever we need besides. False: another call. */
bool call_limits(struct plan *p, int64_t *result);

/* --- call_terminal.c --- */
/* The signal that the kernel would send to a background process for this call, or 0. */
int call_stops_before(const struct plan *p);
int call_stops_after(const struct plan *p, int64_t result);
/* Nobody could continue the program's group when it stopped: the kernel says EIO instead. */
bool call_is_orphaned(void);

#endif
