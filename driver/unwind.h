/*
 * unwind.h - the call stack of a stopped thread, from .eh_frame alone.
 *
 * libdw does the work; registers and memory come from the caller (that is, from gdb), files from
 * objects.h. No debug information is looked for. The innermost frame comes first. Works for
 * stripped libraries, the vdso and signal trampolines; where code has no unwind tables it follows
 * frame pointers, or breaks off. The caller may keep an unwinder and use it again as long as the
 * maps have not changed: tables stay read.
 */
#ifndef DRIVER_UNWIND_H
#define DRIVER_UNWIND_H

#include <stdbool.h>
#include <stddef.h>

#include "driver/failure.h"
#include "driver/objects.h"
#include "driver/taddr.h"

#define UNWIND_MAX_FRAMES 4096

struct unwind_input {
    pid_t pid;
    struct objects *objects; /* of this process; stays the caller's */
    const taddr *registers;  /* by DWARF number, as unwind_register_names */
    size_t register_count;
    /* Copies target memory: 0, or -errno when it cannot be read. */
    int (*read)(void *context, taddr address, void *to, size_t size);
    void *context;
};

/* GDB's names of the registers that unwinding needs, by DWARF number (psABI), and which of them are
 * pc and sp. */
extern const char *const unwind_register_names[];
extern const size_t unwind_register_count;
extern const size_t unwind_register_pc, unwind_register_sp;

/* Calls `each` with every frame until it returns non-zero. `pc` is the interrupted instruction in
 * an `activation` frame (the innermost, and what a signal handler interrupted), else a return
 * address: look up pc - 1 there. Returns 1: reached the outermost frame; 0: broke off, `f` says
 * why; -errno. */
int unwind(const struct unwind_input *input, int (*each)(void *context, taddr pc, bool activation),
           void *context, struct failure *f);

/* The longest instruction that calls and how many bytes unwind_after_call() wants to see. */
#define UNWIND_CALL_BYTES 7
/* Whether the UNWIND_CALL_BYTES bytes that end at an address may end in a call instruction: the
 * address may be a return address. */
bool unwind_after_call(const unsigned char *bytes);
/* Whether the code at an address is the return from a signal handler (rt_sigreturn); 16 bytes are
 * given. */
bool unwind_is_sigreturn(const unsigned char *bytes);

#endif
