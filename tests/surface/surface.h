/*
 * surface.h - the call surface: one program that makes every system call of the table, in many
 * ways, and prints what it sees. Run plainly it prints the expectation; run with remote I/O it must
 * print the same.
 *
 * The flow is: main.c waits until it is told to begin (the test hijacks it meanwhile), then runs
 * all cases twice: each call by syscall(2), which the net catches, and, where libc has a function
 * for it, by that function, which has a jump (functions.c). Each call is a line: where it stands in
 * the source, its result, its errno. What else a call changed (buffers, offsets) is shown by the
 * case. What differs from run to run (process ids, times, inodes, free space) is not shown, or only
 * compared with what the program knows.
 *
 * At the end a line is printed for each row of calls.def that no case has called, or of which all
 * calls ended in ENOSYS: that is what a call without a row gives, so such a row could be missing
 * and nobody would know. The test looks for these lines.
 *
 * Refused rows print the row's errno when run plainly, and the call's when run remotely.
 */
#ifndef SURFACE_H
#define SURFACE_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <asm/unistd.h>

#include "stubs/calls.h"

/* --- main.c: lines --- */

/* A line of any text. The directory of the run is printed as BASE. */
__attribute__((format(printf, 1, 2))) void show(const char *format, ...);
/* `size` bytes: all of them, or the first ones and a sum. */
void show_bytes(const char *what, const void *at, size_t size);
void show_string(const char *what, const char *s);

extern char base[4096]; /* the directory of this run, where the cases begin */
extern int is_root;     /* at the beginning */
extern int is_remote;   /* the calls are made at home */
extern int by_function; /* second pass */

/* --- main.c: calls --- */

/* Makes the call and prints its line; `some`: not its value, if it succeeds. The kernel's result,
 * or -1 and errno. */
long surface_call(const char *file, int line, long number, int some, const char *name,
                  const long args[CALL_ARGS]);

#define ARGS_(zero, a, b, c, d, e, f, ...)                                                         \
    (const long[CALL_ARGS])                                                                        \
    {                                                                                              \
        (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f)                           \
    }
#define ARGS(...) ARGS_(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
/* CALL(read, fd, buffer, size) */
#define CALL(name, ...)                                                                            \
    surface_call(__FILE__, __LINE__, __NR_##name, 0, #name, ARGS(0, ##__VA_ARGS__))
/* The same where the value is different in each run: only that it succeeds is printed. */
#define SOME(name, ...)                                                                            \
    surface_call(__FILE__, __LINE__, __NR_##name, 1, #name, ARGS(0, ##__VA_ARGS__))

/* --- main.c: memory --- */

/* Memory that is not there. */
extern char *bad;
#define BAD  bad
#define MANY 20000 /* descriptors may be open, if so many may be */
/* The last `size` bytes (at most 64 KiB) before memory that is not there, all 0xee: what is written
 * or read beyond is a fault. */
void *edge(size_t size);
#define BIG 700000u /* more than two frames take */
extern unsigned char big[BIG], other[BIG];
/* A pattern that depends on the seed. */
void fill(void *at, size_t size, unsigned seed);

/* --- main.c: a timer whose handler ends waits --- */

extern volatile int ticks;
/* From now on there is a signal every 5 ms; its handler calls `on_tick` after some of them. It has
 * SA_RESTART, or not. */
void tick(int flags, void (*on_tick)(void));
void tick_end(void);

/* --- functions.c --- */

/* Calls libc's function for the kernel's call. 0: there is none. */
int function_call(long number, const long a[CALL_ARGS], long *result);

/* --- the cases, by subject --- */

struct surface_case {
    const char *name;
    void (*run)(void);
};

extern const struct surface_case io_cases[], file_cases[], path_cases[], descriptor_cases[],
    wait_cases[], signal_cases[], socket_cases[], message_cases[], queue_cases[], identity_cases[],
    mount_cases[], memory_cases[], local_cases[], terminal_cases[], refused_cases[];

/* A new file of that content, open to read and write; prints nothing. */
int make_file(const char *name, const void *content, size_t size);
void show_stat(const struct stat *st);

#endif
