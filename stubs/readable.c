/* readable.c - see readable.h. */
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>

#include "stubs/mem.h"
#include "stubs/raw.h"
#include "stubs/readable.h"

#define STRETCHES 4
#define WORTH     64 /* reads of what is not known before it is looked up */

struct stretch {
    uintptr_t start, end;
};

static struct {
    struct stretch known[STRETCHES];
    unsigned next;    /* the one to be replaced */
    unsigned unknown; /* reads since the last look */
} readable;

static bool holds(const struct stretch *s, uintptr_t at)
{
    return at >= s->start && at < s->end;
}

bool readable_known(const void *from, size_t size)
{
    uintptr_t at = (uintptr_t)from;
    for (int i = 0; i < STRETCHES; i++) {
        const struct stretch *s = &readable.known[i];
        if (holds(s, at) && size <= s->end - at)
            return true;
    }
    return false;
}

/* --- /proc/self/maps: "start-end perms offset device inode   name", proc_pid_maps(5) --- */

static const char *hexadecimal(const char *text, uintptr_t *value)
{
    for (*value = 0;; text++) {
        int c = *text | 0x20, digit = c >= '0' && c <= '9'   ? c - '0'
                                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                             : -1;
        if (digit < 0)
            return text;
        *value = *value << 4 | (uintptr_t)digit;
    }
}

/* What the lines so far have told. */
struct look {
    uintptr_t at;
    struct stretch stretch;
    char object[64]; /* device and inode of the last file that is mapped to be executed */
};

/* " rw-p offset device inode    name": what stands behind the offset, to the end of the inode. */
static size_t find_file(const char *perms, const char **file)
{
    *file = perms + 1;
    for (int i = 0; i < 2 && *file; i++)
        *file = strchr(*file, ' ') ? strchr(*file, ' ') + 1 : NULL;
    const char *inode = *file ? strchr(*file, ' ') : NULL, *end = inode ? inode + 1 : NULL;
    while (end && *end && *end != ' ')
        end++;
    return end ? (size_t)(end - *file) : 0;
}

/* Private and writable, of no file (inode 0) or an object's data. */
static bool is_good(struct look *l, const char *perms)
{
    const char *file;
    size_t size = find_file(perms, &file);
    if (!size || size >= sizeof l->object)
        return false;
    bool of_object = !strncmp(l->object, file, size) && !l->object[size];
    if (perms[3] == 'x') {
        memcpy(l->object, file, size);
        l->object[size] = '\0';
    }
    return perms[1] == 'r' && perms[2] == 'w' && perms[4] == 'p' &&
           (of_object || !strncmp(file + size - 2, " 0", 2));
}

/* Mappings that follow one another are one stretch. False: the line begins a new one, and what is
 * looked for is in the one before. */
static bool goes_on(struct look *l, const char *line)
{
    struct stretch mapping;
    line = hexadecimal(line, &mapping.start);
    if (*line++ != '-')
        return false;
    line = hexadecimal(line, &mapping.end);
    if (!is_good(l, line))
        mapping.end = mapping.start;
    else if (mapping.start == l->stretch.end)
        mapping.start = l->stretch.start;
    if (mapping.start != l->stretch.start && holds(&l->stretch, l->at))
        return false;
    l->stretch = mapping;
    return true;
}

/* Reads lines into a small buffer; what is left of an incomplete one goes to its front. */
static bool look_up(struct look *l)
{
    char text[2048];
    size_t have = 0;
    bool more = true;
    long fd = raw(SYS_open, "/proc/self/maps", O_RDONLY | O_CLOEXEC), got;
    if (raw_failed(fd))
        return false;
    while (more && (got = raw(SYS_read, fd, text + have, sizeof text - 1 - have)) > 0) {
        char *line = text, *end;
        text[have += (size_t)got] = '\0';
        while (more && (end = strchr(line, '\n'))) {
            *end = '\0';
            more = goes_on(l, line);
            line = end + 1;
        }
        have -= (size_t)(line - text);
        memmove(text, line, have);
    }
    raw(SYS_close, fd);
    return holds(&l->stretch, l->at);
}

bool readable_learned(const void *from, size_t size)
{
    struct look look = {.at = (uintptr_t)from};
    if (readable_known(from, size))
        return true;
    if (++readable.unknown < WORTH)
        return false;
    readable.unknown = 0;
    if (look_up(&look))
        readable.known[readable.next++ % STRETCHES] = look.stretch;
    return readable_known(from, size);
}

void readable_note_call(long number, const long *args)
{
    switch (number) {
    case SYS_mmap:
        if (!(args[3] & MAP_FIXED))
            return;
        break;
    case SYS_munmap:
    case SYS_mremap:
    case SYS_mprotect:
    case SYS_pkey_mprotect:
    case SYS_brk:
    case SYS_madvise:
    case SYS_process_madvise:
    case SYS_remap_file_pages:
    case SYS_shmat:
    case SYS_shmdt:
        break;
    default:
        return;
    }
    readable_forget();
}

void readable_forget(void)
{
    memset(readable.known, 0, sizeof readable.known);
}
