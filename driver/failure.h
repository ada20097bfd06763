/*
 * failure.h - why something did not work, as the user will read it.
 *
 * Functions that can fail take a struct failure, return 0 (or a value) when they succeed and -errno
 * when they do not, and then have said why: lower case, what failed, the quoted subject, the cause,
 * what to do. Nothing here prints.
 */
#ifndef DRIVER_FAILURE_H
#define DRIVER_FAILURE_H

struct failure {
    int code; /* -errno */
    char text[1024];
};

/* Stores the message and returns `code` (a negative errno), so that a caller can write `return
 * fail(...)`. */
int fail(struct failure *f, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As fail(), with ": strerror(-code)" behind the message. */
int fail_errno(struct failure *f, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
