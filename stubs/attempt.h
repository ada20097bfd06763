/*
 * attempt.h - the arguments of a forwarded call, which may be made more than once: it was ended by
 * a signal that does not end it for the program, or the shadow asks for more.
 *
 * The flow is: attempt_begin() when the call begins, attempt_narrow() before it is sent first,
 * attempt_again() before each further time; attempt_without_us() when the program itself goes on
 * with it. Freestanding.
 */
#ifndef STUBS_ATTEMPT_H
#define STUBS_ATTEMPT_H

#include "stubs/remote.h"

/* For how long a call may wait is told in one of three ways: milliseconds; a struct that the kernel
 * itself writes back what is left to (RELTIME); one that it only reads, of which a copy is given
 * less when the call is made again. */
struct attempt {
    long args[CALL_ARGS]; /* of the next one */
    int index;            /* of the argument that limits the wait; -1: none */
    int in_struct;
    uint64_t began;
    struct timespec limit, left;
};

void attempt_begin(struct attempt *a, const struct call *row, const long *args);
/* Marks it where select() looks at more descriptors than we say. */
void attempt_narrow(struct attempt *a, struct remote_call *call, long number);
void attempt_again(struct attempt *a, struct remote_call *call, const long *args);
/* No argument is ours any more. */
void attempt_without_us(struct attempt *a, long number, const long *args);

#endif
