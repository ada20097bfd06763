/*
 * load_map.c - the loader that maps the library itself (load.h).
 *
 * Order, so that a mutator killed anywhere leaves something that works or can be undone: the file
 * is mapped over the whole span first, which reserves it and marks it as ours by its name; then the
 * segments; the writable one is written complete, relocated and with the record in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/arch.h"
#include "driver/load.h"

#define PAGE         4096ULL
#define PAGE_DOWN(x) ((x) & ~(PAGE - 1))
#define PAGE_UP(x)   PAGE_DOWN((x) + PAGE - 1)
#define MAX_SEGMENTS 12

/* The library's file. */
struct file {
    int fd;
    Elf *elf;
    size_t count;
    GElf_Phdr segments[MAX_SEGMENTS]; /* PT_LOAD */
    uint64_t span;                    /* bytes of address space */
};

static void file_close(struct file *file)
{
    elf_end(file->elf);
    close(file->fd);
}

static int file_open(struct file *file, const char *path, struct failure *f)
{
    memset(file, 0, sizeof *file);
    elf_version(EV_CURRENT);
    file->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (file->fd < 0)
        return fail_errno(f, -errno, "cannot open \"%s\"", path);
    file->elf = elf_begin(file->fd, ELF_C_READ, NULL);
    size_t headers = 0;
    GElf_Phdr header;
    elf_getphdrnum(file->elf, &headers);
    for (size_t i = 0; i < headers && file->count < MAX_SEGMENTS; i++)
        if (gelf_getphdr(file->elf, (int)i, &header) && header.p_type == PT_LOAD) {
            file->segments[file->count++] = header;
            file->span = PAGE_UP(header.p_vaddr + header.p_memsz);
        }
    if (file->count)
        return 0;
    file_close(file);
    return fail(f, -ENOEXEC, "\"%s\" is no shared object: install gdb-hijack again", path);
}

/* --- system calls in the target --- */

/* Of the file that the first call of the list has opened; of nothing when `flags` say so. */
static struct server_syscall map(taddr address, uint64_t size, int protection, int flags,
                                 uint64_t offset)
{
    return (struct server_syscall){
        .number = SYS_mmap,
        .arguments = {address, size, (uint64_t)protection, (uint64_t)flags, (uint64_t)-1, offset},
        .kept = flags & MAP_ANONYMOUS ? RESULT_UNUSED : RESULT_IS_FIFTH};
}

/* --- the writable segment --- */

/* Adds the base to each word that a relocation names; all of them are against the base. */
static int relocate(const struct file *file, const GElf_Phdr *segment, unsigned char *bytes,
                    taddr base, struct failure *f)
{
    Elf_Scn *section = NULL;
    while ((section = elf_nextscn(file->elf, section))) {
        GElf_Shdr header;
        GElf_Rela rela;
        if (!gelf_getshdr(section, &header) || header.sh_type != SHT_RELA)
            continue;
        for (int i = 0; gelf_getrela(elf_getdata(section, NULL), i, &rela); i++) {
            uint64_t at = rela.r_offset - segment->p_vaddr, value = base + (uint64_t)rela.r_addend;
            if (GELF_R_TYPE(rela.r_info) != arch.relative_relocation ||
                at + sizeof value > segment->p_filesz)
                return fail(f, -ENOEXEC,
                            LOAD_LIBRARY " has a relocation that this gdb-hijack does not know");
            memcpy(bytes + at, &value, sizeof value);
        }
    }
    return 0;
}

/* Where the record lies in the segment, by the dynamic symbol table. */
static int64_t record_offset(const struct file *file, const GElf_Phdr *segment)
{
    Elf_Scn *section = NULL;
    while ((section = elf_nextscn(file->elf, section))) {
        GElf_Shdr header;
        GElf_Sym symbol;
        if (!gelf_getshdr(section, &header) || header.sh_type != SHT_DYNSYM)
            continue;
        for (int i = 0; gelf_getsym(elf_getdata(section, NULL), i, &symbol); i++) {
            const char *name = elf_strptr(file->elf, header.sh_link, symbol.st_name);
            if (name && strcmp(name, "hijack_record") == 0)
                return (int64_t)(symbol.st_value - segment->p_vaddr);
        }
    }
    return -1;
}

static int write_data(struct target *target, const struct file *file, const GElf_Phdr *segment,
                      taddr base, struct hijack_record *record, struct failure *f)
{
    unsigned char *bytes = malloc(segment->p_filesz);
    if (!bytes)
        return fail_errno(f, -ENOMEM, "cannot read " LOAD_LIBRARY);
    int64_t at = record_offset(file, segment);
    int code = 0;
    if (pread(file->fd, bytes, segment->p_filesz, (off_t)segment->p_offset) !=
            (ssize_t)segment->p_filesz ||
        at < 0 || (uint64_t)at + sizeof *record > segment->p_filesz)
        code =
            fail(f, -ENOEXEC, LOAD_LIBRARY " is not this gdb-hijack's: install gdb-hijack again");
    if (code == 0)
        code = relocate(file, segment, bytes, base, f);
    if (code == 0) {
        memcpy(record, bytes + at, sizeof *record);
        record->library = base;
        record->library_size = file->span;
        memcpy(bytes + at, record, sizeof *record);
        code =
            inferior_write(target->inferior, base + segment->p_vaddr, bytes, segment->p_filesz, f);
    }
    free(bytes);
    return code;
}

