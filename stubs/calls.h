/*
 * calls.h - the table of system calls (calls.def) as C: its rows, its argument kinds.
 *
 * Every program that needs a part of the table makes its own copy of that part, since in-target
 * code and hosted code are never linked together. A SYSCALL row says what becomes of a call of the
 * kernel while the program's I/O is remote; a FUNCTION row, which functions of the C library are
 * entries for it. What the rows mean is said at the head of calls.def:
 *
 *     const struct call calls[] = {
 *     #define SYSCALL CALL_ROW
 *     #include "stubs/calls.def"
 *     };                                  // indexed by number; holes have how == CALL_UNKNOWN
 *
 * Frames carry the kernel's numbers, which are an ABI: both ends of a session are of one
 * architecture.
 */
#ifndef STUBS_CALLS_H
#define STUBS_CALLS_H

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
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

/* Calls younger than the kernel headers may be. From 424 on the numbers are the same on every
 * architecture (include/uapi/asm-generic/unistd.h). */
#ifndef __NR_cachestat
#define __NR_cachestat 451
#endif
#ifndef __NR_fchmodat2
#define __NR_fchmodat2        452
#define __NR_map_shadow_stack 453
#endif
#ifndef __NR_futex_wake
#define __NR_futex_wake    454
#define __NR_futex_wait    455
#define __NR_futex_requeue 456
#endif
#ifndef __NR_statmount
#define __NR_statmount         457
#define __NR_listmount         458
#define __NR_lsm_get_self_attr 459
#define __NR_lsm_set_self_attr 460
#define __NR_lsm_list_modules  461
#endif
#ifndef __NR_mseal
#define __NR_mseal 462
#endif
#ifndef __NR_setxattrat
#define __NR_setxattrat    463
#define __NR_getxattrat    464
#define __NR_listxattrat   465
#define __NR_removexattrat 466
#endif
#ifndef __NR_open_tree_attr
#define __NR_open_tree_attr 467
#endif
#ifndef __NR_file_getattr
#define __NR_file_getattr 468
#define __NR_file_setattr 469
#endif

#define CALL_ARGS 6

enum arg_kind {
    ARG_NONE, /* behind the last argument */
    /* scalars */
    ARG_FD,
    ARG_DIRFD,
    ARG_INT,
    ARG_FLAGS,
    ARG_MODE,
    ARG_OFF,
    ARG_LEN,
    ARG_COUNT,
    ARG_PID,
    ARG_MSEC,
    /* pointers */
    ARG_PATH,
    ARG_STR,
    ARG_LENP,
    ARG_IN,
    ARG_OUT,
    ARG_OUTL,
    ARG_INH,
    ARG_OUTH,
    ARG_INW,
    ARG_INOUTW,
    ARG_INS,
    ARG_OUTS,
    ARG_INOUTS,
    ARG_INA,
    ARG_OUTA,
    ARG_INOUTA,
    ARG_IOVIN,
    ARG_IOVOUT,
    ARG_MSGIN,
    ARG_MSGOUT,
    ARG_FDSET,
    ARG_SIGSET,
    ARG_SIGSETP,
    ARG_RELTIME,
    ARG_INTIME,
    ARG_SEMSIN,
    ARG_SEMSOUT,
    ARG_BY, /* what it is depends on another argument: calls_by.h */
    ARG_PTR,
    /* of functions only */
    ARG_NEXT,
    ARG_CONST,
    ARG_SKIP,
};

struct call_arg {
    uint8_t kind;  /* enum arg_kind */
    uint8_t other; /* number, from 1, of the argument that holds this one's length; 0: none */
    int32_t value; /* size in bytes of the object, element or head; the value of a CONST */
};

/* --- SYSCALL rows: what becomes of the call while I/O is remote --- */

enum call_how {
    CALL_UNKNOWN, /* no row: -ENOSYS */
    CALL_FORWARD, /* the shadow executes it; detail: enum call_restart */
    CALL_LOCAL,   /* this process executes it */
    CALL_EMULATE, /* stubs/emulate.h knows what to do */
    CALL_REFUSE,  /* -detail */
};

/* What an interruption by a handler means to a forwarded call (signal(7)). */
enum call_restart {
    CALL_RESTART,     /* begins again after a handler with SA_RESTART */
    CALL_INTERRUPTED, /* -EINTR after any handler */
};

struct call {
    const char *name; /* the kernel's: "pread64" */
    const char *why;  /* for the user: in a few words, why it is so; "" for what is plain */
    uint8_t how;      /* enum call_how */
    int16_t detail;   /* see there */
    struct call_arg args[CALL_ARGS];
};

#define CALL_DETAIL_FORWARD(x) CALL_##x
#define CALL_DETAIL_LOCAL(x)   0
#define CALL_DETAIL_EMULATE(x) 0
#define CALL_DETAIL_REFUSE(x)  x

#define CALL_ROW(kernel, how, detail, why, ...)                                                    \
    [__NR_##kernel] = {#kernel, why, CALL_##how, CALL_DETAIL_##how(detail), {__VA_ARGS__}},

/* Without texts: in-target tables have no pointers that would have to be relocated. */
#define CALL_ROW_BARE(kernel, how, detail, why, ...)                                               \
    [__NR_##kernel] = {0, 0, CALL_##how, CALL_DETAIL_##how(detail), {__VA_ARGS__}},

/* --- FUNCTION rows: the functions of the C library --- */

enum function_how {
    FUNCTION_DIRECT, /* the kernel's result, or -1 and errno */
    FUNCTION_POINT,  /* as that; a cancellation point: in a program with threads, BY_NET */
    FUNCTION_ERRNUM, /* 0, or the error number itself */
    FUNCTION_BY_NET, /* does more than the call: goes on in libc, and the net catches the call */
    FUNCTION_MASK,   /* likewise; and at home its stub guards the checkpoint signal (entry.h) */
    FUNCTION_LOCK,   /* likewise; and after a restart its stub settles who owns a lock (owners.h) */
};

struct call_function {
    const char *name;  /* the row's identifier: "pread" */
    const char *names; /* of the functions of libc, separated by one space: "pread pread64 ..." */
    uint16_t number;   /* of the kernel call, on this architecture */
    uint8_t how;       /* enum function_how */
    struct call_arg args[CALL_ARGS]; /* NEXT, CONST, SKIP; empty: the kernel's arguments as given */
};

#define CALL_FUNCTION_ROW(id, kernel, names, how, ...)                                             \
    {#id, names, __NR_##kernel, FUNCTION_##how, {__VA_ARGS__}},
#define CALL_FUNCTION_ROW_BARE(id, kernel, names, how, ...)                                        \
    {0, 0, __NR_##kernel, FUNCTION_##how, {__VA_ARGS__}},

/* Whether a stub makes the call while I/O is remote. */
static inline int call_has_stub(const struct call_function *function)
{
    return function->how < FUNCTION_BY_NET;
}

/* Whether its stub goes on in the function: it has one address then, of its default version. */
static inline bool call_goes_on(const struct call_function *function)
{
    return function->how > FUNCTION_BY_NET;
}

#define FUNCTION(id, ...) FUNCTION_ID_##id,
enum function_id {
#include "stubs/calls.def"
    FUNCTIONS
};

#endif
