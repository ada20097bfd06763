/*
 * kept.c DIRECTORY [open | remove] - memory shared with a file that is not there, or another one,
 * after the restart. The file is mapped twice, once by a descriptor for reading, and only its
 * mappings are left (but for "open"); with "remove" not even its name. A number in it is counted
 * up; what is seen through both mappings must be the number that the program counts itself. Its
 * last value goes to the standard output.
 *
 * And a socket whose other end is closed: nothing to read, nobody to write to.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "tests/targets/target.h"

#define PAGE  4096
#define PAGES 3

static volatile uint32_t *map(int fd, int prot, long from)
{
    void *at = mmap(NULL, (PAGES - from) * PAGE, prot, MAP_SHARED, fd, from * PAGE);
    if (at == MAP_FAILED)
        cannot("mmap");
    return at;
}

static void check_socket(int fd)
{
    char byte;
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLRDHUP};
    CHECK(poll(&p, 1, 0) == 1 && p.revents == (POLLIN | POLLRDHUP | POLLHUP), "poll: %x",
          p.revents);
    CHECK(recv(fd, &byte, 1, 0) == 0, "recv");
    CHECK(send(fd, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE, "send");
}

int main(int argc, char **argv)
{
    char name[4096];
    int ends[2];
    const char *how = argc > 2 ? argv[2] : "";
    snprintf(name, sizeof name, "%s/kept", argv[1]);
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600), reader = open(name, O_RDONLY);
    if (fd < 0 || reader < 0 || ftruncate(fd, PAGES * PAGE) ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
        cannot(name);
    close(ends[1]);
    volatile uint32_t *one = map(fd, PROT_READ | PROT_WRITE, 0), *two = map(reader, PROT_READ, 1);
    close(reader);
    if (strcmp(how, "open") != 0)
        close(fd);
    if (strcmp(how, "remove") == 0)
        unlink(name);
    uint32_t count = 0;
    ready();
    while (!stop_asked()) {
        count++;
        one[PAGE / 4] = count;
        CHECK(two[0] == count && one[PAGE / 4] == count, "%u and %u instead of %u", one[PAGE / 4],
              two[0], count);
        rest(2);
    }
    check_socket(ends[0]);
    printf("%u\n", count);
    return finish();
}
