/*
 * image.h - the format of an image: an ELF core file with notes of our own. Written by the
 * checkpoint (ckpt*.c, inside the program), read by the starter.
 *
 *   ELF header, program headers          as in a core file
 *   notes of owner "CORE" and "LINUX"    what a kernel writes, so that gdb and readelf understand
 * it notes of owner "HIJACK"              enum image_note, in that order; IMAGE_NOTE_SUM is the
 * last zeros up to image_header.data        a page boundary memory page by page; PT_LOAD says where
 * for debuggers, IMAGE_NOTE_RUNS for us
 *
 * Invariants: the sum in the last note covers [0, data) with the sum itself as zero; every stored
 * byte of memory is covered by the sum of its run; bytes between runs are holes and read as zero;
 * the file ends with the last run. So no changed bit and no missing byte goes unseen. All numbers
 * are in the byte order of the machine. Paper: section 4.
 */
#ifndef RESTART_IMAGE_H
#define RESTART_IMAGE_H

#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

#define IMAGE_MAGIC       0x4b434a4849ULL /* "IHJCK" */
#define IMAGE_VERSION     9
#define IMAGE_OLDEST      6 /* read as well: of its terminals it has no window size */
#define IMAGE_OWNER       "HIJACK"
#define IMAGE_PAGE        4096ULL
#define IMAGE_RUN_MAX     (4ULL << 20) /* longest run: the unit of checking and of parallel reading */
#define IMAGE_FEATURES    12
#define IMAGE_TIMERS_MAX  256
#define IMAGE_PENDING_MAX 4096
#define IMAGE_SIGNALS     64
#define IMAGE_AUXV_MAX    64
#define IMAGE_CPUS        8192
#define IMAGE_BUILD_ID    32

enum image_note {
    IMAGE_NOTE_HEADER = 0x484a0001, /* struct image_header */
    IMAGE_NOTE_MAPS,                /* struct image_map[], by rising address */
    IMAGE_NOTE_FILES,               /* struct image_file[] */
    IMAGE_NOTE_STRINGS,             /* NUL-terminated texts; offset 0 is the empty one */
    IMAGE_NOTE_RUNS,                /* struct image_run[], by rising address and offset */
    IMAGE_NOTE_PROCESS,             /* struct image_process */
    IMAGE_NOTE_PARAMS,  /* struct hijack_params (stubs/agent.h): makes the image a credential */
    IMAGE_NOTE_FDS,     /* the table of restart/fds.h */
    IMAGE_NOTE_THREADS, /* struct image_thread[]: image_process.thread_count of them */
    IMAGE_NOTE_SUM,     /* uint64_t */
};

struct image_header {
    uint64_t magic;
    uint32_t version;
    uint32_t size; /* sizeof(struct image_header) */
    uint64_t page_size;
    uint64_t data;   /* file offset of the first stored page */
    uint64_t end;    /* size of the file */
    uint64_t time;   /* seconds since 1970 */
    uint64_t entry;  /* resume_entry(struct resume_handover *) in the image */
    uint64_t params; /* address of hijack_params in the image */
    uint64_t record; /* of hijack_record */
    uint64_t
        xstate_mask; /* extended state in the signal frame (XSTATE_BV of the frame's sw_reserved) */
    uint64_t xstate_size;              /* its size there; 0: legacy frame */
    uint32_t features[IMAGE_FEATURES]; /* CPU features, see ckpt_features.h */
    char machine[16];                  /* "x86_64" */
    char kernel[128];                  /* uname: release, version */
    char host[64];
};

enum image_kind {
    IMAGE_ANONYMOUS = 1, /* private */
    IMAGE_CARRIED,       /* of a file that need not be there: all its pages are stored */
    IMAGE_FILE,          /* private or shared mapping of a file that is there by name */
    IMAGE_VDSO,          /* vvar, vvar_vclock or vdso: moved, never stored */
};

#define IMAGE_SHARED     0x01u
#define IMAGE_NORESERVE  0x02u
#define IMAGE_GROWSDOWN  0x04u
#define IMAGE_LOCKED     0x08u /* mlock */
#define IMAGE_LOCKFAULT  0x10u /* mlock2(MLOCK_ONFAULT) */
#define IMAGE_SEQUENTIAL 0x20u
#define IMAGE_RANDOM     0x40u
#define IMAGE_DONTFORK   0x80u
#define IMAGE_DONTDUMP   0x100u
#define IMAGE_WIPEONFORK 0x200u
#define IMAGE_HUGE       0x400u
#define IMAGE_NOHUGE     0x800u
#define IMAGE_MERGEABLE  0x1000u
#define IMAGE_MAYWRITE   0x2000u /* shared: the file was opened for writing */
#define IMAGE_OWN                                                                                  \
    0x4000u /* of our own library: all pages are stored, and the file may have changed */
