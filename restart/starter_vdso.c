/*
 * starter_vdso.c - the kernel's vdso, whose functions read clocks without a system call, and the
 * pages that it reads (vvar).
 *
 * The program has addresses of it in its memory. Where this kernel's is the same byte by byte, it
 * is moved to where the image had it. Where it is another one (another kernel, another
 * configuration), the image's copy stays in its place as ordinary memory, above pages of zeros for
 * vvar: each exported function begins with a system call that does the same, slower. A program that
 * was stopped within the old code is refused: it would read zeros there. (In a frame that a handler
 * of its own interrupted, it finds a clock of no known kind, and makes the system call.) The
 * bridged program has no vdso any more: its next image needs none.
 */
#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "restart/starter.h"

#define SPECIALS 7
#define FAULT    "HIJACK_FAULT_VDSO" /* tests: this kernel has another one */

/* A mapping of the kernel's own in this process. */
struct special {
    char name[32];
    uint64_t start, end;
};

static size_t read_specials(struct special *specials, size_t max)
{
    FILE *f = fopen("/proc/self/maps", "re");
    char line[PATH_MAX + 128];
    size_t count = 0;
    while (f && count < max && fgets(line, sizeof line, f)) {
        struct special *s = &specials[count];
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %31s", &start, &end, s->name) == 3 &&
            (strncmp(s->name, "[vvar", 5) == 0 || strcmp(s->name, "[vdso]") == 0)) {
            s->start = start, s->end = end;
            count++;
        }
    }
    if (f)
        fclose(f);
    return count;
}

/* --- the same --- */

/* The vdso's code must be the same byte by byte: the program may be stopped within, and keeps
 * addresses in it. */
static bool fits(const struct image *image, size_t index, const struct special *s)
{
    const struct image_map *m = &image->maps[index];
    size_t size = m->end - m->start;
    if (s->end - s->start != size || strcmp(s->name, image_string(image, m->name)) != 0)
        return false;
    return !m->runs || memcmp((void *)s->start, (void *)image->place[index], size) == 0;
}

static const struct special *find(const struct image *image, size_t index,
                                  const struct special *specials, size_t count)
{
    for (size_t s = 0; s < count; s++)
        if (fits(image, index, &specials[s]))
            return &specials[s];
    return NULL;
}

static bool is_same(const struct image *image)
{
    struct special specials[SPECIALS];
    size_t count = read_specials(specials, SPECIALS), used = 0;
    for (size_t i = 0; i < image->map_count; i++)
        if (image->maps[i].kind == IMAGE_VDSO &&
            (!find(image, i, specials, count) || ++used > SPECIALS))
            return false;
    return !used || !getenv(FAULT);
}

/* Each special mapping of the image gets ours of that name, by way of a temporary place: places may
 * overlap. The image's copy is not needed any more and not kept. */
int vdso_plan(struct image *image, struct restart_plan *plan)
{
    struct special specials[SPECIALS];
    size_t count = read_specials(specials, SPECIALS), used = 0;
    for (size_t i = 0; i < image->map_count && !image->bridged; i++) {
        size_t size = image->maps[i].end - image->maps[i].start;
        if (image->maps[i].kind != IMAGE_VDSO)
            continue;
        const struct special *s = find(image, i, specials, count);
        void *at = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (!s || at == MAP_FAILED)
            return image_fail(image, -errno, "no address for the vdso: %s", strerror(errno));
        image->place[i] = (uintptr_t)at;
        plan->vdso[used++] = (struct restart_move){s->start, (uintptr_t)at, size};
    }
    return 0;
}

/* --- another --- */

static int other_kernel(struct image *image, const char *why)
{
    return image_fail(image, -ENOTSUP,
                      "the image '%s' was made under the kernel %.127s, whose vdso this kernel has "
                      "not, and it cannot be replaced: %s; boot that kernel",
                      image->path, image->header.kernel, why);
}

