/*
 * starter_kept.c - shared file mappings whose contents are in the image (ckpt_shared.c).
 *
 * A file that is as it was is mapped again. Of one that has gone, or been replaced, nobody can open
 * the old bytes: memory stands for it, as for any file that is removed while it is mapped. The same
 * where it cannot be (--away, --remote-io; there it may be written back, starter_mapped.c). One
 * that has been changed is refused, like a descriptor's, or gets its contents back with
 * --rollback-files.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restart/starter.h"
#include "shadow/control.h"

/* Nobody but the program may have the bytes that are to be its own, or of its past. */
static int check_alone(struct image *image, const struct image_map *m)
{
    const struct image_file *f = image_map_file(image, m);
    pid_t pid = control_mapper(getpid(), (dev_t)f->dev, (ino_t)f->inode);
    return pid ? image_fail(image, -EBUSY,
                            "the program has '%s' mapped, shared and writable, and the file has "
                            "changed since the image was made: process %d has it mapped, too; end "
                            "that first",
                            image_map_path(image, m), (int)pid)
               : 0;
}

/* --- memory instead --- */

static bool is_first(const struct image *image, const struct image_map *m)
{
    const struct image_map *other = image->maps;
    while (other < m && !(other->flags & IMAGE_KEPT && other->file == m->file))
        other++;
    return other == m;
}

static void warn(struct image *image, const struct image_map *m)
{
    char others[48] = "";
    static char first[512];
    if (!is_first(image, m) || mapped_has(image, m))
        return;
    if (image->kept++)
        snprintf(others, sizeof others, ", and %u more", image->kept - 1);
    else
        snprintf(first, sizeof first, "%s", image_map_path(image, m));
    snprintf(image->warning, sizeof image->warning,
             "the program has '%s' mapped, shared and writable, and the file is %s%s: what it "
             "writes there stays in its memory",
             first, image->away ? "not here" : "gone", others);
}

static int map_memory(struct image *image, struct image_map *m, void **at)
{
    int result = image->away ? 0 : check_alone(image, m);
    if (result)
        return result;
    warn(image, m);
    m->kind = IMAGE_CARRIED;
    *at = files_map_carried(image, m);
    return 0;
}

/* --- the file --- */

/* Another file under its name is the old one all the same when it looks so: a copy put back. */
static bool is_another(const struct image_file *f, const struct stat *st)
{
    return st->st_ino != f->inode &&
           ((uint64_t)st->st_size != f->size || st->st_mtim.tv_sec != f->mtime ||
            st->st_mtim.tv_nsec != f->mtime_nsec);
}

static bool is_gone(const struct image *image, const struct image_map *m)
{
    struct stat st;
    if (image->away || stat(image_map_path(image, m), &st))
        return image->away || errno == ENOENT || errno == ENOTDIR;
    return !image->accept_changed && is_another(image_map_file(image, m), &st);
}

/* Room for the contents until they are put back. */
static int set_aside(struct image *image, const struct image_map *m)
{
    int result = check_alone(image, m);
    if (result)
        return result;
    void *at = mmap(NULL, m->end - m->start, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return image_fail(image, -errno, "no memory for the contents of '%s': %s",
                          image_map_path(image, m), strerror(errno));
    image->aside[m - image->maps] = (uintptr_t)at;
    return 0;
}

static int map_file(struct image *image, struct image_map *m, int fd, void **at)
{
    int result = files_compare(image, m, fd);
    if (result == -ESTALE && image->rollback) /* one only read shows what the others put there */
        result = m->flags & IMAGE_MAYWRITE ? set_aside(image, m) : 0;
    if (result)
        return result;
    if (!image->aside[m - image->maps])
        m->runs = 0; /* the file has them */
    *at = files_map_fd(m, fd);
    return 0;
}

int kept_map(struct image *image, struct image_map *m, void **at)
{
    if (is_gone(image, m))
        return map_memory(image, m, at);
    int fd = files_open(image, m);
    if (fd < 0)
        return fd;
    int result = map_file(image, m, fd, at);
    close(fd);
    return result;
}

static void put_back(const struct image *image, const struct image_map *m)
{
    const struct image_run *last = &image->runs[m->run + m->runs - 1];
    size_t index = (size_t)(m - image->maps), size = last->address + last->length - m->start;
    void *at = (void *)image->place[index];
    if (mprotect(at, size, PROT_READ | PROT_WRITE))
        return;
    memcpy(at, (void *)image->aside[index], size);
    mprotect(at, size, (int)m->prot);
}

void files_put_back(struct image *image)
{
    for (size_t i = 0; i < image->map_count; i++)
        if (image->aside[i] && image->maps[i].runs)
            put_back(image, &image->maps[i]);
}
