/*
 * starter_files.c - the files behind the program's mappings: opened by name and compared, or, where
 * all pages are in the image (IMAGE_CARRIED, and our own library when another one is installed
 * now), a memory file of that name: debuggers, and gdb-hijack itself, know libraries by it. Its
 * bytes are the file's as far as the image has them (IMAGE_RUN_FILE), so that MADV_DONTNEED and a
 * second mapping of the same file behave as before; under pages that the program had copied it is
 * empty.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "restart/build_id.h"
#include "restart/starter.h"

#define NAME_MAX_MEMFD 200 /* of memfd_create(2)'s 249 */

static const char memory_prefix[] = "/memfd:", deleted_suffix[] = " (deleted)";

/* --- comparing --- */

/* What else than --accept-changed-files helps. */
static const char *remedy(const struct image_map *m)
{
    return m->flags & IMAGE_KEPT ? "--rollback-files puts its contents back"
                                 : "put the old file back";
}

static int changed(struct image *image, const struct image_map *m, const char *how)
{
    return image_fail(image, -ESTALE,
                      "the program has '%s' mapped, which has %s since the image was made; %s, or "
                      "accept it with --accept-changed-files",
                      image_map_path(image, m), how, remedy(m));
}

static int other_size(struct image *image, const char *path)
{
    return image_fail(image, -EFBIG,
                      "the program has '%s' mapped, which has another size since the image was "
                      "made; put the old file back, or accept it with --accept-changed-files",
                      path);
}

static int other_build(struct image *image, const struct image_file *f)
{
    char hex[2 * IMAGE_BUILD_ID + 1] = "";
    for (uint32_t i = 0; i < f->build_size; i++)
        snprintf(hex + 2 * (size_t)i, 3, "%02x", f->build_id[i]);
    return image_fail(image, -ELIBBAD,
                      "the program has '%s' mapped, which is another build now (upgraded since the "
                      "image was made?); install the old version again: the one with build-id %s",
                      image_string(image, f->path), hex);
}

static int read_fd(void *context, void *to, size_t size, uint64_t offset)
{
    return pread(*(int *)context, to, size, (off_t)offset) != (ssize_t)size;
}

/* 1: the same build; 0: another; -1: one of them has no build-id. */
static int same_build(const struct image_file *f, int fd)
{
    uint8_t id[IMAGE_BUILD_ID];
    uint32_t size = f->build_size ? build_id(read_fd, &fd, id) : 0;
    if (!size)
        return -1;
    return size == f->build_size && memcmp(id, f->build_id, size) == 0;
}

bool files_show_no_change(const struct image_map *m, uint64_t file_system)
{
    const uint32_t written = IMAGE_GOES_ON | IMAGE_SHARED | IMAGE_MAYWRITE;
    return (m->flags & written) == written &&
           (file_system == TMPFS_MAGIC || file_system == RAMFS_MAGIC);
}

static bool shows_no_change(const struct image_map *m, int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && files_show_no_change(m, (uint64_t)fs.f_type);
}

/* The same bytes? An ELF file's build-id says so whatever its date (the same version installed
 * again); of others, modification time and size; a shared mapping shows the file as it is now
 * anyway. */
int files_compare(struct image *image, const struct image_map *m, int fd)
{
    const struct image_file *f = image_map_file(image, m);
    const char *path = image_string(image, f->path);
    struct stat st;
    if (fstat(fd, &st))
        return image_fail(image, -errno, "cannot look at the mapped file '%s': %s", path,
                          strerror(errno));
    if (image->accept_changed && !(m->flags & IMAGE_OWN))
        return 0;
    int build = same_build(f, fd);
    if (build == 0)
        return other_build(image, f);
    if ((uint64_t)st.st_size != f->size)
        return other_size(image, path);
    if (build < 0 && (st.st_mtim.tv_sec != f->mtime || st.st_mtim.tv_nsec != f->mtime_nsec))
        return changed(image, m, "been changed");
    return shows_no_change(m, fd)
               ? image_fail(image, -ESTALE,
                            "the program has '%s' mapped, and went on writing to it after the "
                            "image was made: in a file system in memory that does not show; %s, "
                            "or, if the file is as it should be, accept it with "
                            "--accept-changed-files",
                            path, remedy(m))
               : 0;
}

int files_open(struct image *image, const struct image_map *m)
{
    const char *path = image_map_path(image, m);
    bool write = m->flags & IMAGE_SHARED && m->flags & IMAGE_MAYWRITE;
    int fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return image_fail(image, -errno,
                          "the program has '%s' mapped, which cannot be opened: %s; an image made "
                          "with checkpoint --portable carries it",
                          path, strerror(errno));
    return fd;
}

static int open_named(struct image *image, const struct image_map *m)
{
    int fd = files_open(image, m), result = fd < 0 ? fd : files_compare(image, m, fd);
    if (fd >= 0 && result)
        close(fd);
    return result ? result : fd;
}

/* --- memory files --- */

static const char *behind(const char *name, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(name, prefix, length) ? name : name + length;
}

/* The name that the mapping had when its file was there, however many restarts ago. */
static const char *plain_name(const char *name, size_t *length)
{
    size_t suffix = strlen(deleted_suffix);
    name = behind(behind(name, memory_prefix), HIJACK_KEPT_PREFIX);
    *length = strlen(name);
    if (*length > suffix && strcmp(name + *length - suffix, deleted_suffix) == 0)
        *length -= suffix;
    if (*length > NAME_MAX_MEMFD)
        name += *length - NAME_MAX_MEMFD, *length = NAME_MAX_MEMFD;
    return name;
}

/* Where the last stored page of the mapping lies in its file: beyond, the program gets SIGBUS, as
 * before. */
