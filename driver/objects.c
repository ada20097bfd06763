/*
 * objects.c - see objects.h. What is mapped where; names are symbols.c's.
 *
 * A file that is gone from disk (a library upgraded under a running program) is put together again
 * from the pages that the target has mapped: that is all of it that was ever used, section headers
 * excepted.
 */
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/objects.h"
#include "driver/proc.h"
#include "driver/symbols.h"

#define MOST_FROM_MEMORY (1ULL << 30)

struct file {
    struct object object; /* what others see; stays at one address */
    char *path;
    bool vdso;
    Elf *elf; /* NULL: not to be had */
    int fd;
    void *memory; /* an image put together from the target's memory, or NULL */
    struct symbols *symbols;
};

struct objects {
    pid_t pid;
    size_t count;
    struct file **files;
};

/* --- reading ELF files --- */

static bool is_ours(Elf *elf)
{
    return elf && elf_kind(elf) == ELF_K_ELF && gelf_getclass(elf) == ELFCLASS64;
}

static bool open_path(struct file *file, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    Elf *elf = elf_begin(fd, ELF_C_READ_MMAP_PRIVATE, NULL);
    if (!is_ours(elf)) {
        elf_end(elf);
        close(fd);
        return false;
    }
    file->elf = elf;
    file->fd = fd;
    return true;
}

/* A file that a restart carried in its image (restart/starter_files.c): of it there is only what
 * was mapped. */
static bool is_carried(const struct mapping *m)
{
    return m->deleted && !strncmp(m->path, "/memfd:", 7);
}

/* Under the target's root: it may be a container's. The executable has a link of its own that
 * survives deletion. */
static bool open_on_disk(pid_t pid, struct file *file, const struct mapping *m)
{
    char path[PATH_MAX + 64], exe[PATH_MAX] = "";
    if (!m->deleted) {
        snprintf(path, sizeof path, "/proc/%d/root%s", (int)pid, m->path);
        if (open_path(file, path))
            return true;
    }
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    size_t length = strlen(m->path);
    if (readlink(path, exe, sizeof exe - 1) >= 0 && !strncmp(exe, m->path, length) &&
        (!exe[length] || !strcmp(exe + length, " (deleted)")) && open_path(file, path))
        return true;
    if (is_carried(m))
        return false;
    snprintf(path, sizeof path, "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)pid, m->start,
             m->end);
    return open_path(file, path);
}

static bool same_file(const struct mapping *a, const struct mapping *b)
{
    return a->inode == b->inode && a->major == b->major && a->minor == b->minor &&
           !strcmp(a->path, b->path);
}

/* Neighbours of mapping `index` that belong to one load of the file: its first and last. Offsets
 * ascend within it. */
static void extent(const struct maps *maps, size_t index, size_t *first, size_t *last)
{
    for (*first = index; *first > 0 && same_file(&maps->at[*first - 1], &maps->at[index]) &&
                         maps->at[*first - 1].offset <= maps->at[*first].offset;)
        --*first;
    for (*last = index; *last + 1 < maps->count &&
                        same_file(&maps->at[*last + 1], &maps->at[index]) &&
                        maps->at[*last + 1].offset >= maps->at[*last].offset;)
        ++*last;
}

/* Pages mapped twice, once writable, come from the other mapping: those bytes are still the file's.
 */
static void copy_mappings(pid_t pid, const struct mapping *m, size_t count, bool writable,
                          char *image)
{
    for (size_t i = 0; i < count; i++)
        if (m[i].read && m[i].write == writable)
            (void)proc_read_memory(pid, m[i].start, image + m[i].offset, m[i].end - m[i].start);
}

/* What lies behind the mapped pages, the section headers among it, is not there: says so. */
static bool hide_sections(char *image, size_t size)
{
    if (size < sizeof(Elf64_Ehdr) || memcmp(image, ELFMAG, SELFMAG) != 0)
        return false;
    Elf64_Ehdr *header = (Elf64_Ehdr *)image;
    if (header->e_shoff + (uint64_t)header->e_shnum * header->e_shentsize > size)
        header->e_shoff = header->e_shnum = header->e_shstrndx = 0;
    return true;
}

