/* preflight_memory.c - what a process has mapped and open that a hijack or a checkpoint cannot deal
 * with. */
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "driver/findings.h"
#include "driver/load.h"
#include "driver/objects.h"
#include "shadow/control.h"
#include "stubs/agent.h"

#define BOOTSTRAP_ROOM    512 /* bytes behind a library's text, where the first call is made from */
#define DESCRIPTORS_SPARE 16  /* what a checkpoint opens for a moment */

#define refuse(p, ...) findings_add((p)->findings, FINDING_REFUSE, __VA_ARGS__)
#define refuse_checkpoint(p, ...)                                                                  \
    findings_add((p)->findings, FINDING_REFUSE_CHECKPOINT, __VA_ARGS__)
#define warn(p, ...) findings_add((p)->findings, FINDING_WARN, __VA_ARGS__)

/* --- the program --- */

/* The beginning of the program file: its ELF header and, as linkers put them there, its program
 * headers. */
struct beginning {
    union {
        Elf64_Ehdr header;
        char bytes[4096];
    };
    size_t size;
};

static bool read_beginning(pid_t pid, struct beginning *out)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, out->bytes, sizeof out->bytes);
    close(fd);
    out->size = n > 0 ? (size_t)n : 0;
    return out->size >= sizeof out->header && !memcmp(out->bytes, ELFMAG, SELFMAG);
}

static bool has_interpreter(const struct beginning *b)
{
    const Elf64_Ehdr *h = &b->header;
    for (size_t i = 0; i < h->e_phnum; i++) {
        Elf64_Phdr p;
        size_t at = h->e_phoff + i * sizeof p;
        if (h->e_phoff > b->size || at + sizeof p > b->size)
            return true; /* elsewhere in the file: the mapped libraries tell */
        memcpy(&p, b->bytes + at, sizeof p);
        if (p.p_type == PT_INTERP)
            return true;
    }
    return false;
}

/* This program's own machine is the one that it knows how to patch. */
static bool same_machine(const struct beginning *b)
{
    struct beginning own;
    return b->header.e_ident[EI_CLASS] == ELFCLASS64 && read_beginning(getpid(), &own) &&
           own.header.e_machine == b->header.e_machine;
}

static bool has_room(const struct objects *objects)
{
    for (size_t i = 0; i < objects_count(objects); i++) {
        const struct object *o = objects_at(objects, i);
        if (o->path[0] == '/' && o->text_end - o->text_used_end >= BOOTSTRAP_ROOM)
            return true;
    }
    return false;
}

static void check_libc(struct preflight *p, const struct objects *objects)
{
    const struct object *libc = objects_libc(objects);
    if (!libc)
        refuse(p, "no-libc",
               "process %d has no C library mapped that gdb-hijack knows (glibc or musl): a static "
               "program, or one with a loader of its own",
               (int)p->info.pid);
    else if (!object_elf(objects, libc))
        refuse(p, "libc-unreadable", "cannot read \"%s\", the C library of process %d", libc->path,
               (int)p->info.pid);
    else if (!has_room(objects))
        refuse(p, "no-room",
               "the text of every library of process %d fills its last page: there is no room for "
               "the first call",
               (int)p->info.pid);
}

void preflight_program(struct preflight *p)
{
    struct beginning b;
    struct objects *objects;
    struct failure f;
    int pid = (int)p->info.pid;
    if (read_beginning(p->info.pid, &b) && !same_machine(&b)) {
        refuse(p, "machine", "process %d (%s) is a program of another architecture (32-bit?)", pid,
               p->info.name);
        return;
    }
    if (b.size && !has_interpreter(&b)) {
        refuse(p, "static",
               "process %d (%s) is a statically linked program: no library can be loaded into it",
               pid, p->info.name);
        return;
    }
    if (objects_open(p->info.pid, &p->maps, &objects, &f)) {
        refuse(p, "objects", "%s", f.text);
        return;
    }
    check_libc(p, objects);
    objects_free(objects);
}

/* --- mappings --- */