static uint64_t stored_end(const struct image *image, const struct image_map *m)
{
    if (!m->runs)
        return 0;
    const struct image_run *last = &image->runs[m->run + m->runs - 1];
    return m->offset + (last->address + last->length - m->start);
}

static bool same_name(const struct image *image, const struct image_map *a,
                      const struct image_map *b)
{
    return strcmp(image_string(image, a->name), image_string(image, b->name)) == 0;
}

/* One file for all mappings of that name, so that they are seen to belong together. */
static uint64_t size_for(const struct image *image, const struct image_map *map)
{
    uint64_t size = 0;
    for (size_t i = 0; i < image->map_count; i++) {
        const struct image_map *m = &image->maps[i];
        if ((m->kind == IMAGE_CARRIED || m->flags & (IMAGE_OWN | IMAGE_KEPT)) &&
            same_name(image, m, map) && stored_end(image, m) > size)
            size = stored_end(image, m);
    }
    return size;
}

/* Does it stand for a file that is mapped shared? The next checkpoint must know. */
static bool is_kept(const struct image *image, const struct image_map *map)
{
    for (size_t i = 0; i < image->map_count; i++)
        if (image->maps[i].flags & IMAGE_SHARED && same_name(image, &image->maps[i], map))
            return true;
    return false;
}

static int new_memory_file(struct image *image, const struct image_map *m, uint64_t size)
{
    char name[sizeof HIJACK_KEPT_PREFIX + NAME_MAX_MEMFD];
    size_t length;
    struct rlimit limit;
    const char *from = plain_name(image_string(image, m->name), &length);
    snprintf(name, sizeof name, "%s%.*s", is_kept(image, m) ? HIJACK_KEPT_PREFIX : "", (int)length,
             from);
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < size)
        return -EFBIG; /* instead of SIGXFSZ */
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd >= 0 && ftruncate(fd, (off_t)size)) {
        close(fd);
        return -EFBIG;
    }
    return fd < 0 ? -errno : fd;
}

static const struct memory_file *find_memory_file(const struct image *image,
                                                  const struct image_map *m)
{
    for (size_t i = 0; i < image->memory_count; i++)
        if (same_name(image, image->memory_files[i].map, m))
            return &image->memory_files[i];
    return NULL;
}

/* Its descriptor, or -errno. */
static int memory_file(struct image *image, const struct image_map *m)
{
    const struct memory_file *known = find_memory_file(image, m);
    if (known)
        return known->fd;
    struct memory_file *files =
        realloc(image->memory_files, (image->memory_count + 1) * sizeof *files);
    if (!files)
        return -ENOMEM;
    image->memory_files = files;
    uint64_t size = size_for(image, m);
    int fd = new_memory_file(image, m, size);
    if (fd < 0)
        return fd;
    void *bytes = size ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    files[image->memory_count++] =
        (struct memory_file){m, fd, bytes == MAP_FAILED ? NULL : bytes, size};
    return fd;
}

void *files_bytes(const struct image *image, const struct image_map *m, uint64_t address)
{
    const struct memory_file *file = m->kind == IMAGE_CARRIED ? find_memory_file(image, m) : NULL;
    uint64_t offset = m->offset + (address - m->start);
    return file && file->bytes && offset < file->size ? file->bytes + offset : NULL;
}

/* The program's pages are private copies; the file's, which they were copied from, can go. */
void files_empty(struct image *image)
{
    for (size_t i = 0; i < image->memory_count; i++)
        fallocate(image->memory_files[i].fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                  (off_t)image->memory_files[i].size);
}

void files_close(struct image *image)
{
    for (size_t i = 0; i < image->memory_count; i++) {
        if (image->memory_files[i].bytes)
            munmap(image->memory_files[i].bytes, image->memory_files[i].size);
        close(image->memory_files[i].fd);
    }
    free(image->memory_files);
    image->memory_files = NULL;
    image->memory_count = 0;
}

/* --- mapping --- */

static int map_flags(const struct image_map *m)
{
    int flags = m->flags & IMAGE_SHARED ? MAP_SHARED : MAP_PRIVATE;
    flags |= m->flags & IMAGE_NORESERVE ? MAP_NORESERVE : 0;
    return flags | (m->flags & IMAGE_GROWSDOWN ? MAP_GROWSDOWN : 0);
}

void *files_map_fd(const struct image_map *m, int fd)
{
    int prot = (int)m->prot | (m->runs ? PROT_WRITE : 0);
    int flags = map_flags(m) | (fd < 0 ? MAP_ANONYMOUS : 0);
    return mmap(NULL, m->end - m->start, prot, flags, fd, fd < 0 ? 0 : (off_t)m->offset);
}

/* Without a memory file (a system may forbid executable ones) anonymous memory must do. */
void *files_map_carried(struct image *image, struct image_map *m)
{
    int fd = memory_file(image, m);
    void *at = fd < 0 ? MAP_FAILED : files_map_fd(m, fd);
    if (at != MAP_FAILED)
        return at;
    m->kind = IMAGE_ANONYMOUS;
    return files_map_fd(m, -1);
}

static int map_named(struct image *image, struct image_map *m, void **at)
{
    int fd = open_named(image, m);
    if (fd < 0 && !(m->flags & IMAGE_OWN))
        return fd;
    *at = fd < 0 ? files_map_carried(image, m) : files_map_fd(m, fd);
    if (fd >= 0)
        close(fd);
    return 0;
}

int files_map(struct image *image, struct image_map *m, void **at)
{
    int result = 0;
    if (m->flags & IMAGE_KEPT)
        result = kept_map(image, m, at);
    else if (m->kind == IMAGE_FILE)
        result = map_named(image, m, at);
    else
        *at = m->kind == IMAGE_CARRIED ? files_map_carried(image, m) : files_map_fd(m, -1);
    return result;
}
