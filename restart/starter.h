/*
 * starter.h - the starter: turns its own process into the program of an image.
 *
 * The flow is: image_open() checks the whole head; starter_check() compares what the image needs
 * with this machine; memory_reserve(), memory_map() and memory_read() build the program's memory
 * beside the starter's own, checking every byte; descriptors (starter_fds.h); process_apply();
 * plan_go() loads the restart library and lets it replace the address space. Up to the descriptors
 * nothing outside this process is touched. Paper: section 4.
 *
 * Invariants: a function that fails returns -errno and has said why in image.error; nothing here
 * prints.
 */
#ifndef RESTART_STARTER_H
#define RESTART_STARTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "restart/image.h"
#include "restart/librestart.h"
#include "restart/starter_fds.h"
#include "stubs/agent.h"

/* A memory file that stands for one that need not be there. */
struct memory_file {
    const struct image_map *map; /* the first of its name */
    int fd;
    char *bytes; /* of the file, to be filled */
    uint64_t size;
};

/* Seconds by which the program's clocks are to be ahead of this process's. */
struct clocks_shift {
    uint64_t monotonic, boottime;
    bool user; /* it takes a user namespace, too */
};

struct image {
    int fd;
    const char *path;
    struct image_header header;
    struct image_map *maps;
    struct image_file *files;
    struct image_run *runs;
    char *strings;
    struct image_process *process;
    struct image_thread *threads;
    struct hijack_params *params;
    size_t params_size; /* in the image: an older one has less of them */
    void *fds;
    size_t map_count, file_count, run_count, string_size, fds_size, thread_count;
    uint64_t *place; /* of each map: where its memory stands until the restart library moves it */
    uint64_t
        *aside; /* of each map: contents to be put back into its file (files_put_back()); or 0 */
    struct memory_file *memory_files;
    size_t memory_count;
    struct clocks_shift shift;
    bool bridged;        /* the vdso of the image is replaced by system calls */
    bool accept_changed; /* --accept-changed-files */
    bool accept_clocks;  /* --accept-clocks */
    bool rollback;       /* --rollback-files */
    bool away;           /* --away, --remote-io: user, directory and descriptors are not here */
    int errors;          /* for messages */
    unsigned kept;       /* files that memory stands for from now on */
    char warning[1024];  /* of the first of them; empty: none */
    struct {             /* --keep-ids (starter_family.h) */
        bool ids;
        bool foreground;          /* of its terminal was this command */
        int parent;               /* a socket to the process that stays as the parent */
        uint32_t capabilities[6]; /* of the caller, as capset(2) has them */
    } family;
    char error[8192];
};

