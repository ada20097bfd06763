/*
 * calls.h - the table of system calls (calls.def) as C: its identifiers, its rows, its argument
 * kinds.
 *
 * Every program that needs the table makes its own copy of it, since in-target code and hosted code
 * are never linked together:
 *
 *     const struct call calls[] = {
 *     #define CALL CALL_ROW
 *     #include "stubs/calls.def"
 *     #undef CALL
 *     };
 *
 * What the rows mean is said at the head of calls.def. `enum call_id` numbers them; the numbers are
 * part of no file format and change when rows are added, so frames carry a digest of the table,
 * never trust them across versions.
 */
#ifndef STUBS_CALLS_H
#define STUBS_CALLS_H

#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <termios.h>
#include <utime.h>

#define CALL_ARGS 6

enum arg_kind {
    ARG_NONE, /* behind the last argument */
    ARG_FD,
    ARG_DIRFD,
    ARG_PATH,
    ARG_STR,
    ARG_INT,
    ARG_FLAGS,
    ARG_MODE,
    ARG_OFF,
    ARG_LEN,
    ARG_COUNT,
    ARG_PID,
    ARG_LENP,
    ARG_IN,
    ARG_OUT,
    ARG_OUTL,
    ARG_INS,
    ARG_OUTS,
    ARG_INOUTS,
    ARG_INA,
    ARG_OUTA,
    ARG_IOVIN,
    ARG_IOVOUT,
    ARG_PTR,
    ARG_CONST,
    ARG_SKIP,
};

struct call_arg {
    uint8_t kind;  /* enum arg_kind */
    uint8_t other; /* number, from 1, of the argument that holds this one's length; 0: none */
    int32_t value; /* size in bytes of the object or element; the value of a CONST */
};

enum call_how {
    CALL_GENERIC,
    CALL_ERRNUM,
    CALL_SPECIAL,
};

struct call {
    const char *name;  /* the row's identifier: "pread" */
    const char *names; /* of the functions of libc, separated by one space: "pread pread64 ..." */
    uint16_t number;   /* of the kernel call, on this architecture */
    uint8_t how;       /* enum call_how */
    struct call_arg args[CALL_ARGS];
};

#define CALL_ROW(id, kernel, names, how, ...)                                                      \
    {#id, names, __NR_##kernel, CALL_##how, {__VA_ARGS__}},

#define CALL(id, ...) CALL_##id,
enum call_id {
#include "stubs/calls.def"
    CALLS
};
#undef CALL

#endif
