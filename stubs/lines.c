/* lines.c - see lines.h. */
#include <fcntl.h>

#include "stubs/lines.h"
#include "stubs/mem.h"
#include "stubs/raw.h"

static unsigned digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 99;
}

uint64_t text_parse(const char **s, unsigned base)
{
    uint64_t n = 0;
    for (; digit(**s) < base; ++*s)
        n = n * base + digit(**s);
    return n;
}

const char *text_skip(const char *s, unsigned count)
{
    for (; count; count--) {
        while (*s && *s != ' ' && *s != '\t')
            s++;
        while (*s == ' ' || *s == '\t')
            s++;
    }
    return s;
}

long lines_open(struct lines *l, const char *path)
{
    long fd = raw(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    l->fd = (int)fd;
    l->start = l->end = 0;
    l->eof = 0;
    return fd < 0 ? fd : 0;
}

static char *take_line(struct lines *l, size_t length)
{
    char *line = l->buffer + l->start;
    line[length] = '\0';
    l->start += length + 1;
    return line;
}

static void fill(struct lines *l)
{
    memmove(l->buffer, l->buffer + l->start, l->end - l->start);
    l->end -= l->start;
    l->start = 0;
    long n = raw(SYS_read, l->fd, l->buffer + l->end, LINES_SIZE - 1 - l->end);
    if (n > 0)
        l->end += (size_t)n;
    else
        l->eof = 1;
}

char *lines_next(struct lines *l)
{
    for (;;) {
        for (size_t i = l->start; i < l->end; i++)
            if (l->buffer[i] == '\n')
                return take_line(l, i - l->start);
        if (l->eof || (l->start == 0 && l->end == LINES_SIZE - 1))
            return NULL;
        fill(l);
    }
}

void lines_close(struct lines *l)
{
    if (l->fd >= 0)
        raw(SYS_close, l->fd);
    l->fd = -1;
}

long text_file(const char *path, char *to, size_t size)
{
    long fd = raw(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC), n = 0, got = 0;
    if (fd < 0)
        return fd;
    while ((size_t)got + 1 < size && (n = raw(SYS_read, fd, to + got, size - 1 - (size_t)got)) > 0)
        got += n;
    raw(SYS_close, fd);
    to[got] = '\0';
    return n < 0 ? n : got;
}
