/*
 * reissue.h - a system call that the checkpoint signal interrupted goes on as if nothing had
 * happened.
 *
 * SA_RESTART does this for most calls; some (poll, select, nanosleep, epoll_wait, semtimedop, a
 * recv with SO_RCVTIMEO and others, see signal(7)) return EINTR all the same, and the program never
 * asked for a signal. Their argument registers are still intact in the signal frame; the number is
 * known from the call site.
 *
 * For calls that count time down the kernel has kept the rest (its restart block) until
 * rt_sigreturn forgets it: while the program goes on, restart_syscall(2) continues them exactly, so
 * the way out must not be rt_sigreturn (handler_resume). In the image such a call is issued anew,
 * with what remains of its time as far as that is known: sleeps exactly where the program gave a
 * `rem`; those and poll, futex and epoll_wait less the time that the tool saw the program blocked
 * (struct frame_request), never too little.
 *
 * Limits: an EINTR that a handler of the program itself has caused is not to be told from ours when
 * our signal comes in at that handler's very return (for calls with a restart block it is).
 * semtimedop, sigtimedwait and socket timeouts begin anew.
 */
#ifndef STUBS_REISSUE_H
#define STUBS_REISSUE_H

#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

enum reissue {
    REISSUE_NONE,     /* no call was interrupted */
    REISSUE_CALL,     /* the frame issues the call again */
    REISSUE_CONTINUE, /* so it does, but restart_syscall would be better: see reissue_continue() */
    REISSUE_LEAVING,  /* it is on its way to restart_syscall; the frame is as it was */
};

/* An interrupted call as the program issued it: one for each thread, the caller's. */
struct reissue_call {
    long number; /* -1: none */
    uint64_t elapsed;
    gregset_t registers;
};

/* Changes the frame's pc and result register when it stands behind a call that was interrupted, and
 * notes that call. */
enum reissue reissue(struct reissue_call *call, ucontext_t *frame);

/* So much time has passed, besides what was said before, since the call began: the frame issues it
 * with so much less. After reissue(); nothing where no call was interrupted. For a call with a
 * restart block at most one thread at a time can be told. */
void reissue_elapsed(struct reissue_call *call, ucontext_t *frame, uint64_t nanoseconds);
/* Changes the registers of call `number` so that it takes `elapsed` nanoseconds less;
 * arch/ARCH/handler_remaining.c. */
void reissue_shorten(greg_t *registers, long number, uint64_t elapsed);

/* After REISSUE_CONTINUE: makes it restart_syscall. Leave by hand (handler.h), as after
 * REISSUE_LEAVING. */
void reissue_continue(const struct reissue_call *call, ucontext_t *frame);

/* The number of the call whose `syscall` instruction ends at code + size, from the instructions
 * before it; -1: not to be seen. */
long reissue_number(const unsigned char *code, size_t size);

#endif