/* Where the file's segments lie that are not mapped from it: our library's data is written into
 * anonymous memory (load_map.c). The end of the last one, in the file. */
static uint64_t end_of_segments(const char *image, uint64_t size)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)image;
    const Elf64_Phdr *segments = (const Elf64_Phdr *)(image + header->e_phoff);
    uint64_t end = size;
    if (size < sizeof *header || header->e_phoff + header->e_phnum * sizeof *segments > size)
        return size;
    for (size_t i = 0; i < header->e_phnum; i++)
        if (segments[i].p_type == PT_LOAD && segments[i].p_offset + segments[i].p_filesz > end)
            end = segments[i].p_offset + segments[i].p_filesz;
    return end;
}

static void copy_segments(pid_t pid, taddr base, uint64_t from, char *image, uint64_t size)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)image;
    const Elf64_Phdr *segments = (const Elf64_Phdr *)(image + header->e_phoff);
    for (size_t i = 0; i < header->e_phnum; i++) {
        const Elf64_Phdr *s = &segments[i];
        if (s->p_type == PT_LOAD && s->p_offset + s->p_filesz > from &&
            s->p_offset + s->p_filesz <= size)
            (void)proc_read_memory(pid, base + s->p_vaddr, image + s->p_offset, s->p_filesz);
    }
}

static bool open_in_memory(pid_t pid, struct file *file, const struct mapping *m, size_t count)
{
    uint64_t mapped = 0;
    for (size_t i = 0; i < count; i++)
        if (m[i].offset + (m[i].end - m[i].start) > mapped)
            mapped = m[i].offset + (m[i].end - m[i].start);
    char *image = mapped <= MOST_FROM_MEMORY ? calloc(1, mapped) : NULL;
    if (!image)
        return false;
    copy_mappings(pid, m, count, true, image);
    copy_mappings(pid, m, count, false, image);
    uint64_t size = memcmp(image, ELFMAG, SELFMAG) ? mapped : end_of_segments(image, mapped);
    char *larger = size > mapped && size <= MOST_FROM_MEMORY ? realloc(image, size) : NULL;
    if (larger) {
        image = larger;
        memset(image + mapped, 0, size - mapped);
        if (m->offset == 0)
            copy_segments(pid, m->start, mapped, image, size);
    }
    size = larger ? size : mapped;
    file->elf = hide_sections(image, size) ? elf_memory(image, size) : NULL;
    file->memory = image;
    return is_ours(file->elf);
}

/* --- where it is mapped --- */

/* The executable segment that file offset `offset` is mapped from. */
static bool text_segment(Elf *elf, uint64_t offset, uint64_t page, GElf_Phdr *out)
{
    size_t count;
    if (elf_getphdrnum(elf, &count))
        return false;
    for (size_t i = 0; i < count && gelf_getphdr(elf, (int)i, out); i++)
        if (out->p_type == PT_LOAD && (out->p_flags & PF_X) && offset >= (out->p_offset & -page) &&
            offset < out->p_offset + out->p_filesz)
            return true;
    return false;
}

static void set_text(struct file *file, const struct mapping *m)
{
    struct object *o = &file->object;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    GElf_Phdr p;
    o->path = file->path;
    o->text_start = m->start;
    o->text_end = o->text_used_end = m->end;
    if (!file->elf || !text_segment(file->elf, m->offset, page, &p))
        return;
    o->bias = m->start - ((p.p_vaddr & -page) + (m->offset - (p.p_offset & -page)));
    taddr used = o->bias + p.p_vaddr + p.p_filesz;
    o->text_used_end = used < m->end ? used : m->end;
}