/* The image's vdso, an ELF file in memory whose dynamic section lies in the only PT_LOAD. */
struct vdso {
    unsigned char *bytes;
    size_t size;
    const Elf64_Sym *symbols;
    const char *strings;
    size_t count, strings_size;
};

/* `size` bytes at the vdso's own address `offset`, NULL when they do not lie within. */
static const void *within(const struct vdso *v, uint64_t offset, uint64_t size)
{
    return offset <= v->size && size <= v->size - offset ? v->bytes + offset : NULL;
}

static const Elf64_Shdr *section(const struct vdso *v, uint32_t index)
{
    const Elf64_Ehdr *e = within(v, 0, sizeof *e);
    const Elf64_Shdr *s = e && index < e->e_shnum && e->e_shentsize == sizeof *s
                              ? within(v, e->e_shoff, e->e_shnum * sizeof *s)
                              : NULL;
    return s ? &s[index] : NULL;
}

static bool find_symbols(struct vdso *v)
{
    const Elf64_Shdr *table, *strings;
    for (uint32_t i = 0; (table = section(v, i)) && table->sh_type != SHT_DYNSYM; i++)
        ;
    if (!table || !(strings = section(v, table->sh_link)))
        return false;
    v->symbols = within(v, table->sh_offset, table->sh_size);
    v->strings = within(v, strings->sh_offset, strings->sh_size);
    v->count = table->sh_size / sizeof *v->symbols;
    v->strings_size = strings->sh_size;
    return v->symbols && v->strings && v->strings_size && !v->strings[v->strings_size - 1];
}

/* Writes the system call over one function; -1 when there is none like it. */
static int replace_one(const struct vdso *v, const Elf64_Sym *s, const char **name)
{
    unsigned char code[VDSO_CODE_MAX];
    if (ELF64_ST_TYPE(s->st_info) != STT_FUNC || s->st_shndx == SHN_UNDEF ||
        s->st_name >= v->strings_size)
        return 0;
    *name = v->strings + s->st_name;
    int length = vdso_arch_code(*name, s->st_size, code);
    void *at = length > 0 ? (void *)(uintptr_t)within(v, s->st_value, (uint64_t)length) : NULL;
    if (at)
        memcpy(at, code, (size_t)length);
    return at || length == 0 ? 0 : -1;
}

static int replace(struct image *image, const struct vdso *v)
{
    char why[256];
    const char *name = "";
    for (size_t i = 0; i < v->count; i++)
        if (replace_one(v, &v->symbols[i], &name)) {
            snprintf(why, sizeof why, "there is no system call for its function %.128s", name);
            return other_kernel(image, why);
        }
    return 0;
}

static bool stopped_within(const struct image *image, const struct image_map *m)
{
    for (size_t i = 0; i < image->thread_count; i++) {
        const void *frame = memory_at(image, image->threads[i].frame);
        uint64_t counter = frame ? vdso_arch_counter(frame) : 0;
        if (counter >= m->start && counter < m->end)
            return true;
    }
    return false;
}

static int bridge(struct image *image, size_t index)
{
    const struct image_map *m = &image->maps[index];
    struct vdso v = {.bytes = (void *)image->place[index], .size = m->end - m->start};
    if (stopped_within(image, m))
        return other_kernel(image, "the program was stopped within; take another image");
    if (!find_symbols(&v))
        return other_kernel(image, "it has no table of symbols");
    if (mprotect(v.bytes, v.size, PROT_READ | PROT_WRITE))
        return image_fail(image, -errno, "cannot replace the vdso: %s", strerror(errno));
    int result = replace(image, &v);
    if (!result && mprotect(v.bytes, v.size, (int)m->prot))
        result = image_fail(image, -errno, "cannot make the vdso's replacement executable: %s",
                            strerror(errno));
    return result;
}

int vdso_check(struct image *image)
{
    int result = 0;
    image->bridged = !is_same(image);
    for (size_t i = 0; i < image->map_count && image->bridged && !result; i++)
        if (image->maps[i].kind == IMAGE_VDSO && image->maps[i].runs)
            result = bridge(image, i);
    return result;
}
