/* readable.c - see readable.h. */
#include <stdint.h>
#include <sys/mman.h>

#include "stubs/lines.h"
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

/* What the lines so far have told. */
struct look {
    uintptr_t at;
    struct stretch stretch;
    uint64_t device, inode; /* of the last file that is mapped to be executed: an object */
};

/* Private and writable, of no file (inode 0) or an object's data. */
static bool is_good(struct look *l, const char *perms)
{
    const char *file = text_skip(perms, 2);
    uint64_t device = text_parse(&file, 16), inode;
    file += *file == ':';
    device = device << 32 | text_parse(&file, 16);
    file = text_skip(file, 1);
    inode = text_parse(&file, 10);
    bool of_object = device == l->device && inode == l->inode;
    if (perms[2] == 'x')
        l->device = device, l->inode = inode;
    return !strncmp(perms, "rw", 2) && perms[3] == 'p' && (!inode || of_object);
}

/* Mappings that follow one another are one stretch. False: the line begins a new one, and what is
 * looked for is in the one before. */
static bool goes_on(struct look *l, const char *line)
{
    struct stretch mapping;
    mapping.start = text_parse(&line, 16);
    line += *line == '-';
    mapping.end = text_parse(&line, 16);
    if (!is_good(l, text_skip(line, 1)))
        mapping.end = mapping.start;
    else if (mapping.start == l->stretch.end)
        mapping.start = l->stretch.start;
    if (mapping.start != l->stretch.start && holds(&l->stretch, l->at))
        return false;
    l->stretch = mapping;
    return true;
}

static bool look_up(struct look *l)
{
    static struct lines lines;
    const char *line;
    if (lines_open(&lines, "/proc/self/maps"))
        return false;
    while ((line = lines_next(&lines)) && goes_on(l, line))
        ;
    lines_close(&lines);
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
