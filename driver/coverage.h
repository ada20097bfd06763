/*
 * coverage.h - which of a process's system call instructions a hijack covers, and by what.
 *
 * While I/O is remote, a call comes to the stubs by the entry jump of the function that makes it;
 * or, where there is none, by the net under the jumps, which catches the instruction itself. What
 * is counted is the instructions in the executable mappings of files, as they stand in the files.
 * Nothing here touches a target.
 */
#ifndef DRIVER_COVERAGE_H
#define DRIVER_COVERAGE_H

#include "driver/objects.h"
#include "driver/replace.h"

struct coverage {
    size_t patched;    /* in a function that is patched and whose stub makes the call */
    size_t local;      /* elsewhere, but seen to be of calls that stay here whatever catches them */
    size_t net_only;   /* elsewhere */
    size_t uncovered;  /* ... on a kernel that has no means for the net */
    size_t files;      /* that were looked at */
    uint64_t left_out; /* bytes of text that were not looked at */
};

#define COVERAGE_MOST (4u << 20) /* for a hijack, where somebody waits: at most 2 ms */

/* Counts in `libc`, then in the other objects, the smallest first, as long as the text looked at
 * stays below `most` bytes. */
void coverage_count(const struct objects *objects, const struct object *libc,
                    const struct replace *replace, uint64_t most, struct coverage *out);

/* Has this kernel what the net is made of: syscall user dispatch (Linux 5.11, per architecture)? */
bool coverage_net(void);

#define COVERAGE_TEXT 128
/* "42 by the net only, 0 uncovered"; also says what was left out. */
const char *coverage_text(const struct coverage *coverage, char *out, size_t size);

#endif
