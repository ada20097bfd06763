/*
 * ckpt_shared.c - shared file mappings that a restart may have to make of memory alone: the file
 * has gone already, may be gone or changed by then, or will not be there (--portable). Their
 * contents go into the image (IMAGE_KEPT; IMAGE_CARRIED where the file has gone).
 *
 * Memory does for the file as long as nobody else has another way to its bytes: no descriptor of
 * the program's own is open on it, no other process that can be seen maps it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/sysmacros.h>

#include "restart/ckpt.h"
#include "restart/fds.h"
#include "stubs/mem.h"
#include "stubs/raw.h"

#define KEPT_MAX (1ULL << 20) /* of a file that will most likely be there */

struct file {
    uint64_t dev, inode; /* as /proc/PID/maps has them */
    int any_device;      /* stat() may have another st_dev for it */
    char path[256];      /* /proc/PID/maps, and the user that was found */
    struct lines lines;
    char dents[8192] __attribute__((aligned(8)));
};

/* In the bounce buffer, which is free while the mappings are listed. */
static struct file *file(void)
{
    _Static_assert(sizeof(struct file) <= CKPT_BOUNCE, "it is in the bounce buffer");
    return (struct file *)ckpt.bounce;
}

/* --- who else? --- */

static int open_descriptor(void)
{
    const struct fds_header *h = (const void *)ckpt.fds;
    for (uint32_t i = 0; ckpt.fds_size && i < h->count; i++) {
        const struct fds_entry *e = fds_entries(h) + i;
        if (e->inode == file()->inode && (file()->any_device || e->dev == file()->dev))
            return e->number;
    }
    return -1;
}

/* "55d0c000-55d0d000 rw-s 00001000 fd:01 1234   /path" */
static int is_of_file(const char *line)
{
    const char *at = text_skip(line, 3);
    unsigned major = (unsigned)text_parse(&at, 16);
    at++;
    unsigned minor = (unsigned)text_parse(&at, 16);
    at++;
    return makedev(major, minor) == file()->dev && text_parse(&at, 10) == file()->inode;
}

static int maps_file(uint64_t pid)
{
    struct file *f = file();
    struct text path = {f->path, sizeof f->path, 0};
    int found = 0;
    text_add(&path, "/proc/");
    text_number(&path, (int64_t)pid);
    text_add(&path, "/maps");
    if (lines_open(&f->lines, f->path))
        return 0;
    for (char *line; !found && (line = lines_next(&f->lines));)
        found = is_of_file(line);
    lines_close(&f->lines);
    return found;
}

/* The first of those that this part of /proc names; 0: none. */
static int64_t mapper_among(long size, uint64_t self)
{
    for (long at = 0; at < size;) {
        const struct dent *d = (const void *)(file()->dents + at);
        const char *name = d->name;
        uint64_t pid = text_parse(&name, 10);
        at += d->length;
        if (pid && !*name && pid != self && maps_file(pid))
            return (int64_t)pid;
    }
    return 0;
}

static int64_t other_mapper(void)
{
    uint64_t self = (uint64_t)raw(SYS_getpid);
    int64_t pid = 0;
    long size, proc = raw(SYS_openat, AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (raw_failed(proc))
        return 0;
    while (!pid && (size = raw(SYS_getdents64, proc, file()->dents, sizeof file()->dents)) > 0)
        pid = mapper_among(size, self);
    raw(SYS_close, proc);
    return pid;
}

/* The refusal's words, when somebody else has the bytes; NULL: nobody. */
static const char *other_user(const char *path)
{
    int number = open_descriptor();
    int64_t pid = number < 0 ? other_mapper() : 0;
    struct text t = {file()->path, sizeof file()->path, 0};
    if (number < 0 && !pid)
        return NULL;
    text_add(&t, path);
    text_add(&t, pid ? ", which process " : ", which is open as descriptor ");
    text_number(&t, pid ? pid : number);
    text_add(&t, pid ? " maps too" : " too");
    return file()->path;
}

/* --- files that have gone --- */

static void look_at(uint64_t dev, uint64_t inode, int any_device)
{
    file()->dev = dev, file()->inode = inode, file()->any_device = any_device;
}

long ckpt_shared_gone(const char *path, uint64_t dev, uint64_t inode)
{
    look_at(dev, inode, 1);
    const char *user = other_user(path);
    return user ? ckpt_refused(CKPT_ROW_shared_anonymous, user) : 0;
}

/* --- files that have their name --- */

static int is_shared(const struct image_map *m)
{
    return m->kind == IMAGE_FILE && m->flags & IMAGE_SHARED;
}

static int is_writable(uint32_t index)
{
    for (const struct image_map *m = ckpt.maps; m < ckpt.maps + ckpt.map_count; m++)
        if (is_shared(m) && m->file == index && m->flags & IMAGE_MAYWRITE)
            return 1;
    return 0;
}

static uint64_t mapped_bytes(uint32_t index)
{
    uint64_t bytes = 0;
    for (const struct image_map *m = ckpt.maps; m < ckpt.maps + ckpt.map_count; m++)
        bytes += is_shared(m) && m->file == index ? m->end - m->start : 0;
    return bytes;
}

/* 1: the contents of the file's mappings are to be kept; 0: not; or the refusal. */
static long must_keep(uint32_t index)
{
    const struct image_file *f = &ckpt.files[index];
    const char *path = ckpt.strings + f->path, *user;
    look_at(f->dev, f->inode, 0);
    if (!ckpt.portable)
        return mapped_bytes(index) <= KEPT_MAX && open_descriptor() < 0;
    return (user = other_user(path)) ? ckpt_refused(CKPT_ROW_portable_shared, user) : 1;
}

/* A private copy does for what can change neither here nor, elsewhere, in the file. */
static void settle_map(struct image_map *m, int writable, int kept)
{
    if (kept) {
        m->flags |= IMAGE_KEPT;
    } else if (ckpt.portable && !writable) {
        m->kind = IMAGE_CARRIED;
        m->flags &= ~IMAGE_SHARED;
    }
}

static long settle_file(uint32_t index)
{
    int writable = is_writable(index);
    long kept = writable ? must_keep(index) : 0;
    for (struct image_map *m = ckpt.maps; kept >= 0 && m < ckpt.maps + ckpt.map_count; m++)
        if (is_shared(m) && m->file == index)
            settle_map(m, writable, (int)kept);
    return kept < 0 ? kept : 0;
}

long ckpt_shared_settle(void)
{
    long result = 0;
    for (uint32_t i = 0; i < ckpt.file_count && !result; i++)
        if (mapped_bytes(i))
            result = settle_file(i);
    return result;
}

const char *ckpt_shared_kept(void)
{
    for (const struct image_map *m = ckpt.maps; m < ckpt.maps + ckpt.map_count; m++)
        if (m->flags & IMAGE_KEPT && m->flags & IMAGE_MAYWRITE)
            return ckpt.strings + m->name;
    return NULL;
}