/* --- segments --- */

static int protection_of(const GElf_Phdr *segment)
{
    return (segment->p_flags & PF_R ? PROT_READ : 0) | (segment->p_flags & PF_W ? PROT_WRITE : 0) |
           (segment->p_flags & PF_X ? PROT_EXEC : 0);
}

/* The data segment is anonymous memory, written from outside. */
static struct server_syscall map_segment(const GElf_Phdr *segment, taddr base)
{
    taddr start = base + PAGE_DOWN(segment->p_vaddr);
    uint64_t size = base + PAGE_UP(segment->p_vaddr + segment->p_memsz) - start;
    if (segment->p_flags & PF_W)
        return map(start, size, protection_of(segment), MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0);
    return map(start, size, protection_of(segment), MAP_PRIVATE | MAP_FIXED,
               PAGE_DOWN(segment->p_offset));
}

static int explain_map(const struct target *target, const char *library,
                       const struct server_syscall *calls, size_t count, struct failure *f)
{
    int pid = (int)target->info.pid;
    if (calls[0].result < 0)
        return fail_errno(f, (int)calls[0].result, "process %d cannot open \"%s\"", pid, library);
    for (size_t i = 1; i < count; i++)
        if (calls[i].result < 0 && calls[i].result > -4096)
            return fail_errno(f, (int)calls[i].result, "process %d cannot map " LOAD_LIBRARY, pid);
    return 0;
}

/* Opens the library, maps everything and closes the descriptor in one go, so that none is left open
 * in a target whose mutator is killed. */
static int map_file(struct target *target, const struct file *file, const char *library, taddr base,
                    struct failure *f)
{
    struct server_syscall calls[MAX_SEGMENTS + 3];
    size_t count = 0;
    taddr path;
    int code = target_string(target, library, &path, f);
    calls[count++] =
        (struct server_syscall){.number = SYS_openat,
                                .arguments = {(uint64_t)AT_FDCWD, path, O_RDONLY | O_CLOEXEC},
                                .kept = RESULT_IS_KEPT};
    calls[count++] =
        map(base, file->span, PROT_READ | PROT_EXEC, /* not as one who reads it has it */
            MAP_PRIVATE | MAP_FIXED_NOREPLACE, 0);
    for (size_t i = 0; i < file->count; i++)
        calls[count++] = map_segment(&file->segments[i], base);
    calls[count++] = (struct server_syscall){.number = SYS_close, .kept = RESULT_IS_FIRST};
    if (code == 0)
        code = target_syscalls(target, calls, count, f);
    return code < 0 ? code : explain_map(target, library, calls, count, f);
}

static int write_segments(struct target *target, const struct file *file, taddr base,
                          struct hijack_record *record, struct failure *f)
{
    int code = 0;
    for (size_t i = 0; code == 0 && i < file->count; i++)
        if (file->segments[i].p_flags & PF_W)
            code = write_data(target, file, &file->segments[i], base, record, f);
    return code;
}

static int load(struct target *target, const char *library, struct hijack_record *record,
                struct failure *f)
{
    struct file file;
    taddr base;
    int code = file_open(&file, library, f);
    if (code < 0)
        return code;
    code = target_look_again(target, f); /* the scratch memory is in the way */
    if (code == 0 &&
        !maps_gap(&target->maps, target->server.code, file.span, UINT64_MAX / 4, &base))
        code = fail_errno(f, -ENOMEM, "process %d has no address space for " LOAD_LIBRARY,
                          (int)target->info.pid);
    if (code == 0)
        code = map_file(target, &file, library, base, f);
    if (code == 0)
        code = write_segments(target, &file, base, record, f);
    file_close(&file);
    return code;
}

/* --- away with it --- */

/* A descriptor of the library's file is ours, from a load that was cut short. */
static int find_descriptor(void *context, int fd, const char *target)
{
    int *found = context;
    *found = load_is_library(target) ? fd : -1;
    return *found >= 0;
}

int load_close_left_open(struct target *target, struct failure *f)
{
    int fd = -1;
    int64_t ignored;
    if (proc_descriptors(target->info.pid, find_descriptor, &fd) <= 0)
        return 0;
    return target_syscall(target, &ignored, f, SYS_close, (uint64_t[6]){(uint64_t)fd});
}

/* Bytes of address space that the mapped library takes, by its file. */
static uint64_t span_of(const struct target *target, taddr base)
{
    const struct mapping *mapping = maps_find(&target->maps, base);
    struct failure ignored;
    struct file file;
    if (!mapping || file_open(&file, mapping->path, &ignored) < 0)
        return 0;
    file_close(&file);
    return file.span;
}

/* The whole span, whatever of it is there: a record without its size is of a load that was cut
 * short, and may have left the file open. */
static int unload(struct target *target, const struct hijack_record *record, struct failure *f)
{
    uint64_t size = record->library_size ? record->library_size : span_of(target, record->library);
    int64_t result = 0;
    int code = record->library_size ? 0 : load_close_left_open(target, f);
    if (code == 0 && size)
        code = target_syscall(target, &result, f, SYS_munmap, (uint64_t[6]){record->library, size});
    return code == 0 && result < 0 ? fail_errno(f, (int)result, "cannot unmap " LOAD_LIBRARY)
                                   : code;
}

const struct loader loader_map = {"map", SAFEPOINT_FOR_SERVER, load, unload};
