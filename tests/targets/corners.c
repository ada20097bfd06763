/*
 * corners.c - memory, and a timer, of the kinds that are easily lost.
 *
 * `corners KIND`: set up, then checked at the end. MADV_GUARD_INSTALL on a file mapping
 * needs Linux 6.15, "guards" ends with 77 without.
 */
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "tests/targets/target.h"

#define PAGE          4096
#define PAGES         16
#define GUARD         5
#define INSTALL_GUARD 102
#define MANY          45000
#define LARGE         (512L << 20)

static unsigned char *get(size_t size, int protection, int flags, int fd)
{
    unsigned char *at = mmap(NULL, size, protection, flags, fd, 0);

    if (at == MAP_FAILED)
        cannot("mmap");
    return at;
}

static unsigned char *anonymous(size_t size, int protection)
{
    return get(size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
}

static void wait_for_the_end(void)
{
    ready();
    while (!stop_asked())
        rest(5);
}

/* A private file mapping, its second half written to, a guard page in the first. */
static unsigned char *guarded(const char *name)
{
    unsigned char page[PAGE], *at;
    int fd = open(name, O_CREAT | O_TRUNC | O_RDWR, 0600);

    for (int i = 0; i < PAGES; i++)
        if (memset(page, 'a' + i, PAGE), write(fd, page, PAGE) != PAGE)
            cannot(name);
    at = get((size_t)PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
    close(fd);
    for (int i = PAGES / 2; i < PAGES; i++)
        at[(size_t)i * PAGE] = 'X';
    if (madvise(at + (size_t)GUARD * PAGE, PAGE, INSTALL_GUARD))
        exit(77);
    return at;
}

static void check_guarded(const unsigned char *at, const char *what)
{
    for (int i = 0; i < PAGES; i++) {
        const unsigned char *page = at + (size_t)i * PAGE;

        if (i != GUARD)
            CHECK(page[0] == (i < PAGES / 2 ? 'a' + i : 'X') && page[1] == 'a' + i,
                  "page %d of %s: %02x %02x", i, what, page[0], page[1]);
    }
    CHECK(access((const char *)at + (size_t)GUARD * PAGE, F_OK) == -1 && errno == EFAULT,
          "the guard page of %s is gone", what);
}

static void guards(void)
{
    unsigned char *there = guarded("there"), *gone = guarded("gone");

    unlink("gone");
    wait_for_the_end();
    check_guarded(there, "a file");
    check_guarded(gone, "a deleted file");
}

/* mlockall() locks PROT_NONE as well, which mlock() would complain about. */
static void locked(void)
{
    unsigned char *at = anonymous(3 * PAGE, PROT_NONE);

    if (mlockall(MCL_CURRENT))
        cannot("mlockall");
    wait_for_the_end();
    CHECK(msync(at, PAGE, MS_INVALIDATE) == -1 && errno == EBUSY, "PROT_NONE is not locked");
    CHECK(msync((void *)((uintptr_t)&differences & -PAGE), PAGE, MS_INVALIDATE) == -1,
          "data is not locked");
}

/* Holes between them, and no two neighbours alike. */
static void many(void)
{
    unsigned char *at = anonymous(2L * MANY * PAGE, PROT_NONE);

    for (long i = 0; i < MANY; i++) {
        unsigned char *page = at + 2 * i * PAGE;

        if (munmap(page + PAGE, PAGE) || mprotect(page, PAGE, PROT_READ | PROT_WRITE))
            cannot("mprotect");
        *(long *)page = i;
        if (i % 2)
            mprotect(page, PAGE, PROT_READ);
    }
    wait_for_the_end();
    for (long i = 0; i < MANY; i++)
        CHECK(*(long *)(at + 2 * i * PAGE) == i, "mapping %ld", i);
}

static int recurse(int depth)
{
    volatile char frame[PAGE];

    frame[0] = (char)depth;
    return depth ? recurse(depth - 1) + frame[0] : 0;
}

/* Memory that is asked for afterwards must leave the stack its room. */
static void stack(void)
{
    wait_for_the_end();
    for (int i = 0; i < 40; i++)
        anonymous(1 << 30, PROT_READ | PROT_WRITE);
    recurse(1900);
}

static volatile sig_atomic_t alarms;

static void count_alarm(int signal)
{
    (void)signal;
    alarms++;
}

/* An interval so short that its signal is pending while a checkpoint is taken. */
static void interval(void)
{
    const struct itimerval every = {{0, 2000}, {0, 2000}};

    signal(SIGALRM, count_alarm);
    if (setitimer(ITIMER_REAL, &every, NULL))
        cannot("setitimer");
    wait_for_the_end();
    alarms = 0;
    for (double end = seconds_now() + 10; alarms < 20 && seconds_now() < end;)
        rest(1);
    CHECK(alarms >= 20, "%d alarms in 10 s", (int)alarms);
}

/* So much that writing it takes its time. */
static void large(void)
{
    unsigned char *at = anonymous(LARGE, PROT_READ | PROT_WRITE);

    for (long i = 0; i < LARGE; i += PAGE)
        *(long *)(at + i) = i + 1;
    wait_for_the_end();
    for (long i = 0; i < LARGE; i += PAGE)
        CHECK(*(long *)(at + i) == i + 1, "page at %ld", i);
}

/* A file that is written to through memory. */
static void shared(const char *name)
{
    int fd = open(name, O_CREAT | O_TRUNC | O_RDWR, 0600), own = 0;
    volatile int *at;

    if (fd < 0 || ftruncate(fd, PAGE))
        cannot(name);
    at = (volatile int *)get(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    close(fd);
    for (ready(); !stop_asked(); rest(1))
        own++, (*at)++;
    CHECK(*at == own, "memory has counted %d, the file %d", own, *at);
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";

    if (!strcmp(kind, "guards"))
        guards();
    else if (!strcmp(kind, "locked"))
        locked();
    else if (!strcmp(kind, "many"))
        many();
    else if (!strcmp(kind, "stack"))
        stack();
    else if (!strcmp(kind, "interval"))
        interval();
    else if (!strcmp(kind, "large"))
        large();
    else if (!strcmp(kind, "shared") && argc > 2)
        shared(argv[2]);
    else
        return 2;
    return finish();
}
