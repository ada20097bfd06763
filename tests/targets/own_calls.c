/*
 * own_calls.c LIBRARY - makes its system calls by `syscall` instructions of its own: in the
 * executable, in a library that it opened at the beginning and in one that it opens each time, and
 * in memory that it wrote code to. What they do to files is checked by libc's functions, and the
 * other way round; each writes a line to "log". The number of rounds stands in the file "rounds".
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "tests/targets/own_call.h"
#include "tests/targets/target.h"

typedef long caller(long number, const long arguments[6]);

#define CALL(number, ...) way->call(number, (const long[6]){__VA_ARGS__})

struct way {
    const char *name;
    caller *call;
};

/* --- where the instructions are --- */

static long executable_call(long number, const long arguments[6])
{
    return own_call(number, arguments);
}

extern const unsigned char code[];
extern const unsigned code_size;
__asm__(".text\ncode:\n"
        "mov %rdi, %rax\n"
        "mov (%rsi), %rdi\n"
        "mov 16(%rsi), %rdx\n"
        "mov 24(%rsi), %r10\n"
        "mov 32(%rsi), %r8\n"
        "mov 40(%rsi), %r9\n"
        "mov 8(%rsi), %rsi\n"
        "syscall\n"
        "ret\n"
        "code_size: .int . - code\n");

/* Code in memory of no file. */
static caller *write_code(void)
{
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        cannot("memory");
    memcpy(at, code, code_size);
    if (mprotect(at, 4096, PROT_READ | PROT_EXEC))
        cannot("code");
    return (caller *)(uintptr_t)at;
}

static caller *open_library(const char *name, void **handle)
{
    *handle = dlopen(name, RTLD_NOW);
    CHECK(*handle, "%s", dlerror());
    return *handle ? (caller *)(uintptr_t)dlsym(*handle, "library_call") : NULL;
}

/* --- what they do --- */

static void on_alarm(int signal)
{
    (void)signal;
}

static void is_interrupted(const struct way *way)
{
    const struct itimerval soon = {{0, 5000}, {0, 5000}}, never = {{0, 0}, {0, 0}};
    int ends[2];
    char byte;
    if (pipe(ends))
        cannot("pipe");
    setitimer(ITIMER_REAL, &soon, NULL);
    long got = CALL(SYS_read, ends[0], (long)&byte, 1);
    setitimer(ITIMER_REAL, &never, NULL);
    CHECK(got == -EINTR, "%s: read interrupted: %ld", way->name, got);
    CALL(SYS_close, ends[0]);
    CALL(SYS_close, ends[1]);
}

static void writes_and_reads(const struct way *way, long fd)
{
    char got[16] = "";
    struct stat st = {0}, same = {0};
    CHECK(CALL(SYS_write, fd, (long)"0123456789", 10) == 10, "%s: write", way->name);
    CHECK(CALL(SYS_pwrite64, fd, (long)"abc", 3, 4) == 3, "%s: pwrite", way->name);
    CHECK(CALL(SYS_lseek, fd, 2, SEEK_SET) == 2, "%s: lseek", way->name);
    CHECK(read((int)fd, got, sizeof got) == 8 && !strcmp(got, "23abc789"), "%s: '%s'", way->name,
          got);
    CHECK(CALL(SYS_fstat, fd, (long)&st) == 0 && stat("file", &same) == 0 &&
              st.st_ino == same.st_ino && st.st_size == 10,
          "%s: fstat", way->name);
}

static void uses_files(const struct way *way)
{
    char text[4096], own[4096];
    long fd = CALL(SYS_open, (long)"file", O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0, "%s: open: %ld", way->name, fd);
    writes_and_reads(way, fd);
    CHECK(CALL(SYS_close, fd) == 0 && lseek((int)fd, 0, SEEK_CUR) < 0, "%s: close", way->name);
    CHECK(CALL(SYS_rename, (long)"file", (long)"other") == 0, "%s: rename", way->name);
    CHECK(CALL(SYS_unlink, (long)"file") == -ENOENT, "%s: unlink of nothing", way->name);
    CHECK(CALL(SYS_unlink, (long)"other") == 0 && access("other", F_OK) < 0, "%s: unlink",
          way->name);
    CHECK(CALL(SYS_getcwd, (long)own, sizeof own) > 0 && getcwd(text, sizeof text) &&
              !strcmp(own, text),
          "%s: directory '%s'", way->name, own);
    CHECK(CALL(SYS_getpid) == getpid() && CALL(SYS_getuid) == getuid(), "%s: identity", way->name);
}

static void logs(const struct way *way, int round)
{
    char line[64];
    int size = snprintf(line, sizeof line, "%d %s\n", round, way->name);
    long fd = CALL(SYS_openat, AT_FDCWD, (long)"log", O_WRONLY | O_CREAT | O_APPEND, 0600);
    CHECK(CALL(SYS_write, fd, (long)line, size) == size, "%s: log", way->name);
    CALL(SYS_close, fd);
}

static void make_round(const struct way *ways, int count, const char *library, int round)
{
    void *handle;
    struct way fresh = {"fresh library", open_library(library, &handle)};
    for (int i = 0; i <= count; i++) {
        const struct way *way = i < count ? &ways[i] : &fresh;
        if (!way->call)
            continue;
        uses_files(way);
        is_interrupted(way);
        logs(way, round);
    }
    if (handle)
        dlclose(handle);
}

static void note_round(int round)
{
    FILE *f = fopen("rounds.new", "w");
    if (!f || fprintf(f, "%d\n", round) < 0 || fclose(f) || rename("rounds.new", "rounds"))
        cannot("rounds");
}

/* All lines are there, in their order. */
static void check_log(int rounds)
{
    static const char *const names[] = {"executable", "memory", "library", "fresh library"};
    char line[64], expected[64];
    FILE *f = fopen("log", "r");
    for (int i = 0; f && i < rounds * 4; i++) {
        snprintf(expected, sizeof expected, "%d %s\n", i / 4, names[i % 4]);
        CHECK(fgets(line, sizeof line, f) && !strcmp(line, expected), "log: '%s', not '%s'", line,
              expected);
    }
    CHECK(f && !fgets(line, sizeof line, f), "log: more than %d rounds", rounds);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_alarm};
    void *handle;
    int round = 0;
    if (argc != 2)
        return 99;
    sigaction(SIGALRM, &action, NULL);
    const struct way ways[] = {{"executable", executable_call},
                               {"memory", write_code()},
                               {"library", open_library(argv[1], &handle)}};
    /* A fresh one is another file, or dlopen would give the same again. */
    char *fresh = malloc(strlen(argv[1]) + 3);
    sprintf(fresh, "%s.2", argv[1]);
    ready();
    for (; !stop_asked(); round++) {
        make_round(ways, 3, fresh, round);
        note_round(round + 1);
        rest(5);
    }
    check_log(round);
    return finish();
}
