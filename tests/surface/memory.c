/* memory.c - mappings, of files above all: what is mapped is read from home when it is mapped. */
#include "surface.h"

#define PAGE 4096

static void show_mapping(const char *what, const char *at, size_t size)
{
    show_bytes(what, at, size);
}

static void files(void)
{
    fill(big, 3 * PAGE, 21);
    int fd = make_file("file", big, 2 * PAGE + 100), reader = open("file", O_RDONLY),
        writer = open("file", O_WRONLY), directory = open(".", O_RDONLY);
    char *at = (char *)SOME(mmap, NULL, 3 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    show_mapping("whole", at, 3 * PAGE);
    char *part =
        (char *)SOME(mmap, NULL, PAGE + 200, PROT_READ | PROT_WRITE, MAP_PRIVATE, reader, PAGE);
    show_mapping("part", part, PAGE + 200);
    part[0] = 'x';
    pread(fd, other, 1, PAGE);
    show("    private %d", other[0] == big[PAGE]);
    char *shared = (char *)SOME(mmap, NULL, PAGE, PROT_READ, MAP_SHARED, reader, 0);
    show_mapping("shared", shared, 64);
    CALL(mprotect, shared, PAGE, PROT_READ | PROT_WRITE);
    CALL(mprotect, shared, 0, PROT_READ | PROT_WRITE);
    CALL(mprotect, shared + 1, PAGE, PROT_READ | PROT_WRITE);
    CALL(pkey_mprotect, shared, 100, PROT_READ | PROT_WRITE, -1);
    CALL(madvise, shared, PAGE, MADV_DONTNEED);
    show_mapping("shared", shared, 64);
    memset(other, 0, PAGE);
    show("    fixed %d",
         SOME(mmap, at, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, PAGE) == (long)at);
    show_mapping("replaced", at, 2 * PAGE);
    CALL(mmap, at, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0);
    CALL(mmap, at + 1, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
    CALL(mmap, NULL, 0, PROT_READ, MAP_PRIVATE, fd, 0);
    CALL(mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 5);
    CALL(mmap, NULL, PAGE, PROT_READ, 0, fd, 0);
    CALL(mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, -1, 0);
    CALL(mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, directory, 0);
    CALL(mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, writer, 0);
    CALL(mmap, NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, reader, 0);
    CALL(munmap, at, 3 * PAGE);
    CALL(munmap, at + 1, PAGE);
    CALL(munmap, part, 0);
    CALL(msync, shared, PAGE, MS_SYNC);
    CALL(msync, shared, PAGE, 99);
    CALL(msync, at, PAGE, MS_SYNC);
    SOME(mremap, part, 2 * PAGE, PAGE, 0);
    CALL(mremap, part + 1, PAGE, PAGE, 0);
    part = (char *)SOME(mremap, part, PAGE, 4 * PAGE, MREMAP_MAYMOVE);
}

static void anonymous(void)
{
    char *at = (char *)SOME(mmap, NULL, 4 * PAGE, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char in_core[4] = {9, 9, 9, 9};
    at[0] = at[PAGE] = 1;
    CALL(mprotect, at, PAGE, PROT_READ);
    CALL(mprotect, at + 1, PAGE, PROT_READ);
    CALL(read, 0, at, 1);
    CALL(mincore, at, 4 * PAGE, in_core);
    show("    %d %d", in_core[0] & 1, in_core[3] & 1);
    CALL(mincore, at, 4 * PAGE, BAD);
    CALL(madvise, at, PAGE, MADV_DONTNEED);
    CALL(madvise, at, PAGE, 999);
    show("    %d %d", at[0], at[PAGE]);
    CALL(mlock, at, PAGE);
    CALL(munlock, at, PAGE);
    CALL(mlock2, at, PAGE, 1);
    CALL(mlock2, at, PAGE, 99);
    CALL(munlock, at, PAGE);
    CALL(mlockall, 99);
    CALL(munlockall);
    SOME(brk, 0);
    CALL(mbind, at, PAGE, 99, NULL, 0, 0);
    CALL(mbind, at, PAGE, 0, NULL, 0, 0);
    CALL(set_mempolicy, 0, NULL, 0);
    CALL(set_mempolicy, 99, NULL, 0);
    CALL(get_mempolicy, other, NULL, 0, NULL, 0);
    CALL(set_mempolicy_home_node, at, PAGE, 0, 0);
    CALL(set_mempolicy_home_node, at + 1, PAGE, 0, 0);
    CALL(migrate_pages, 0, 1 << 30, NULL, NULL);
    CALL(move_pages, 0, 0, NULL, NULL, NULL, 0);
    CALL(pkey_alloc, 1, 0);
    CALL(pkey_free, 99);
    CALL(pkey_mprotect, at, PAGE, PROT_READ, -1);
    CALL(pkey_mprotect, at, PAGE, PROT_READ, 99);
    CALL(map_shadow_stack, 0, PAGE, 99);
    CALL(remap_file_pages, at, PAGE, 0, 0, 0);
    CALL(shmdt, at);
    CALL(mseal, at + 1, PAGE, 0);
    CALL(mseal, at, PAGE, 0);
    CALL(munmap, at, PAGE);
}

const struct surface_case memory_cases[] = {
    {"mappings of files", files},
    {"memory", anonymous},
    {NULL, NULL},
};