#define IMAGE_GOES_ON 0x8000u /* shared: the program could go on writing to it after the image */
#define IMAGE_KEPT                                                                                 \
    0x10000u /* shared, of a file: all pages are stored, should the file be gone or changed */

struct image_map {
    uint64_t start, end;
    uint64_t offset; /* in the file */
    uint32_t prot;   /* PROT_* */
    uint32_t flags;  /* IMAGE_SHARED... */
    uint32_t kind;   /* enum image_kind */
    uint32_t file;   /* IMAGE_FILE: index of the file */
    uint32_t name;   /* in the strings: the text behind the map in /proc/PID/maps */
    uint32_t run;    /* index of its first run ... */
    uint32_t runs;   /* ... and how many */
    uint32_t padding;
};

struct image_file {
    uint64_t dev, inode, size;
    int64_t mtime, mtime_nsec;
    uint32_t path;       /* in the strings */
    uint32_t build_size; /* of an ELF file's build-id; 0: it has none */
    uint8_t build_id[IMAGE_BUILD_ID];
};

#define IMAGE_RUN_GUARD 1u /* no bytes: MADV_GUARD_INSTALL */
#define IMAGE_RUN_FILE  2u /* of a carried mapping: the file's bytes, not a private copy */

struct image_run {
    uint64_t address, length; /* of memory, in bytes, whole pages */
    uint64_t offset;          /* in the image */
    uint64_t sum;             /* checksum() of the bytes */
    uint64_t flags;
};

/* The kernel's struct sigaction, not libc's. */
struct image_action {
    uint64_t handler, flags, restorer, mask;
};

struct image_timer {
    int32_t id, signal, notify, clock;
    int32_t thread; /* SIGEV_THREAD_ID: its id then; 0: the process */
    int32_t padding;
    uint64_t value;
    struct itimerspec time;
};

/* In nanoseconds, read when no thread of the program ran any more. */
struct image_clocks {
    uint64_t monotonic, monotonic_raw, boottime;
};

/* prctl(PR_SET_MM_MAP)'s argument, spelt out because kernel headers differ. */
struct image_layout {
    uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
    uint64_t arg_start, arg_end, env_start, env_end;
    uint64_t auxv;
    uint32_t auxv_size;
    int32_t exe_fd;
};

/* What the kernel keeps of a thread. Lives in the in-target object's memory like image_process. */
struct image_thread {
    uint64_t frame;        /* address of the signal frame's ucontext */
    uint64_t mask;         /* blocked signals */
    uint64_t alternate[3]; /* stack_t */
    uint64_t fs_base, gs_base, tid_address, robust_list, robust_size;
    uint64_t timer_slack;
    char comm[16];
    int32_t tid; /* then */
    int32_t now; /* the restarted thread's */
    int32_t nice, policy, priority, io_priority;
    uint32_t personality;
    int32_t death_signal, no_new_privs, seccomp;
    uint32_t cpus_size; /* bytes of the affinity mask that the kernel gave */
    int16_t mce_kill, io_flusher;
    int32_t rseq;  /* libc's area was registered: a new thread's is not yet */
    int32_t place; /* a restart's: which of the threads that it has made becomes this one */
    uint64_t cpus[IMAGE_CPUS / 64];
};

/* What the kernel keeps of the process itself. Lives in the in-target object (resume_process), so
 * that it is in the image's memory too, where resume.c finds it; the note is for the starter. */
struct image_process {
    struct image_layout layout;
    uint64_t auxv[2 * IMAGE_AUXV_MAX];
    struct image_action actions[IMAGE_SIGNALS];
    struct itimerval interval[3];
    struct image_clocks clocks;
    struct image_timer timers[IMAGE_TIMERS_MAX];
    uint32_t timer_count;
    uint32_t pending_count;
    uint32_t thread_count; /* that run; the first is the one that took the checkpoint */
    int32_t membarrier;
    struct rlimit limits[16];
    char cwd[4096];
    char comm[16]; /* of the thread that took the checkpoint */
    int32_t pid, parent, group, session;
    uint32_t uid, gid;
    uint32_t umask;
    int32_t nice; /* likewise */
    int32_t oom_score_adj;
    uint32_t coredump_filter;
    int32_t dumpable, subreaper, thp_disable, keepcaps;
    int32_t mdwe; /* PR_MDWE_...; irrevocable */
    int32_t padding;
};

/* A word of memory that looks like the id of the thread that holds a lock. */
struct resume_owner {
    uint64_t address;
    int32_t then;
    uint32_t offset; /* in the lock */
};

/* What the restart library hands to resume_entry(). */
struct resume_handover {
    uint64_t owners, owner_count; /* struct resume_owner[], in one of the following */
    uint64_t unmap[8][2];         /* start, size: library, plan, stack; end with a size of 0 */
    uint32_t keep_ids;            /* each thread gets its old id or the restart fails; and then */
    uint32_t capabilities[6];     /* these, in capset(2)'s order: it took more to choose ids */
    uint32_t resized;             /* its terminal has another window size now */
};

#endif
