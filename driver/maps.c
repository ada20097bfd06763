/* maps.c - /proc/PID/maps: see proc.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/proc.h"

#define STACK_ROOM                                                                                 \
    (128ULL << 20)             /* left below a region that grows down: the kernel's own least gap */
#define HEAP_ROOM (1ULL << 30) /* left above the heap, for brk(2) */

/* The kernel writes a newline in a path as \012; nothing else is escaped. */
static void unescape_newlines(char *path)
{
    char *to = path;
    for (const char *from = path; *from; to++) {
        bool newline = !strncmp(from, "\\012", 4);
        *to = newline ? '\n' : *from;
        from += newline ? 4 : 1;
    }
    *to = '\0';
}

static bool cut_deleted(char *path)
{
    static const char suffix[] = " (deleted)";
    size_t length = strlen(path), cut = sizeof suffix - 1;
    if (length < cut || path[0] != '/' || strcmp(path + length - cut, suffix) != 0)
        return false;
    path[length - cut] = '\0';
    return true;
}

static bool parse_line(char *line, struct mapping *m)
{
    char flags[5];
    int path = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n", &m->start,
               &m->end, flags, &m->offset, &m->major, &m->minor, &m->inode, &path) != 7 ||
        !path)
        return false;
    m->read = flags[0] == 'r';
    m->write = flags[1] == 'w';
    m->execute = flags[2] == 'x';
    m->shared = flags[3] == 's';
    m->deleted = cut_deleted(line + path);
    unescape_newlines(line + path);
    m->path = line + path;
    return true;
}

static size_t count_lines(const char *text)
{
    size_t lines = 0;
    while ((text = strchr(text, '\n')))
        lines++, text++;
    return lines;
}

int maps_read(pid_t pid, struct maps *out, struct failure *f)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    *out = (struct maps){.text = proc_slurp(path, NULL)};
    if (!out->text)
        return fail_errno(f, -errno, "cannot read \"%s\"", path);
    out->at = calloc(count_lines(out->text) + 1, sizeof *out->at);
    char *rest = out->text;
    for (char *line; out->at && (line = strsep(&rest, "\n")) && *line;)
        if (parse_line(line, &out->at[out->count]))
            out->count++;
    if (out->at)
        return 0;
    maps_free(out);
    return fail(f, -ENOMEM, "cannot read \"%s\": out of memory", path);
}

void maps_free(struct maps *maps)
{
    free(maps->at);
    free(maps->text);
    *maps = (struct maps){0};
}

const struct mapping *maps_find(const struct maps *maps, taddr address)
{
    size_t low = 0, high = maps->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (address >= maps->at[middle].end)
            low = middle + 1;
        else
            high = middle;
    }
    return low < maps->count && address >= maps->at[low].start ? &maps->at[low] : NULL;
}

static taddr lowest_address(void)
{
    char *text = proc_slurp("/proc/sys/vm/mmap_min_addr", NULL);
    taddr lowest = text ? strtoull(text, NULL, 10) : 0;
    free(text);
    return lowest > 65536 ? lowest : 65536;
}

static uint64_t room_below(const struct mapping *m)
{
    return strcmp(m->path, "[stack]") ? 0 : STACK_ROOM;
}

static uint64_t room_above(const struct mapping *m)
{
    return strcmp(m->path, "[heap]") ? 0 : HEAP_ROOM;
}

static uint64_t distance(taddr a, taddr b)
{
    return a > b ? a - b : b - a;
}

/* The place in [low, high) that is nearest to `near`; false when `size` bytes do not fit. */
static bool fit(taddr low, taddr high, taddr near, uint64_t size, taddr *out)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    low = (low + page - 1) & -page;
    if (high < low || high - low < size)
        return false;
    taddr wanted = near & -page, last = (high - size) & -page;
    *out = wanted < low ? low : wanted > last ? last : wanted;
    return true;
}

bool maps_gap(const struct maps *maps, taddr near, uint64_t size, uint64_t reach, taddr *out)
{
    taddr low = lowest_address(), candidate;
    bool found = false;
    for (size_t i = 0; i < maps->count; i++) {
        const struct mapping *m = &maps->at[i];
        if (!strcmp(m->path, "[vsyscall]")) /* in the kernel's half */
            break;
        taddr high = m->start > room_below(m) ? m->start - room_below(m) : 0;
        if (fit(low, high, near, size, &candidate) &&
            (!found || distance(candidate, near) < distance(*out, near))) {
            *out = candidate;
            found = true;
        }
        low = m->end + room_above(m);
    }
    return found && distance(*out, near) <= reach && distance(*out + size, near) <= reach;
}
