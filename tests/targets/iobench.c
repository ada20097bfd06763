/*
 * iobench.c - what input and output cost: measures the kernel's own sockets, waits to be told, then
 * writes and reads files in its directory and says how fast that was. For scripts/bench-remote.sh;
 * no test.
 *
 *   raw: a socket's answer to 64 bytes, and bytes through a socket    (before it waits)
 *   64-byte pwrite; small sequential writes (as many as the argument says, or a million), to *.buf;
 *   256 KiB writes to *.buf and *.dat, and reads
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LATENCY_ROUNDS 20000
#define SMALL_ROUNDS   1000000
#define STREAM_ROUNDS  2000
#define STREAM_BYTES   (256 * 1024)

static char data[STREAM_BYTES];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void need(int right, const char *what)
{
    if (right)
        return;
    perror(what);
    exit(1);
}

/* The other end: answers each 64 bytes, or swallows all. */
static int peer(int answers)
{
    int pair[2];
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
    if (fork() == 0) {
        ssize_t got;
        close(pair[0]);
        while ((got = read(pair[1], data, answers ? 64 : sizeof data)) > 0)
            if (answers)
                need(write(pair[1], data, 64) == 64, "write");
        _exit(0);
    }
    close(pair[1]);
    return pair[0];
}

static void measure_raw(void)
{
    int fd = peer(1);
    double began = now();
    for (int i = 0; i < LATENCY_ROUNDS; i++)
        need(write(fd, data, 64) == 64 && read(fd, data, 64) == 64, "socket");
    printf("raw_pingpong_us %.3f\n", (now() - began) / LATENCY_ROUNDS * 1e6);
    close(fd);
    wait(NULL);
    fd = peer(0);
    began = now();
    for (int i = 0; i < STREAM_ROUNDS; i++)
        need(write(fd, data, sizeof data) == (ssize_t)sizeof data, "socket");
    close(fd);
    wait(NULL);
    printf("raw_stream_mbs %.1f\n", STREAM_ROUNDS * (double)sizeof data / (now() - began) / 1e6);
}

static void measure_pwrite(void)
{
    int fd = open("latency.dat", O_RDWR | O_CREAT | O_TRUNC, 0600);
    double began = now();
    for (int i = 0; i < LATENCY_ROUNDS; i++)
        need(pwrite(fd, data, 64, 64 * (i % 1024)) == 64, "pwrite");
    printf("pwrite_us %.3f\n", (now() - began) / LATENCY_ROUNDS * 1e6);
    close(fd);
}

static void measure_small(long rounds)
{
    int fd = open("small.buf", O_RDWR | O_CREAT | O_TRUNC, 0600);
    double began = now();
    for (long i = 0; i < rounds; i++)
        need(write(fd, data, 16) == 16, "write");
    close(fd);
    printf("small_writes_ms %.3f\n", (double)rounds / (now() - began) / 1e6);
}

/* To the same place: the file system's own work is not what is measured. */
static void write_stream(int fd, const char *name)
{
    double began = now();
    for (int i = 0; i < STREAM_ROUNDS; i++)
        need(pwrite(fd, data, sizeof data, 0) == (ssize_t)sizeof data, "pwrite");
    fstat(fd, &(struct stat){0}); /* all of it is there */
    printf("%s %.1f\n", name, STREAM_ROUNDS * (double)sizeof data / (now() - began) / 1e6);
}

static void measure_stream(void)
{
    int fd = open("stream.buf", O_RDWR | O_CREAT | O_TRUNC, 0600);
    write_stream(fd, "stream_behind_mbs");
    close(fd);
    fd = open("stream.dat", O_RDWR | O_CREAT | O_TRUNC, 0600);
    write_stream(fd, "stream_write_mbs");
    double began = now();
    for (int i = 0; i < STREAM_ROUNDS; i++)
        need(pread(fd, data, sizeof data, 0) == (ssize_t)sizeof data, "pread");
    printf("stream_read_mbs %.1f\n", STREAM_ROUNDS * (double)sizeof data / (now() - began) / 1e6);
    close(fd);
}

int main(int argc, char **argv)
{
    const char *ready = getenv("READY");
    setvbuf(stdout, NULL, _IOLBF, 0);
    measure_raw();
    if (ready) {
        close(open(ready, O_WRONLY | O_CREAT, 0600));
        while (access("go", F_OK) != 0)
            usleep(10000);
    }
    measure_pwrite();
    measure_small(argc > 1 ? atol(argv[1]) : SMALL_ROUNDS);
    measure_stream();
    return 0;
}
