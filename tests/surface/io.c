/* io.c - reading and writing, and what moves data within the kernel. */
#include <dirent.h>

#include "surface.h"

static void write_small(void)
{
    int fd = CALL(open, "file", O_RDWR | O_CREAT, 0640);
    CALL(write, fd, "hello world", 11);
    CALL(write, fd, "", 0);
    CALL(write, fd, NULL, 0);
    CALL(write, fd, NULL, 5);
    CALL(write, fd, BAD, 5);
    CALL(write, fd, BAD, 0);
    CALL(write, fd, BAD - 3, 3);
    CALL(write, -1, "x", 1);
    CALL(write, 999, "x", 1);
    CALL(write, -1, BAD, 1);
    CALL(write, fd, "x", -1);
    CALL(lseek, fd, 0, SEEK_CUR);
    CALL(pwrite64, fd, "HE", 2, 0);
    CALL(pwrite64, fd, "far", 3, 20);
    CALL(pwrite64, fd, "x", 1, -1);
    CALL(pwrite64, fd, BAD, 1, 0);
    CALL(lseek, fd, 0, SEEK_END);
    int reader = CALL(open, "file", O_RDONLY);
    CALL(write, reader, "x", 1);
    CALL(pwrite64, reader, "x", 1, 0);
    int appender = CALL(open, "file", O_WRONLY | O_APPEND);
    CALL(write, appender, "end", 3);
    CALL(lseek, appender, 0, SEEK_CUR);
    CALL(read, appender, BAD, 1);
}

static void read_small(void)
{
    char buffer[64];
    int fd = make_file("file", "hello world", 11);
    show_bytes("5 of 11", buffer, (size_t)CALL(read, fd, memset(buffer, 'z', 64), 5));
    show_bytes("at an edge", edge(6), (size_t)CALL(read, fd, edge(6), 6));
    CALL(read, fd, buffer, 64);
    CALL(lseek, fd, 0, SEEK_SET);
    show_bytes("short", buffer, CALL(read, fd, memset(buffer, 'z', 64), 64) > 0 ? 64 : 0);
    CALL(lseek, fd, 3, SEEK_SET);
    CALL(read, fd, buffer, 0);
    CALL(read, fd, NULL, 0);
    CALL(read, fd, NULL, 1);
    CALL(read, fd, BAD, 1);
    CALL(read, fd, BAD, 0);
    CALL(read, fd, BAD - 2, 4);
    CALL(read, fd, buffer, -1);
    CALL(lseek, fd, 0, SEEK_CUR);
    CALL(read, -1, buffer, 1);
    CALL(read, -1, BAD, 1);
    CALL(pread64, fd, edge(4), 4, 2);
    show_bytes("pread", bad - 4, 4);
    CALL(pread64, fd, buffer, 4, 11);
    CALL(pread64, fd, buffer, 4, -1);
    CALL(pread64, fd, BAD, 4, 0);
    int directory = CALL(open, ".", O_RDONLY | O_DIRECTORY);
    CALL(read, directory, buffer, 1);
    int writer = CALL(open, "file", O_WRONLY);
    CALL(read, writer, buffer, 1);
}

static void large(void)
{
    static const unsigned sizes[] = {4095, 65536, 262143, 262144, 262145, 524289, BIG};
    int fd = make_file("file", "", 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fill(big, sizes[i], sizes[i]);
        CALL(lseek, fd, 0, SEEK_SET);
        CALL(write, fd, big, sizes[i]);
        CALL(lseek, fd, 0, SEEK_CUR);
        memset(other, 0, BIG);
        CALL(lseek, fd, 0, SEEK_SET);
        CALL(read, fd, other, BIG);
        show_bytes("read", other, sizes[i]);
        CALL(lseek, fd, 0, SEEK_CUR);
        CALL(pwrite64, fd, big, sizes[i], 100);
        CALL(pread64, fd, other, sizes[i], 50);
        show_bytes("pread", other, sizes[i]);
    }
}