static void file_free(struct file *file)
{
    symbols_close(file->symbols);
    elf_end(file->elf);
    if (file->fd >= 0)
        close(file->fd);
    free(file->memory);
    free(file->path);
    free(file);
}

static struct file *file_new(const struct mapping *m)
{
    struct file *file = calloc(1, sizeof *file);
    if (!file)
        return NULL;
    file->fd = -1;
    file->vdso = !strcmp(m->path, "[vdso]");
    file->path = strdup(m->path);
    if (file->path)
        return file;
    free(file);
    return NULL;
}

static void file_load(pid_t pid, struct file *file, const struct maps *maps, size_t index)
{
    size_t first, last;
    extent(maps, index, &first, &last);
    if (file->vdso || !open_on_disk(pid, file, &maps->at[index])) {
        if (!open_in_memory(pid, file, &maps->at[first], last - first + 1)) {
            elf_end(file->elf);
            file->elf = NULL;
        }
    }
    set_text(file, &maps->at[index]);
    if (file->elf)
        file->symbols = symbols_open(file->elf, file->object.bias);
}

/* Text that was written to may be several mappings in a row: they are one object's. */
static bool continues(struct objects *objects, const struct maps *maps, size_t index)
{
    const struct mapping *m = &maps->at[index], *before = index ? m - 1 : NULL;
    struct file *file = objects->count ? objects->files[objects->count - 1] : NULL;
    if (!file || !before || before->end != m->start || !before->execute || !same_file(before, m) ||
        before->offset + (before->end - before->start) != m->offset)
        return false;
    taddr start = file->object.text_start;
    struct mapping whole = *m;
    whole.start = start;
    whole.offset = m->offset - (m->start - start);
    set_text(file, &whole);
    return true;
}

static bool is_object(const struct mapping *m)
{
    return m->execute && (m->path[0] == '/' || !strcmp(m->path, "[vdso]"));
}

int objects_open(pid_t pid, const struct maps *maps, struct objects **out, struct failure *f)
{
    elf_version(EV_CURRENT);
    struct objects *objects = calloc(1, sizeof *objects);
    if (objects)
        objects->files = calloc(maps->count + 1, sizeof *objects->files);
    if (!objects || !objects->files) {
        free(objects);
        return fail(f, -ENOMEM, "cannot list the libraries of process %d: out of memory", (int)pid);
    }
    objects->pid = pid;
    for (size_t i = 0; i < maps->count; i++) {
        if (!is_object(&maps->at[i]) || continues(objects, maps, i))
            continue;
        struct file *file = file_new(&maps->at[i]);
        if (!file) {
            objects_free(objects);
            return fail(f, -ENOMEM, "cannot list the libraries of process %d: out of memory",
                        (int)pid);
        }
        file_load(pid, file, maps, i);
        objects->files[objects->count++] = file;
    }
    *out = objects;
    return 0;
}

void objects_free(struct objects *objects)
{
    for (size_t i = 0; objects && i < objects->count; i++)
        file_free(objects->files[i]);
    if (objects)
        free(objects->files);
    free(objects);
}

/* --- look-up --- */

size_t objects_count(const struct objects *objects)
{
    return objects->count;
}

const struct object *objects_at(const struct objects *objects, size_t index)
{
    return &objects->files[index]->object;
}

const struct object *objects_named(const struct objects *objects, const char *prefix)
{
    for (size_t i = 0; i < objects->count; i++) {
        const char *slash = strrchr(objects->files[i]->path, '/');
        if (slash && !strncmp(slash + 1, prefix, strlen(prefix)))
            return objects_at(objects, i);
    }
    return NULL;
}

/* musl is one file under two names; which one is mapped depends on who loaded it. */
const struct object *objects_libc(const struct objects *objects)
{
    static const char *const names[] = {"libc.so.6", "libc-2.", "ld-musl-", "libc.so"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct object *libc = objects_named(objects, names[i]);
        if (libc)
            return libc;
    }
    return NULL;
}

