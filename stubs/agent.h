/*
 * agent.h - the in-target agent (libhijack.so) as the mutator sees it.
 *
 * The flow is: the driver loads libhijack.so into the target (dlopen called there), writes
 * `hijack_params`, calls hijack_start_shadow(), writes the entry jumps, calls hijack_start(),
 * detaches. The checkpoint signal then enters the handler, which takes a checkpoint
 * (restart/ckpt.h) on a stack of our own. hijack_stop() undoes hijack_start() before the library is
 * unloaded.
 *
 * All functions are called by the driver with every signal blocked, on a stack that the driver
 * made, with the extended (x87, SSE, AVX...) state saved by the driver; they follow the C calling
 * convention of the architecture. They return >= 0, or -errno.  Paper: section 3, steps 2, 3 and 5.
 */
#ifndef STUBS_AGENT_H
#define STUBS_AGENT_H

#include <stdint.h>

#define HIJACK_AGENT_VERSION 4
#define HIJACK_AGENT_OLDEST  2 /* whose hijack_params are known, too, up to the policy */
#define HIJACK_PATH_MAX      4096
#define HIJACK_BUFFERED      1024 /* descriptors with higher numbers never are (stubs/behind.h) */
#define HIJACK_EXPORT        __attribute__((visibility("default")))
#define HIJACK_KEPT_PREFIX   "hijack-kept:" /* names memory that stands for a shared mapped file */
#define HIJACK_MAPPED        64   /* mappings that are written back (stubs/shared.h), ... */
#define HIJACK_MAPPED_PATHS  8192 /* ... and bytes of their files' paths */

/* Memory that stands for a part of a file, shared; all of the same file are one memory. */
#define HIJACK_MAPPED_SOLE    1u /* may be written to */
#define HIJACK_MAPPED_WRITTEN 2u /* is to be written to the file as it is */
struct hijack_mapped {
    uint64_t start, length; /* bytes */
    uint64_t offset;        /* in the file */
    uint64_t dev, inode;    /* of the file at home */
    uint32_t protection;    /* PROT_* */
    uint32_t path;          /* where in hijack_params.mapped_paths the file's begins */
    uint32_t flags;         /* HIJACK_MAPPED_SOLE... */
    uint32_t padding;
};

/* Written by the driver before the first call, read-only for the agent afterwards except for the
 * policy, and by a restart (which gives the process its new pid and start time). Part of the image
 * like all other memory. */
struct hijack_params {
    uint32_t version;    /* HIJACK_AGENT_VERSION */
    uint32_t size;       /* sizeof(struct hijack_params) */
    int32_t signal;      /* the checkpoint signal, e.g. 63 */
    int32_t pid;         /* this process, as it sees itself (innermost pid namespace) */
    uint64_t start_time; /* control_start_time(): with pid, the identity of a process */
    int64_t
        rseq_offset; /* glibc's __rseq_offset (from the thread pointer), used when rseq_size != 0 */
    uint32_t rseq_size;      /* length that libc registered, 0: none */
    uint32_t rseq_signature; /* 0x53053053 on x86 */
    uint64_t errno_location; /* libc's __errno_location(), 0: not known */
    uint32_t remote;         /* enum remote_mode (stubs/remote.h) after a restart */
    uint32_t follow;         /* after a restart: its --io made the policy */
    uint8_t key[16];         /* random; the shadow asks for it. Makes the image a credential */
    char directory[HIJACK_PATH_MAX]; /* where the hijack was ordered; default images go there */
    char socket[108]; /* the shadow's control socket (sun_path), in the 0700 runtime directory */
    char shadow[HIJACK_PATH_MAX]; /* path of hijack-shadow */
    /* Not in the images of version 2. Of remote I/O: what --io said, lines of stubs/policy.h; and
     * of a restart that made it, the descriptors that are buffered by it, a bit each. */
    char policy[HIJACK_PATH_MAX];
    uint64_t buffered[HIJACK_BUFFERED / 64];
    /* Nor in all of version 3. Of a restart with remote I/O: what to write back from now on. */
    uint32_t mapped_count;
    uint32_t padding;
    struct hijack_mapped mapped[HIJACK_MAPPED];
    char mapped_paths[HIJACK_MAPPED_PATHS];
};
extern struct hijack_params hijack_params;

/* Forks the shadow off this process and execs it (params.shadow). Returns its process id, or
 * -errno. Leaves no child for the program's wait(), sends no SIGCHLD. Paper: section 3.1. */
long hijack_start_shadow(void);

/* Installs the checkpoint signal handler (params.signal). -EBUSY when the program itself handles,
 * ignores or blocks that signal. Paper: section 3, step 5. */
long hijack_start(void);

/* Puts the default disposition back for the checkpoint signal; a checkpoint signal that is pending
 * is discarded. */
long hijack_stop(void);

#endif