/* What a frame was too small for must not make the transfer larger than the kernel's. */
static void large_pipe(void)
{
    int ends[2] = {-1, -1};
    CALL(pipe2, ends, O_NONBLOCK);
    show("    ends %d %d", ends[0], ends[1]);
    fill(big, BIG, 1);
    CALL(write, ends[1], big, BIG);
    CALL(write, ends[1], big, 1);
    CALL(read, ends[0], other, BIG);
    show_bytes("read", other, 65536);
    CALL(read, ends[0], other, 1);
    CALL(write, ends[0], "x", 1);
    CALL(read, ends[1], other, 1);
    CALL(pread64, ends[0], other, 1, 0);
    CALL(pwrite64, ends[1], other, 1, 0);
    CALL(lseek, ends[0], 0, SEEK_SET);
    CALL(fcntl, ends[1], F_SETPIPE_SZ, 1 << 20);
    CALL(fcntl, ends[1], F_GETPIPE_SZ);
    CALL(write, ends[1], big, BIG);
    CALL(read, ends[0], other, 262144); /* more may come in parts, as a frame takes it */
    show_bytes("read", other, 262144);
    CALL(read, ends[0], other, 262144);
    CALL(read, ends[0], other, 262144);
    CALL(close, ends[1]);
    CALL(read, ends[0], other, 1);
}

static void vectors(void)
{
    char a[4] = "abc", b[8] = "defghij", c[16];
    struct iovec out[] = {{a, 3}, {NULL, 0}, {b, 7}}, in[] = {{c, 2}, {BAD, 0}, {c + 4, 6}};
    int fd = make_file("file", "", 0);
    CALL(writev, fd, out, 3);
    CALL(writev, fd, out, 0);
    CALL(writev, fd, NULL, 0);
    CALL(writev, fd, NULL, 1);
    CALL(writev, fd, BAD, 1);
    CALL(writev, fd, out, -1);
    CALL(writev, fd, out, 1025);
    CALL(writev, -1, out, 3);
    CALL(pwritev, fd, out, 3, 20, 0);
    CALL(pwritev, fd, out, 3, -1, -1);
    CALL(pwritev2, fd, out, 3, 40, 0, 0);
    CALL(pwritev2, fd, out, 1, -1, -1, 0);
    CALL(pwritev2, fd, out, 1, 0, 0, 0x10 /* RWF_APPEND */);
    CALL(pwritev2, fd, out, 1, 0, 0, 1 << 30);
    CALL(lseek, fd, 1, SEEK_SET);
    memset(c, '-', sizeof c);
    CALL(readv, fd, in, 3);
    show_bytes("readv", c, sizeof c);
    memset(c, '-', sizeof c);
    CALL(preadv, fd, in, 3, 20, 0);
    show_bytes("preadv", c, sizeof c);
    CALL(preadv, fd, in, 3, 1000, 0);
    CALL(preadv, fd, in, 3, -1, -1);
    memset(c, '-', sizeof c);
    CALL(preadv2, fd, in, 3, 40, 0, 0);
    show_bytes("preadv2", c, sizeof c);
    CALL(preadv2, fd, in, 1, -1, -1, 0);
    CALL(preadv2, fd, in, 1, 0, 0, 1 << 30);
    CALL(readv, fd, BAD, 1);
    CALL(readv, fd, in, 1025);
    in[0].iov_base = BAD;
    CALL(readv, fd, in, 3);
    CALL(readv, -1, in, 3);
    in[0].iov_len = (size_t)-1;
    CALL(readv, fd, in, 3);
    out[0].iov_base = BAD;
    CALL(writev, fd, out, 1);
    CALL(lseek, fd, 0, SEEK_CUR);
}

static void large_vectors(void)
{
    struct iovec parts[1024],
        few[] = {{big, 200000}, {big + 200000, 200000}, {big + 400000, 200000}};
    int fd = make_file("file", "", 0);
    fill(big, BIG, 7);
    CALL(writev, fd, few, 3);
    CALL(lseek, fd, 0, SEEK_CUR);
    CALL(pwritev, fd, few, 3, 1000, 0);
    for (int i = 0; i < 3; i++)
        few[i].iov_base = other + 200000 * (2 - i);
    CALL(lseek, fd, 500, SEEK_SET);
    memset(other, 0, BIG);
    CALL(readv, fd, few, 3);
    show_bytes("readv", other, 600000);
    CALL(lseek, fd, 0, SEEK_CUR);
    CALL(preadv, fd, few, 3, 1, 0);
    show_bytes("preadv", other, 600000);
    for (int i = 0; i < 1024; i++)
        parts[i] = (struct iovec){big + i * 3, 2};
    CALL(lseek, fd, 0, SEEK_SET);
    CALL(writev, fd, parts, 1024);
    CALL(lseek, fd, 0, SEEK_SET);
    CALL(readv, fd, parts, 1024);
    show_bytes("readv", big, 3072);
    for (int i = 0; i < 1024; i++)
        parts[i] = (struct iovec){big + i * 600, 600};
    CALL(pwritev, fd, parts, 1024, 0, 0);
    CALL(preadv, fd, parts, 1024, 5, 0);
    show_bytes("preadv", big, 600 * 1024);
}