const struct object *objects_holding(const struct objects *objects, taddr address)
{
    for (size_t i = 0; i < objects->count; i++) {
        const struct object *o = objects_at(objects, i);
        if (address >= o->text_start && address < o->text_end)
            return o;
    }
    return NULL;
}

static struct file *file_of(const struct objects *objects, const struct object *object)
{
    for (size_t i = 0; i < objects->count; i++)
        if (objects_at(objects, i) == object)
            return objects->files[i];
    return NULL;
}

static struct symbols *symbols_of(const struct objects *objects, const struct object *object)
{
    struct file *file = file_of(objects, object);
    return file ? file->symbols : NULL;
}

bool object_function_exported(const struct objects *objects, const struct object *object,
                              const char *name, struct object_function *out)
{
    struct symbols *symbols = symbols_of(objects, object);
    return symbols && symbols_find_exported(symbols, name, out);
}

bool object_symbol(const struct objects *objects, const struct object *object, const char *name,
                   taddr *address)
{
    struct symbols *symbols = symbols_of(objects, object);
    struct object_function found;
    if (!symbols || !symbols_find(symbols, name, &found))
        return false;
    *address = found.address;
    return true;
}

/* How many functions begin at or below `address`. */
static size_t functions_up_to(const struct object_function *f, size_t count, taddr address)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (f[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool object_function_at(const struct objects *objects, const struct object *object, taddr address,
                        struct object_function *out)
{
    struct symbols *symbols = symbols_of(objects, object);
    size_t count;
    const struct object_function *f = symbols ? symbols_functions(symbols, &count) : NULL;
    if (!f)
        return false;
    size_t i = functions_up_to(f, count, address);
    while (i > 0 && address - f[i - 1].address >= f[i - 1].size) {
        if (address - f[i - 1].address > (1 << 20)) /* no function reaches that far */
            return false;
        i--;
    }
    if (!i)
        return false;
    while (i > 1 && f[i - 2].address == f[i - 1].address && f[i - 2].size == f[i - 1].size)
        i--;
    *out = f[i - 1];
    return true;
}

int object_functions(const struct objects *objects, const struct object *object,
                     int (*each)(void *context, const struct object_function *function),
                     void *context)
{
    struct symbols *symbols = symbols_of(objects, object);
    size_t count = 0;
    const struct object_function *f = symbols ? symbols_functions(symbols, &count) : NULL;
    int result = 0;
    for (size_t i = 0; i < count && !result; i++)
        result = each(context, &f[i]);
    return result;
}

void *object_elf(const struct objects *objects, const struct object *object)
{
    struct file *file = file_of(objects, object);
    return file ? file->elf : NULL;
}

/* A segment that does not begin on a page is mapped from the page's beginning. */
const uint8_t *object_bytes(const struct objects *objects, const struct object *object,
                            taddr address, size_t size)
{
    Elf *elf = object_elf(objects, object);
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    size_t count, file_size;
    const char *bytes = elf ? elf_rawfile(elf, &file_size) : NULL;
    GElf_Phdr p;
    if (!bytes || elf_getphdrnum(elf, &count))
        return NULL;
    for (size_t i = 0; i < count && gelf_getphdr(elf, (int)i, &p); i++) {
        uint64_t start = p.p_vaddr & -page, skip = address - object->bias - start;
        uint64_t at = (p.p_offset & -page) + skip, end = p.p_offset + p.p_filesz;
        if (p.p_type == PT_LOAD && address - object->bias >= start && at < end &&
            size <= end - at && end <= file_size)
            return (const uint8_t *)bytes + at;
    }
    return NULL;
}

int object_text(const struct objects *objects, const struct object *object, taddr address, void *to,
                size_t size)
{
    const uint8_t *bytes = object_bytes(objects, object, address, size);
    if (!bytes)
        return -EFAULT;
    memcpy(to, bytes, size);
    return 0;
}
