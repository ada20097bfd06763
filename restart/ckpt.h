/*
 * ckpt.h - a checkpoint, taken by the program itself in the handler of the checkpoint signal.
 *
 * The flow of handler_checkpoint() (ckpt.c): bring all threads to stand still
 * (ckpt_rendezvous.c); ask the shadow what is wanted; refuse what state.def refuses (ckpt_state.c);
 * list the memory (ckpt_maps.c) and the pages to store (ckpt_pages.c); note what the kernel keeps
 * of the process (ckpt_process.c, ckpt_threads.c); lay the image out (ckpt_layout.c) and write it
 * under a temporary name (ckpt_write.c); give it its name; report.
 *
 * Invariants: freestanding, all signals blocked, all other threads stand still. Tables live in one
 * shared anonymous mapping (the scratch), which never merges with the program's memory and is not
 * part of the image. A function that fails has said why in ckpt_why and returns -errno. An image
 * appears complete under its name, or not at all.
 */
#ifndef RESTART_CKPT_H
#define RESTART_CKPT_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#include "restart/ckpt_text.h"
#include "restart/image.h"

#define CKPT_BOUNCE (256 * 1024)

/* The tables of the checkpoint under way, in the scratch. */
struct ckpt {
    struct image_map *maps;
    struct image_file *files;
    struct image_run *runs;
    Elf64_Phdr *segments;
    char *strings;
    unsigned char *head;   /* the image up to image_header.data */
    unsigned char *bounce; /* CKPT_BOUNCE bytes that nobody else writes to */
    unsigned char *fds;    /* the descriptor table (restart/fds.h) */
    size_t map_count, file_count, run_count, segment_count, string_size, head_size, fds_size;
    size_t map_limit, file_limit, run_limit, segment_limit, string_limit, head_limit, fds_limit;
    uintptr_t scratch; /* address and size of the scratch itself */
    size_t scratch_size;
    struct image_header header;
    int leaving;  /* the program ends once the image is there */
    int portable; /* the image needs no file of this host */
    struct rlimit
        descriptors; /* the program's own RLIMIT_NOFILE, while we have lent ourselves some more */
};

extern struct ckpt ckpt;
extern struct text ckpt_why;

/* Starts the message with `what`, adds the cause and returns `error`. */
long ckpt_fail(long error, const char *what, const char *subject);

/* Maps and unmaps the scratch. */
long ckpt_scratch_map(void);
void ckpt_scratch_unmap(void);

/* Appends a text to the strings; its offset, or 0 when they are full. */
uint32_t ckpt_string(const char *s);

/* -ENOTSUP when the process has something that state.def refuses (except memory, see ckpt_maps()).
 */
long ckpt_refuse(void);
long ckpt_refuse_fds(void); /* the rows on descriptors, once they are listed */
/* Says that the state.def row `row` stands against it. */
enum ckpt_row {
#define STATE(identifier, disposition, what, hint) CKPT_ROW_##identifier,
#include "restart/state.def"
#undef STATE
};
long ckpt_refused(enum ckpt_row row, const char *found);

/* Lists the mappings from /proc/self/smaps. */
long ckpt_maps(void);
/* Of ckpt_maps(): may the contents of a shared mapping of a file that has gone stand for it
 * (ckpt_shared.c)? */
long ckpt_shared_gone(const char *path, uint64_t dev, uint64_t inode);
/* Likewise for all shared mappings of files that have their names. */
long ckpt_shared_settle(void);
/* A file that the program may write to through a mapping whose contents are in the image; NULL:
 * none. */
const char *ckpt_shared_kept(void);
/* Lists the runs of pages to store, for all mappings. */
long ckpt_pages(void);
/* How many bytes of them are of mappings whose file need not be there after a restart. */
uint64_t ckpt_pages_carried(void);
/* Fills resume_process with what the kernel keeps of the process, and every thread's state. */
long ckpt_process(void);
long ckpt_threads(void); /* the latter */
/* The set of signals pending for this thread itself, the process's not among them. */
uint64_t ckpt_own_pending(void);
/* Places runs and segments in the file and writes the head, all but its sums. */
long ckpt_layout(void);
/* Puts the sum of the finished head into its last note. */
void ckpt_layout_finish(void);

/* Writes the image under a temporary name beside `path` and brings it to disk; removes it when that
 * fails. */
long ckpt_write(const char *path);
/* Gives it its name; removes it when that fails. */
long ckpt_write_commit(const char *path);
void ckpt_write_abandon(void);

#endif
