/*
 * quick.c - small writes one after the other to quick.buf, interrupted all the time by a handler
 * that writes to it, too, and now and then leaves by longjmp. Each record must be there whole, in
 * its order, once; one that a longjmp has left, once at most. And a pointer to memory that is no
 * more is EFAULT, however often it was good before.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "tests/targets/target.h"

#define RECORD 16 /* "m00000000000017\n" */
#define PAGE   4096
#define OFTEN  200 /* writes from a page, after which it is known to be good */

static int fd;
static volatile uint32_t handled, left, unwritten;
static volatile sig_atomic_t may_leave;
static sigjmp_buf top;

static void write_record(char who, uint32_t number)
{
    static char records[2][RECORD];
    char *record = records[who == 'h'];
    record[0] = who;
    record[RECORD - 1] = '\n';
    for (int i = RECORD - 2; i > 0; i--, number /= 10)
        record[i] = (char)('0' + number % 10);
    if (write(fd, record, RECORD) != RECORD)
        unwritten++;
}

static void on_signal(int signal)
{
    int saved = errno;
    (void)signal;
    write_record('h', handled);
    handled++;
    errno = saved;
    if (handled % 31 == 0 && may_leave)
        siglongjmp(top, 1);
}

static void tick(long microseconds)
{
    const struct itimerval timer = {{0, microseconds}, {0, microseconds}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

/* Those of the main loop that nobody has left are `written`. */
static void check_file(uint32_t number, uint32_t written)
{
    uint32_t next[2] = {0, 0}, seen[2] = {0, 0};
    char record[RECORD + 1] = "", who;
    FILE *file = fopen("quick.buf", "r");
    if (!file)
        cannot("fopen");
    while (fread(record, RECORD, 1, file)) {
        uint32_t is = (uint32_t)strtoul(record + 1, NULL, 10);
        int i = (who = record[0]) == 'h';
        CHECK((who == 'm' || who == 'h') && record[RECORD - 1] == '\n', "a torn record: %s",
              record);
        CHECK(i ? is == next[i] : is >= next[i], "%c: %u where %u follows", who, is, next[i]);
        next[i] = is + 1;
        seen[i]++;
        if (differences > 10)
            break;
    }
    fclose(file);
    CHECK(seen[1] == handled, "%u of %u records of the handler", seen[1], handled);
    CHECK(seen[0] >= written && seen[0] <= number, "%u of %u to %u records", seen[0], written,
          number);
}

/* --- pointers --- */

static char *good_page(void)
{
    char *page = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        cannot("mmap");
    memset(page, 'x', 4 * PAGE);
    for (int n = 0; n < OFTEN; n++)
        CHECK(pwrite(fd, page + PAGE, RECORD, 0) == RECORD, "pwrite: %s", strerror(errno));
    return page + PAGE;
}

static void is_bad(const char *page, const char *since)
{
    errno = 0;
    CHECK(pwrite(fd, page, RECORD, 0) == -1 && errno == EFAULT, "no EFAULT after %s: %s", since,
          strerror(errno));
}

static void check_pointers(void)
{
    char *page = good_page();
    munmap(page, PAGE);
    is_bad(page, "munmap");
    page = good_page();
    mprotect(page, PAGE, PROT_NONE);
    is_bad(page, "mprotect");
    page = good_page();
    if (mremap(page, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, page + PAGE) == MAP_FAILED)
        cannot("mremap");
    is_bad(page, "mremap");
    page = good_page();
    if (mmap(page, PAGE, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
        cannot("mmap");
    is_bad(page, "mmap");
    page = sbrk(2 * PAGE);
    if (page == (void *)-1)
        return; /* musl has none */
    for (int n = 0; n < OFTEN; n++)
        CHECK(pwrite(fd, page + PAGE + RECORD, RECORD, 0) == RECORD, "pwrite: %s", strerror(errno));
    sbrk(-2 * PAGE);
    is_bad(page + 2 * PAGE - RECORD, "sbrk");
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    volatile uint32_t number = 0, n = 0;
    fd = open("quick.buf", O_RDWR | O_CREAT | O_TRUNC, 0666);
    if (fd < 0 || sigaction(SIGALRM, &action, NULL))
        cannot("open, sigaction");
    ready();
    if (sigsetjmp(top, 1))
        left++;
    do {
        tick(500);
        may_leave = 1;
        for (; n < 3000; n++) /* goes on where a handler has left it */
            write_record('m', number++);
        n = may_leave = 0;
        tick(0);
        rest(2);
    } while (!stop_asked());
    CHECK(!unwritten, "%u writes failed", unwritten);
    CHECK(left > 0, "no handler has left a write");
    check_file(number, number - left);
    check_pointers();
    return finish();
}