static bool begins(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

/* Of a file that was removed, or of memory that stands for it since a restart, a checkpoint takes
 * the contents along if nobody else has them. */
static bool is_removed_file(const struct preflight *p, const struct mapping *m)
{
    if (!m->deleted || begins(m->path, "/dev/zero") ||
        (begins(m->path, "/memfd:") && !begins(m->path, "/memfd:" HIJACK_KEPT_PREFIX)))
        return false;
    return control_opener(p->info.pid, (ino_t)m->inode) < 0 &&
           !control_mapper(p->info.pid, makedev(m->major, m->minor), (ino_t)m->inode);
}

/* The rows of restart/state.def that /proc/PID/maps shows. */
static const struct {
    const char *begins, *id, *what;
    bool shared_only;
    enum finding_severity severity;
} odd_mappings[] = {
    {"anon_inode:[io_uring]", "io_uring", "an io_uring instance", false, FINDING_REFUSE},
    {"anon_inode:", "special_memory", "a special mapping of the kernel", false,
     FINDING_REFUSE_CHECKPOINT},
    {"/[aio]", "async_io", "an asynchronous I/O context", false, FINDING_REFUSE_CHECKPOINT},
    {"[uprobes]", "special_memory", "uprobes", false, FINDING_REFUSE_CHECKPOINT},
    {"/SYSV", "sysv_shm", "System V shared memory", true, FINDING_REFUSE_CHECKPOINT},
    {"/dev/zero", "shared_anonymous", "shared anonymous memory", true, FINDING_REFUSE_CHECKPOINT},
    {"/memfd:", "shared_anonymous", "shared anonymous memory", true, FINDING_REFUSE_CHECKPOINT},
    {"/secretmem", "special_memory", "secret memory", false, FINDING_REFUSE_CHECKPOINT},
    {"/anon_hugepage", "huge_pages", "hugetlb memory", false, FINDING_REFUSE_CHECKPOINT},
    {"/dev/shm/", "shared_anonymous", "shared memory whose name was removed", true,
     FINDING_REFUSE_CHECKPOINT},
    {"/dev/", "device_memory", "a mapped device", true, FINDING_REFUSE_CHECKPOINT},
    {"/", "shared_anonymous", "shared memory whose file was removed", true,
     FINDING_REFUSE_CHECKPOINT},
};
#define ODD_MAPPINGS (sizeof odd_mappings / sizeof *odd_mappings)

/* A file that can be mapped again by its name, in memory (shm_open) or not. */
static bool is_named_file(const struct mapping *m)
{
    return m->path[0] == '/' && !m->deleted &&
           (begins(m->path, "/dev/shm/") || !begins(m->path, "/dev/"));
}

static void check_mapping(struct preflight *p, const struct mapping *m, bool seen[ODD_MAPPINGS])
{
    for (size_t i = 0; !is_named_file(m) && i < ODD_MAPPINGS; i++) {
        if (!begins(m->path, odd_mappings[i].begins) || (odd_mappings[i].shared_only && !m->shared))
            continue;
        if (!strcmp(odd_mappings[i].id, "shared_anonymous") && is_removed_file(p, m))
            return;
        if (!seen[i])
            findings_add(p->findings, odd_mappings[i].severity, odd_mappings[i].id,
                         "process %d has %s (%s, at %" PRItaddr "): that cannot be restored",
                         (int)p->info.pid, odd_mappings[i].what, m->path, m->start);
        seen[i] = true;
        return;
    }
}

void preflight_mappings(struct preflight *p)
{
    bool seen[ODD_MAPPINGS] = {false}, hijacked = false;
    for (size_t i = 0; i < p->maps.count; i++) {
        check_mapping(p, &p->maps.at[i], seen);
        hijacked |= p->maps.at[i].execute && load_is_library(p->maps.at[i].path);
    }
    if (hijacked)
        refuse(p, "hijacked", "process %d is hijacked already; to undo that: gdb-hijack release %d",
               (int)p->info.pid, (int)p->info.pid);
}

/* --- descriptors --- */

/* Those that stand against a hijack itself. */
static const struct {
    const char *target, *id, *what;
} odd_descriptors[] = {
    {"anon_inode:[io_uring]", "io_uring", "an io_uring instance"},
    {"anon_inode:[userfaultfd]", "userfaultfd", "memory under userfaultfd"},
};
#define ODD_DESCRIPTORS (sizeof odd_descriptors / sizeof *odd_descriptors)

struct open_files {
    struct preflight *p;
    long count;
    bool seen[ODD_DESCRIPTORS], bound;
};

/* A checkpoint without --exit lists it, and the program keeps it. */
static void found_bound(struct open_files *files, int fd, const char *target)
{
    if (!files->bound)
        warn(files->p, "odd_descriptors",
             "descriptor %d of process %d (%.200s) is bound to the process: checkpoint --exit is "
             "refused while it is open, and a restart must be given another: --fd %d=PATH",
             fd, (int)files->p->info.pid, target, fd);
    files->bound = true;
}

static int check_descriptor(void *context, int fd, const char *target)
{
    struct open_files *files = context;
    files->count++;
    for (size_t i = 0; i < ODD_DESCRIPTORS; i++) {
        if (!begins(target, odd_descriptors[i].target))
            continue;
        if (!files->seen[i])
            refuse(files->p, odd_descriptors[i].id,
                   "process %d has %s (descriptor %d): that cannot be restored",
                   (int)files->p->info.pid, odd_descriptors[i].what, fd);
        files->seen[i] = true;
        return 0;
    }
    if (preflight_is_bound(files->p, target))
        found_bound(files, fd, target);
    return 0;
}

static long descriptor_limit(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/limits", (int)pid);
    char *text = proc_slurp(path, NULL);
    const char *line = text ? strstr(text, "Max open files") : NULL;
    long limit = -1;
    if (line)
        sscanf(line + strlen("Max open files"), "%ld", &limit);
    free(text);
    return limit;
}

void preflight_descriptors(struct preflight *p)
{
    struct open_files files = {.p = p};
    if (proc_descriptors(p->info.pid, check_descriptor, &files))
        return;
    long limit = descriptor_limit(p->info.pid);
    if (limit >= 0 && files.count >= limit)
        refuse(p, "descriptors",
               "process %d has all of its %ld descriptors open: no library can be opened in it; "
               "raise the limit: prlimit --pid %d --nofile=%ld",
               (int)p->info.pid, limit, (int)p->info.pid, limit + 64);
    else if (limit >= 0 && files.count > limit - DESCRIPTORS_SPARE)
        refuse_checkpoint(p, "descriptors",
                          "process %d has %ld of its %ld descriptors open: a checkpoint needs %d "
                          "for a moment",
                          (int)p->info.pid, files.count, limit, DESCRIPTORS_SPARE);
}