/* Stores the message; returns `code`. */
int image_fail(struct image *image, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Opens an image and reads and checks its head. 0 or -errno (-EBADMSG: not an image, damaged or cut
 * short). The caller closes it in both cases. */
int image_open(struct image *image, const char *path);
void image_close(struct image *image);

/* The text at an offset of the strings. */
const char *image_string(const struct image *image, uint32_t offset);
/* The file of a mapping (IMAGE_FILE), and its path. */
static inline const struct image_file *image_map_file(const struct image *image,
                                                      const struct image_map *m)
{
    return &image->files[m->file];
}
static inline const char *image_map_path(const struct image *image, const struct image_map *m)
{
    return image_string(image, image_map_file(image, m)->path);
}

/* Can the image run here, as this user, on this CPU and kernel? 0 or -errno. */
int starter_check(struct image *image);
int starter_check_cpu(struct image *image); /* arch/ARCH/starter_cpu.c */

/* Keeps every address of the image free of what will be mapped from now on. */
int memory_reserve(struct image *image);
/* Maps all memory at temporary addresses; files are opened, compared with the image and closed
 * again. */
int memory_map(struct image *image);
/* Maps one mapping at an address that the kernel chooses: *at, MAP_FAILED with errno when it will
 * not. 0, or -errno when its file is not what it was. starter_files.c. */
int files_map(struct image *image, struct image_map *m, void **at);
/* Where the bytes of the file behind an address of a carried mapping go (IMAGE_RUN_FILE); NULL
 * where no memory file stands behind it. */
void *files_bytes(const struct image *image, const struct image_map *m, uint64_t address);
/* Empties the memory files when the private pages have been read in; then their own bytes can be.
 */
void files_empty(struct image *image);
/* Closes them, when every page has been read in. */
void files_close(struct image *image);
/* --rollback-files: shared mappings, and so their files, get the contents that they had. Changes
 * what is outside this process: when nothing else can fail. */
void files_put_back(struct image *image);
/* Restart with remote I/O: finds the shared mappings that are written back to their files at home,
 * and tells the program (hijack_params.mapped). `policy`: of the files, --io; NULL: as in the
 * image. 0, or -errno when such a file is not what it was. Changes nothing. starter_mapped.c. */
int mapped_check(struct image *image, struct starter_fds *fds, const char *policy);
/* Is it one of them? */
bool mapped_has(const struct image *image, const struct image_map *m);
/* Maps a shared mapping whose contents are in the image (IMAGE_KEPT), as files_map().
 * starter_kept.c. */
int kept_map(struct image *image, struct image_map *m, void **at);
/* Of starter_files.c, for it: opens the file by its name (or -errno); compares it with the image;
 * maps the descriptor; maps a memory file instead. */
int files_open(struct image *image, const struct image_map *m);
int files_compare(struct image *image, const struct image_map *m, int fd);
/* Memory that is written to through a mapping gives a file of tmpfs no new date. */
bool files_show_no_change(const struct image_map *m, uint64_t file_system);
void *files_map_fd(const struct image_map *m, int fd);
void *files_map_carried(struct image *image, struct image_map *m);
/* Reads the stored pages in, on several threads, and checks them; then gives all memory its
 * attributes. */
int memory_read(struct image *image);
/* The temporary address of an address of the image, NULL where there is no memory. */
void *memory_at(const struct image *image, uint64_t address);

/* Tries what process_apply() will need; changes nothing. */
int process_check(struct image *image);
/* Working directory (but for away) and the like. What is not allowed is left as it is. */
int process_apply(struct image *image);

/* Until the threads that have been joined have let go of their ids. starter_clocks.c. */
void process_await_threads(void);
/* Are this machine's clocks behind the image's, and can they be shifted? Changes nothing; the shift
 * is then in image.shift. starter_clocks.c. */
int clocks_check(struct image *image);
/* Takes this process into a time namespace that has that shift. It has no other thread any more. */
int clocks_shift(struct image *image);

/* Where in the image's memory ids of threads stand as owners of locks: *count of them, the caller's
 * to free. After memory_read(). starter_owners.c. */
int owners_find(struct image *image, struct resume_owner **owners, size_t *count);

/* Where the restart library and the shadow's program lie: beside this one. */
int starter_companion(struct image *image, const char *name, char *to, size_t size);
/* The kernel's vdso, which the program keeps addresses in (starter_vdso.c): the same here, or can
 * it be replaced? After memory_read(); in the latter case the image's copy is changed. */
int vdso_check(struct image *image);
/* Puts this kernel's in the place of the image's, unless that was replaced. */
int vdso_plan(struct image *image, struct restart_plan *plan);
/* Machine code (arch/ARCH/starter_vdso_arch.c) that stands in for the vdso's function `name`, which
 * has `room` bytes: by a system call, with its arguments and its result. Its length; 0: no need,
 * -1: cannot.
 */
#define VDSO_CODE_MAX 32
int vdso_arch_code(const char *name, size_t room, unsigned char code[VDSO_CODE_MAX]);
/* The program counter of a signal frame. */
uint64_t vdso_arch_counter(const void *frame);
/* Becomes the program; returns only when it fails: -errno. */
int plan_go(struct image *image, const struct starter_fds_session *session);

#endif
