/*
 * portable.c DIRECTORY - mappings of a file that will not be there after the restart.
 *
 * Each page of the file begins with its number. Before the checkpoint only a few pages are touched;
 * afterwards all must be as the file had them, even when they are given back with MADV_DONTNEED,
 * and beyond its end there is still SIGBUS. Functions of libc that were never called before are
 * called then: their text must have come along.
 *
 * portable DIRECTORY write: one of the mappings is shared and can be written to.
 */
#include <fcntl.h>
#include <regex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <wchar.h>

#include "tests/targets/target.h"

#define PAGE  4096
#define PAGES 40 /* of the file; the last one is not whole */

static sigjmp_buf back;

static int make_file(const char *directory)
{
    static uint32_t page[PAGE / 4];
    char name[4096];
    snprintf(name, sizeof name, "%s/mapped", directory);
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (uint32_t n = 0; n < PAGES; n++) {
        page[0] = n + 1;
        if (write(fd, page, n < PAGES - 1 ? PAGE : 100) < 0)
            cannot("write");
    }
    close(fd);
    fd = open(name, O_RDONLY);
    if (fd < 0)
        cannot(name);
    return fd;
}

static char *map(int fd, int prot, int flags, long from)
{
    char *at = mmap(NULL, (PAGES + 4) * PAGE, prot, flags, fd, from * PAGE);
    if (at == MAP_FAILED)
        cannot("mmap");
    return at;
}

/* The numbers of the pages, from page `from` of the file on. */
static void check(const char *what, const char *at, uint32_t from)
{
    for (uint32_t n = from; n < PAGES; n++)
        CHECK(*(const uint32_t *)(at + (n - from) * PAGE) == n + 1, "%s: page %u holds %u", what, n,
              *(const uint32_t *)(at + (n - from) * PAGE));
}

static void on_bus(int signal)
{
    (void)signal;
    siglongjmp(back, 1);
}

static void check_beyond(const char *what, volatile const char *at)
{
    signal(SIGBUS, on_bus);
    if (sigsetjmp(back, 1) == 0) {
        (void)at[PAGES * PAGE];
        differs("%s: there is something beyond the end", what);
    }
    signal(SIGBUS, SIG_DFL);
}

static int compare(const void *a, const void *b)
{
    return *(const char *)a - *(const char *)b;
}

static void check_library(void)
{
    char letters[] = "portable";
    wchar_t wide[16];
    regex_t expression;
    qsort(letters, sizeof letters - 1, 1, compare);
    CHECK(!strcmp(letters, "abeloprt"), "qsort: %s", letters);
    CHECK(mbstowcs(wide, "wide", 16) == 4 && wcscmp(wide, L"wide") == 0, "mbstowcs");
    CHECK(regcomp(&expression, "^a+(b|c)$", REG_EXTENDED) == 0 &&
              regexec(&expression, "aac", 0, NULL, 0) == 0,
          "regcomp");
    regfree(&expression);
}

int main(int argc, char **argv)
{
    int fd = make_file(argv[1]);
    char *untouched = map(fd, PROT_READ, MAP_PRIVATE, 0);
    char *written = map(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
    char *later = map(fd, PROT_READ, MAP_PRIVATE, 8);
    char *closed = map(fd, PROT_NONE, MAP_PRIVATE, 0);
    char *shared = map(fd, PROT_READ, MAP_SHARED, 0);
    if (argc > 2) {
        char name[64];
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        int again = open(name, O_RDWR);
        map(again, PROT_READ, MAP_SHARED, 0); /* mprotect() could make it writable */
        close(again);
    }
    close(fd);
    written[3 * PAGE + 5] = 'x';
    check("later", later, 8);
    ready();
    while (!stop_asked())
        rest(5);
    check("untouched", untouched, 0);
    check("written", written, 0);
    check("later", later, 8);
    check("shared", shared, 0);
    CHECK(written[3 * PAGE + 5] == 'x' && !untouched[3 * PAGE + 5],
          "what was written is not there");
    check_beyond("untouched", untouched);
    check_beyond("shared", shared);
    mprotect(closed, PAGES * PAGE, PROT_READ);
    check("closed", closed, 0);
    madvise(later, 8 * PAGE, MADV_DONTNEED);
    madvise(untouched, PAGES * PAGE, MADV_DONTNEED);
    check("later, given back", later, 8);
    check("untouched, given back", untouched, 0);
    check_library();
    return finish();
}
