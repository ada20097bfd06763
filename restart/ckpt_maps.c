/*
 * ckpt_maps.c - the mappings of this process, from /proc/self/smaps (only its VmFlags tell
 * NORESERVE, madvise and mlock).
 *
 * Neighbouring anonymous mappings with the same attributes become one, as the kernel itself would
 * have it: memory that a restart moved into place does not merge by itself, and the map would grow
 * with each generation.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "restart/build_id.h"
#include "restart/ckpt.h"
#include "stubs/agent.h"
#include "stubs/mem.h"
#include "stubs/raw.h"

extern const char __ehdr_start[], _end[]; /* the linker's: the ends of this library */

#define FLAG(a, b) ((unsigned)(a) | (unsigned)(b) << 8)

/* The mapping being read: its header line, then its VmFlags line. */
static struct {
    struct image_map map;
    unsigned major, minor;
    uint64_t inode;
    char path[4096 + 64];
    int open;
} at;

static int starts(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

static int ends(const char *s, const char *with)
{
    size_t n = strlen(s), m = strlen(with);
    return n >= m && strcmp(s + n - m, with) == 0;
}

/* The kernel writes a newline in a path as \012. */
static void copy_path(const char *from)
{
    char *to = at.path, *end = at.path + sizeof at.path - 1;
    while (*from && to < end)
        if (starts(from, "\\012"))
            *to++ = '\n', from += 4;
        else
            *to++ = *from++;
    *to = '\0';
}

/* "55d0c000-55d0d000 rw-p 00001000 fd:01 1234     /path" */
static void read_header(const char *s)
{
    memset(&at.map, 0, sizeof at.map);
    at.map.start = text_parse(&s, 16), s++;
    at.map.end = text_parse(&s, 16), s++;
    at.map.prot = (s[0] == 'r' ? PROT_READ : 0) | (s[1] == 'w' ? PROT_WRITE : 0) |
                  (s[2] == 'x' ? PROT_EXEC : 0);
    at.map.flags = s[3] == 's' ? IMAGE_SHARED : 0;
    s += 5;
    at.map.offset = text_parse(&s, 16), s++;
    at.major = (unsigned)text_parse(&s, 16), s++;
    at.minor = (unsigned)text_parse(&s, 16), s++;
    at.inode = text_parse(&s, 10);
    while (*s == ' ')
        s++;
    copy_path(s);
    at.open = 1;
}

/* The attribute that a letter pair of VmFlags stands for (fs/proc/task_mmu.c). */
static uint32_t attribute(unsigned flag)
{
    switch (flag) {
    case FLAG('n', 'r'):
        return IMAGE_NORESERVE;
    case FLAG('g', 'd'):
        return IMAGE_GROWSDOWN;
    case FLAG('l', 'o'):
        return IMAGE_LOCKED;
    case FLAG('l', 'f'):
        return IMAGE_LOCKFAULT;
    case FLAG('s', 'r'):
        return IMAGE_SEQUENTIAL;
    case FLAG('r', 'r'):
        return IMAGE_RANDOM;
    case FLAG('d', 'c'):
        return IMAGE_DONTFORK;
    case FLAG('d', 'd'):
        return IMAGE_DONTDUMP;
    case FLAG('w', 'f'):
        return IMAGE_WIPEONFORK;
    case FLAG('h', 'g'):
        return IMAGE_HUGE;
    case FLAG('n', 'h'):
        return IMAGE_NOHUGE;
    case FLAG('m', 'g'):
        return IMAGE_MERGEABLE;
    case FLAG('m', 'w'):
        return IMAGE_MAYWRITE;
    }
    return 0;
}

/* Flags that no restart can give back. */
static long refuse_flag(unsigned flag)
{
    switch (flag) {
    case FLAG('h', 't'):
        return ckpt_refused(CKPT_ROW_huge_pages, at.path);
    case FLAG('i', 'o'):
    case FLAG('p', 'f'):
        return ckpt_refused(CKPT_ROW_device_memory, at.path);
    case FLAG('u', 'm'):
    case FLAG('u', 'w'):
    case FLAG('u', 'i'):
        return ckpt_refused(CKPT_ROW_userfaultfd, at.path);
    case FLAG('s', 's'):
        return ckpt_refused(CKPT_ROW_shadow_stack, at.path);
    case FLAG('s', 'l'):
        return ckpt_refused(CKPT_ROW_sealed_memory, at.path);
    }
    return 0;
}

static long read_flags(const char *s)
{
    long result = 0;
    int special = at.map.kind == IMAGE_VDSO;
    for (s = text_skip(s, 1); !result && s[0] && s[1]; s = text_skip(s, 1)) {
        at.map.flags |= attribute(FLAG(s[0], s[1]));
        result = special ? 0 : refuse_flag(FLAG(s[0], s[1]));
    }
    if (special)
        at.map.flags = 0;
    return result;
}

static int same_file(const struct image_file *f, const char *path)
{
    return f->inode == at.inode && f->dev == makedev(at.major, at.minor) &&
           strcmp(ckpt.strings + f->path, path) == 0;
}

#define NO_FILE  (-1) /* it no longer has that name */
#define A_DEVICE (-2)

/* stat() opens nothing, so the program keeps its record locks. */
static int add_file(const char *path)
{
    struct stat st;
    struct image_file *f = &ckpt.files[ckpt.file_count];
    if (ckpt.file_count == ckpt.file_limit || raw(SYS_newfstatat, -100, path, &st, 0) < 0 ||
        st.st_ino != at.inode || st.st_dev != makedev(at.major, at.minor) ||
        !(f->path = ckpt_string(path)))
        return NO_FILE;
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
        return A_DEVICE;
    f->dev = st.st_dev, f->inode = st.st_ino, f->size = (uint64_t)st.st_size;
    f->mtime = st.st_mtim.tv_sec, f->mtime_nsec = st.st_mtim.tv_nsec;
    return (int)ckpt.file_count++;
}

/* The index of the mapped file, NO_FILE or A_DEVICE. */
static int find_file(void)
{
    for (size_t i = ckpt.file_count; i-- > 0;)
        if (same_file(&ckpt.files[i], at.path))
            return (int)i;
    return add_file(at.path);
}

/* What shm_open and memfd_create make is meant to be shared; a file that was removed need not be.
 */
static int is_gone(void)
{
    return ends(at.path, " (deleted)") && !starts(at.path, "/dev/zero") &&
           (!starts(at.path, "/memfd:") || starts(at.path, "/memfd:" HIJACK_KEPT_PREFIX));
}

static long classify_gone(void)
{
    at.map.kind = IMAGE_CARRIED;
    return is_gone() ? ckpt_shared_gone(at.path, makedev(at.major, at.minor), at.inode)
                     : ckpt_refused(CKPT_ROW_shared_anonymous, at.path);
}

static long classify_shared(void)
{
    if (starts(at.path, "/SYSV"))
        return ckpt_refused(CKPT_ROW_sysv_shm, at.path);
    if (starts(at.path, "/[aio]"))
        return ckpt_refused(CKPT_ROW_async_io, at.path);
    if (starts(at.path, "anon_inode:") || starts(at.path, "/secretmem"))
        return ckpt_refused(CKPT_ROW_special_memory, at.path);
    if (at.map.prot & PROT_WRITE) /* before find_file(): it sets the file's time */
        raw(SYS_msync, at.map.start, at.map.end - at.map.start, MS_SYNC);
    int file = at.path[0] == '/' && at.inode ? find_file() : NO_FILE;
    if (file == A_DEVICE)
        return ckpt_refused(CKPT_ROW_device_memory, at.path);
    if (file < 0)
        return classify_gone();
    at.map.kind = IMAGE_FILE, at.map.file = (uint32_t)file;
    at.map.flags |= ckpt.leaving ? 0 : IMAGE_GOES_ON;
    return 0;
}

/* A private mapping whose file has gone, or need not be there, is carried in the image. */
static long classify_private(void)
{
    if (starts(at.path, "anon_inode:") || starts(at.path, "/[aio]"))
        return ckpt_refused(starts(at.path, "/") ? CKPT_ROW_async_io : CKPT_ROW_special_memory,
                            at.path);
    if (strcmp(at.path, "[uprobes]") == 0)
        return ckpt_refused(CKPT_ROW_special_memory, at.path);
    if (at.path[0] == '/' && at.inode && strcmp(at.path, "/dev/zero") != 0) {
        int file = ckpt.portable || ends(at.path, " (deleted)") ? NO_FILE : find_file();
        if (file == A_DEVICE)
            return ckpt_refused(CKPT_ROW_device_memory, at.path);
        at.map.kind = file < 0 ? IMAGE_CARRIED : IMAGE_FILE;
        at.map.file = file < 0 ? 0 : (uint32_t)file;
        return 0;
    }
    at.map.kind = IMAGE_ANONYMOUS;
    at.map.offset = 0;
    return 0;
}

static int is_vdso(void)
{
    return strcmp(at.path, "[vdso]") == 0 || starts(at.path, "[vvar");
}

/* Our own library's: that a newer one is installed one day must not make the image useless. */
static int is_agent(void)
{
    return at.map.start < (uintptr_t)_end && at.map.end > (uintptr_t)__ehdr_start;
}

static int is_ours(void)
{
    return at.map.start >= ckpt.scratch && at.map.end <= ckpt.scratch + ckpt.scratch_size;
}

/* Is the mapping the continuation of the last one, as far as the kernel cares? */
static int merges(const struct image_map *last)
{
    return last->end == at.map.start && last->kind == IMAGE_ANONYMOUS &&
           at.map.kind == IMAGE_ANONYMOUS && last->prot == at.map.prot &&
           last->flags == at.map.flags && !(at.map.flags & IMAGE_GROWSDOWN);
}

static long append(void)
{
    struct image_map *last = ckpt.map_count ? &ckpt.maps[ckpt.map_count - 1] : NULL;
    if (last && merges(last)) {
        last->end = at.map.end;
        return 0;
    }
    if (ckpt.map_count == ckpt.map_limit)
        return ckpt_fail(-ENOMEM, "too many mappings", "");
    at.map.name = *at.path ? ckpt_string(at.path) : 0;
    ckpt.maps[ckpt.map_count++] = at.map;
    return 0;
}

static long end_mapping(const char *flags)
{
    long result;
    at.open = 0;
    if (is_ours() || strcmp(at.path, "[vsyscall]") == 0)
        return 0;
    at.map.kind = is_vdso() ? IMAGE_VDSO : 0;
    if ((result = read_flags(flags)))
        return result;
    if (at.map.kind != IMAGE_VDSO)
        result = at.map.flags & IMAGE_SHARED ? classify_shared() : classify_private();
    if (at.map.kind == IMAGE_FILE && is_agent())
        at.map.flags |= IMAGE_OWN;
    return result ? result : append();
}

static int is_header(const char *line)
{
    while ((*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f'))
        line++;
    return *line == '-';
}

static long read_line(const char *line)
{
    if (starts(line, "ProtectionKey:") && strcmp(text_skip(line, 1), "0") != 0 && at.open &&
        !is_ours())
        return ckpt_refused(CKPT_ROW_protection_keys, at.path);
    if (starts(line, "VmFlags:"))
        return end_mapping(line);
    if (is_header(line))
        read_header(line);
    return 0;
}

static long read_maps(void)
{
    static struct lines l;
    long result = lines_open(&l, "/proc/self/smaps");
    if (result < 0)
        return ckpt_fail(result, "cannot read", "/proc/self/smaps");
    for (char *line; !result && (line = lines_next(&l));)
        result = read_line(line);
    lines_close(&l);
    if (!result && !ckpt.map_count)
        return ckpt_fail(-EINVAL, "nothing in", "/proc/self/smaps");
    return result ? result : ckpt_shared_settle();
}

/* --- build-ids: from the first pages in memory, as no file of the program may be opened --- */

static int memory;

static int read_mapping(void *context, void *to, size_t size, uint64_t offset)
{
    const struct image_map *m = context;
    if (offset > m->end - m->start || size > m->end - m->start - offset)
        return -1;
    return raw(SYS_pread64, memory, to, size, m->start + offset) != (long)size;
}

long ckpt_maps(void)
{
    long result = read_maps();
    if (result)
        return result;
    memory = (int)raw(SYS_openat, -100, "/proc/self/mem", O_RDONLY | O_CLOEXEC);
    if (memory < 0)
        return ckpt_fail(memory, "cannot open", "/proc/self/mem");
    for (size_t i = 0; i < ckpt.map_count; i++) {
        struct image_map *m = &ckpt.maps[i];
        struct image_file *f = &ckpt.files[m->file];
        if (m->kind == IMAGE_FILE && m->offset == 0 && !f->build_size)
            f->build_size = build_id(read_mapping, m, f->build_id);
    }
    raw(SYS_close, memory);
    return 0;
}