static void seek(void)
{
    int fd = make_file("file", "0123456789", 10), ends[2];
    CALL(lseek, fd, -3, SEEK_END);
    CALL(lseek, fd, -3, SEEK_CUR);
    CALL(lseek, fd, -1, SEEK_SET);
    CALL(lseek, fd, 0, 77);
    CALL(lseek, fd, 0, SEEK_DATA);
    CALL(lseek, fd, 0, SEEK_HOLE);
    CALL(lseek, fd, 11, SEEK_DATA);
    CALL(lseek, fd, 1L << 40, SEEK_SET);
    CALL(lseek, fd, 0, SEEK_CUR);
    CALL(lseek, -1, 0, SEEK_SET);
    if (pipe(ends) == 0)
        CALL(lseek, ends[0], 0, SEEK_CUR);
}

static void send_file(void)
{
    fill(big, BIG, 3);
    int from = make_file("from", big, BIG), to = make_file("to", "", 0);
    off_t at = 10, far = BIG + 5;
    CALL(sendfile, to, from, &at, 1000);
    show("    offset %ld", (long)at);
    CALL(sendfile, to, from, NULL, 2000);
    CALL(lseek, from, 0, SEEK_CUR);
    CALL(sendfile, to, from, NULL, BIG);
    CALL(lseek, from, 0, SEEK_CUR);
    CALL(sendfile, to, from, &far, 10);
    CALL(sendfile, to, from, BAD, 10);
    CALL(sendfile, -1, from, NULL, 10);
    CALL(sendfile, to, -1, NULL, 10);
    CALL(pread64, to, other, BIG, 0);
    show_bytes("sent", other, 3000);
    off_t in = 0, out = 5;
    CALL(copy_file_range, from, &in, to, &out, 100, 0);
    show("    offsets %ld %ld", (long)in, (long)out);
    CALL(copy_file_range, from, NULL, to, NULL, 300000, 0);
    CALL(copy_file_range, from, &in, to, BAD, 100, 0);
    CALL(copy_file_range, from, BAD, to, &out, 100, 0);
    CALL(copy_file_range, from, &in, to, &out, 100, 1);
    CALL(copy_file_range, from, &far, to, &out, 100, 0);
    CALL(copy_file_range, -1, &in, to, &out, 100, 0);
    CALL(pread64, to, other, BIG, 0);
    show_bytes("copied", other, 110);
}

static void pipes_within(void)
{
    int a[2], b[2], file = make_file("file", "some content of a file", 22);
    off_t at = 5, wrong = -1;
    if (pipe2(a, O_NONBLOCK) || pipe2(b, O_NONBLOCK))
        return;
    CALL(splice, file, &at, a[1], NULL, 7, 0);
    show("    offset %ld", (long)at);
    CALL(splice, file, NULL, a[1], NULL, 4, 1 /* SPLICE_F_MOVE */);
    CALL(tee, a[0], b[1], 6, 0);
    CALL(tee, a[0], a[1], 6, 0);
    CALL(tee, a[0], file, 6, 0);
    CALL(tee, -1, b[1], 6, 0);
    CALL(read, b[0], memset(other, '-', 20), 20);
    show_bytes("tee", other, 20);
    CALL(splice, a[0], NULL, b[1], NULL, 100, 2);
    CALL(read, b[0], memset(other, '-', 20), 20);
    show_bytes("splice", other, 20);
    CALL(splice, a[0], NULL, b[1], NULL, 100, 2 /* SPLICE_F_NONBLOCK */);
    CALL(splice, file, NULL, file, NULL, 1, 0);
    CALL(splice, file, BAD, a[1], NULL, 1, 0);
    CALL(splice, file, &wrong, a[1], NULL, 1, 0);
    CALL(splice, a[0], &at, b[1], NULL, 1, 0);
    CALL(splice, file, NULL, a[1], NULL, 1, 1 << 20);
    char first[] = "first", second[] = "second";
    struct iovec give[] = {{first, 5}, {second, 6}}, take[] = {{other, 3}, {other + 10, 9}};
    CALL(vmsplice, a[1], give, 2, 0);
    CALL(vmsplice, a[0], take, 2, 0);
    show_bytes("vmsplice", other, 20);
    CALL(vmsplice, a[0], take, 2, 2);
    CALL(vmsplice, a[1], BAD, 2, 0);
    CALL(vmsplice, a[1], give, 1025, 0);
    CALL(vmsplice, a[1], give, 0, 0);
    CALL(vmsplice, -1, give, 2, 0);
    CALL(vmsplice, file, give, 2, 0);
}

