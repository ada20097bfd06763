/*
 * record.h - what the mutator did to this process, kept in the process: what `release` has to undo.
 *
 * Written by the driver before each step of a hijack, so that a hijack whose driver was killed can
 * be released like a complete one, and an image carries the record into the restarted process. The
 * agent itself does not use it.
 */
#ifndef STUBS_RECORD_H
#define STUBS_RECORD_H

#include <stdint.h>

#define HIJACK_RECORD_VERSION 4
#define HIJACK_MAX_PATCHES    1024
#define HIJACK_PATCH_BYTES    16
#define HIJACK_MAX_UNBLOCKED  2048

/* A slot of the island, the jumps' first destination (driver/jump.h). */
#define JUMP_SLOT   64 /* bytes of a slot, a power of two; slots are aligned to it */
#define JUMP_SWITCH 8  /* offset in a slot of the pointer to where it leads */
#define JUMP_HOME   16 /* offset in a slot of the displaced instructions */

/* One entry jump, whose slot is at the same index in the island: `size` bytes of text at `address`.
 */
struct hijack_patch {
    uint64_t address;
    uint8_t size;
    uint8_t padding;
    uint16_t function; /* enum function_id (stubs/calls.h): whose stub its slot can lead to */
    uint8_t original[HIJACK_PATCH_BYTES];
    uint8_t patched[HIJACK_PATCH_BYTES];
};

struct hijack_record {
    uint32_t version;               /* HIJACK_RECORD_VERSION, set at link time */
    uint32_t patch_count;           /* jumps written, or about to be */
    uint64_t library, library_size; /* our own mapping of libhijack.so; size 0: not mapped by us */
    uint64_t handle;                /* dlopen's, for dlclose; 0 when loaded otherwise */
    uint64_t reserved[2];           /* 0 */
    uint64_t island, island_size;   /* the jumps' first destination; size 0: none */
    int32_t shadow;                 /* process id as hijack_start_shadow() returned it; 0: none */
    int32_t started;                /* hijack_start() was called */
    uint32_t unblocked_count;
    struct hijack_patch patches[HIJACK_MAX_PATCHES];
    /* Thread pointers of the threads whose mask had the checkpoint signal. */
    uint64_t unblocked[HIJACK_MAX_UNBLOCKED];
};
extern struct hijack_record hijack_record;

#endif