static void advice(void)
{
    int file = make_file("file", "content", 7), ends[2];
    uint64_t range[2] = {0, 4096}, counts[5] = {9, 9, 9, 9, 9};
    if (pipe(ends))
        return;
    CALL(readahead, file, 0, 4096);
    CALL(readahead, ends[0], 0, 4096);
    CALL(readahead, -1, 0, 4096);
    CALL(fadvise64, file, 0, 0, 3);
    CALL(fadvise64, file, 0, 0, 33);
    CALL(fadvise64, ends[0], 0, 0, 3);
    CALL(fadvise64, -1, 0, 0, 3);
    CALL(cachestat, file, range, counts, 0);
    show("    cached %ld", (long)counts[0]);
    CALL(cachestat, file, BAD, counts, 0);
    CALL(cachestat, file, range, BAD, 0);
    CALL(cachestat, file, range, counts, 1);
    CALL(cachestat, -1, range, counts, 0);
}

/* The order of entries is the file system's. */
static void show_entries(const unsigned char *at, long size, int old)
{
    char names[16][32];
    int count = 0;
    for (long i = 0; i < size;) {
        unsigned short length;
        memcpy(&length, at + i + 16, sizeof length);
        snprintf(names[count++], 32, "%s type %d", at + i + (old ? 18 : 19),
                 old ? at[i + length - 1] : at[i + 18]);
        i += length;
    }
    for (int c = 'a'; c <= 'e'; c++)
        for (int i = 0; i < count; i++)
            if (names[i][0] == c)
                show("    %s", names[i]);
    show("    %d entries", count);
}

static void entries(void)
{
    close(make_file("a", "", 0));
    close(make_file("b", "", 0));
    mkdir("c", 0755);
    if (symlink("nowhere", "d"))
        show("symlink");
    mkfifo("e", 0600);
    int fd = CALL(open, ".", O_RDONLY | O_DIRECTORY);
    show_entries(other, CALL(getdents64, fd, other, 4096), 0);
    CALL(getdents64, fd, other, 4096);
    CALL(lseek, fd, 0, SEEK_SET);
    show_entries(other, CALL(getdents, fd, other, BIG), 1);
    CALL(lseek, fd, 0, SEEK_SET);
    CALL(getdents64, fd, other, 10);
    CALL(getdents, fd, other, 10);
    CALL(getdents64, fd, BAD, 4096);
    CALL(getdents, fd, BAD, 4096);
    CALL(getdents64, -1, other, 4096);
    CALL(getdents, -1, other, 4096);
    int file = CALL(open, "a", O_RDONLY);
    CALL(getdents64, file, other, 4096);
    CALL(getdents, file, other, 4096);
    int empty = CALL(open, "c", O_RDONLY);
    CALL(getdents64, empty, other, 4096);
}

const struct surface_case io_cases[] = {
    {"write", write_small},
    {"read", read_small},
    {"large transfers", large},
    {"large transfers through a pipe", large_pipe},
    {"vectors", vectors},
    {"large vectors", large_vectors},
    {"lseek", seek},
    {"sendfile, copy_file_range", send_file},
    {"splice, tee, vmsplice", pipes_within},
    {"advice", advice},
    {"directory entries", entries},
    {NULL, NULL},
};
