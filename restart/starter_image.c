/* starter_image.c - reading and checking the head of an image; see image.h for the format. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restart/checksum.h"
#include "restart/fds.h"
#include "restart/starter.h"

#define HEAD_MAX (1ULL << 30)

int image_fail(struct image *image, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(image->error, sizeof image->error, format, args);
    va_end(args);
    return code;
}

const char *image_string(const struct image *image, uint32_t offset)
{
    return image->strings + offset;
}

static int read_at(int fd, void *to, size_t size, uint64_t offset)
{
    for (size_t got = 0; got < size;) {
        ssize_t n = pread(fd, (char *)to + got, size - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ENODATA;
        got += (size_t)n;
    }
    return 0;
}

/* --- notes --- */

struct note {
    uint32_t type;
    const unsigned char *bytes;
    size_t size;
};

static size_t padded(size_t n)
{
    return (n + 3) & ~(size_t)3;
}

/* The next of our own notes in [*at, end), moving *at behind it; false at the end or where the
 * notes are malformed. */
static bool next_note(const unsigned char **at, const unsigned char *end, struct note *out)
{
    Elf64_Nhdr h;
    while ((size_t)(end - *at) >= sizeof h) {
        memcpy(&h, *at, sizeof h);
        size_t left = (size_t)(end - *at) - sizeof h;
        if (h.n_namesz > left || h.n_descsz > left ||
            padded(h.n_namesz) + padded(h.n_descsz) > left)
            return false;
        const unsigned char *name = *at + sizeof h;
        *out = (struct note){h.n_type, name + padded(h.n_namesz), h.n_descsz};
        *at = out->bytes + padded(h.n_descsz);
        if (h.n_namesz == sizeof IMAGE_OWNER && memcmp(name, IMAGE_OWNER, sizeof IMAGE_OWNER) == 0)
            return true;
    }
    return false;
}

/* An aligned copy of a note that is an array of `unit` bytes each; NULL when its size does not fit.
 */
static void *copy(const struct note *note, size_t unit, size_t *count)
{
    if (note->size % unit)
        return NULL;
    *count = note->size / unit;
    void *to = malloc(note->size + 1);
    if (to) {
        memcpy(to, note->bytes, note->size);
        ((char *)to)[note->size] = '\0';
    }
    return to;
}

static void *copy_one(const struct note *note, size_t size)
{
    size_t count;
    return note->size == size ? copy(note, size, &count) : NULL;
}

/* What an older image does not have is zero. */
static bool take_params(struct image *i, const struct note *n)
{
    if (i->params || n->size < offsetof(struct hijack_params, policy) ||
        n->size > sizeof *i->params || !(i->params = calloc(1, sizeof *i->params)))
        return false;
    memcpy(i->params, n->bytes, n->size);
    i->params_size = n->size;
    return true;
}

static bool take_note(struct image *i, const struct note *n)
{
    switch (n->type) {
    case IMAGE_NOTE_MAPS:
        return !i->maps && (i->maps = copy(n, sizeof *i->maps, &i->map_count));
    case IMAGE_NOTE_FILES:
        return !i->files && (i->files = copy(n, sizeof *i->files, &i->file_count));
    case IMAGE_NOTE_STRINGS:
        return !i->strings && (i->strings = copy(n, 1, &i->string_size)) && i->string_size;
    case IMAGE_NOTE_RUNS:
        return !i->runs && (i->runs = copy(n, sizeof *i->runs, &i->run_count));
    case IMAGE_NOTE_PROCESS:
        return !i->process && (i->process = copy_one(n, sizeof *i->process));
    case IMAGE_NOTE_THREADS:
        return !i->threads && (i->threads = copy(n, sizeof *i->threads, &i->thread_count));
    case IMAGE_NOTE_PARAMS:
        return take_params(i, n);
    case IMAGE_NOTE_FDS:
        return !i->fds && (i->fds = copy(n, 1, &i->fds_size));
    }
    return true;
}

/* --- checks --- */

static int damaged(struct image *image, const char *what)
{
    return image_fail(image, -EBADMSG, "the image '%s' is damaged: %s", image->path, what);
}

static bool whole_pages(uint64_t a, uint64_t b, uint64_t c)
{
    return ((a | b | c) & (IMAGE_PAGE - 1)) == 0;
}

static bool run_is_sound(const struct image *i, const struct image_map *m,
                         const struct image_run *r)
{
    if (!whole_pages(r->address, r->length, r->offset) || r->length == 0 || r->address < m->start ||
        r->address > m->end || r->length > m->end - r->address)
        return false;
    if (r->flags & IMAGE_RUN_GUARD)
        return true;
    return r->length <= IMAGE_RUN_MAX && r->offset >= i->header.data &&
           r->offset <= i->header.end && r->length <= i->header.end - r->offset;
}

static bool map_is_sound(const struct image *i, const struct image_map *m, uint64_t after)
{
    if (!whole_pages(m->start, m->end, m->offset) || m->start < after || m->end <= m->start ||
        m->name >= i->string_size || m->run > i->run_count || m->runs > i->run_count - m->run)
        return false;
    if (m->kind < IMAGE_ANONYMOUS || m->kind > IMAGE_VDSO ||
        (m->kind == IMAGE_FILE && m->file >= i->file_count))
        return false;
    for (uint32_t r = 0; r < m->runs; r++)
        if (!run_is_sound(i, m, &i->runs[m->run + r]))
            return false;
    return true;
}

static int check_tables(struct image *i)
{
    uint64_t after = IMAGE_PAGE;
    if (!i->maps || !i->files || !i->strings || !i->runs || !i->process || !i->threads ||
        !i->params || !i->fds)
        return damaged(i, "a note is missing or of a wrong size");
    if (i->strings[i->string_size - 1])
        return damaged(i, "its texts have no end");
    for (size_t m = 0; m < i->map_count; after = i->maps[m++].end)
        if (!map_is_sound(i, &i->maps[m], after))
            return damaged(i, "its table of mappings is not sound");
    for (size_t f = 0; f < i->file_count; f++)
        if (i->files[f].path >= i->string_size)
            return damaged(i, "its table of files is not sound");
    if (i->process->timer_count > IMAGE_TIMERS_MAX || i->process->thread_count != i->thread_count ||
        !i->thread_count || i->process->layout.auxv_size > sizeof i->process->auxv)
        return damaged(i, "its table of the process is not sound");
    if (i->fds_size && !fds_valid(i->fds, i->fds_size))
        return damaged(i, "its table of descriptors is not sound");
    return 0;
}

/* Between the runs an image has holes; a byte changed there would go unseen otherwise. */
static int check_hole(struct image *i, uint64_t from, uint64_t to)
{
    static char buffer[65536];
    while (from < to) {
        size_t n = to - from < sizeof buffer ? to - from : sizeof buffer;
        int result = read_at(i->fd, buffer, n, from);
        if (result)
            return image_fail(i, result, "cannot read the image '%s': %s", i->path,
                              strerror(-result));
        for (size_t b = 0; b < n; b++)
            if (buffer[b])
                return damaged(i, "bytes between its pages have changed");
        from += n;
    }
    return 0;
}

static int check_holes(struct image *i)
{
    uint64_t at = i->header.data;
    for (size_t r = 0; r < i->run_count; r++) {
        if (i->runs[r].flags & IMAGE_RUN_GUARD)
            continue;
        int result = i->runs[r].offset < at ? damaged(i, "its pages overlap")
                                            : check_hole(i, at, i->runs[r].offset);
        if (result)
            return result;
        at = i->runs[r].offset + i->runs[r].length;
    }
    return check_hole(i, at, i->header.end);
}

static int check_sum(struct image *i, unsigned char *head, const struct note *sum)
{
    uint64_t expected;
    if (sum->size != sizeof expected)
        return damaged(i, "its checksum is missing");
    memcpy(&expected, sum->bytes, sizeof expected);
    memset(head + (sum->bytes - head), 0, sizeof expected);
    return checksum(head, i->header.data) == expected
               ? 0
               : damaged(i, "its head does not match its checksum");
}

static int check_header(struct image *i, const struct note *n)
{
    struct stat st;
    if (n->size < 16 || n->type != IMAGE_NOTE_HEADER)
        return damaged(i, "its header is missing");
    memcpy(&i->header, n->bytes, n->size < sizeof i->header ? n->size : sizeof i->header);
    if (i->header.magic != IMAGE_MAGIC)
        return damaged(i, "its header has another magic number");
    if (i->header.version < IMAGE_OLDEST || i->header.version > IMAGE_VERSION)
        return image_fail(i, -EPROTONOSUPPORT,
                          "the image '%s' has format version %u; this program reads versions %u "
                          "to %u",
                          i->path, i->header.version, IMAGE_OLDEST, IMAGE_VERSION);
    if (n->size != sizeof i->header || i->header.data > HEAD_MAX || i->header.data > i->header.end)
        return damaged(i, "its header is not sound");
    if (fstat(i->fd, &st) || (uint64_t)st.st_size != i->header.end)
        return image_fail(i, -EBADMSG,
                          "the image '%s' is damaged: it has %lld bytes instead of %llu", i->path,
                          (long long)st.st_size, (unsigned long long)i->header.end);
    return 0;
}

/* --- reading --- */

/* Where the notes lie. */
static int find_notes(struct image *i, uint64_t *offset, uint64_t *size)
{
    Elf64_Ehdr e;
    Elf64_Phdr p;
    if (read_at(i->fd, &e, sizeof e, 0) || memcmp(e.e_ident, ELFMAG, SELFMAG) != 0 ||
        e.e_type != ET_CORE || e.e_ident[EI_CLASS] != ELFCLASS64)
        return image_fail(i, -EBADMSG, "'%s' is no image: not a 64-bit ELF core file", i->path);
    if (read_at(i->fd, &p, sizeof p, e.e_phoff) || p.p_type != PT_NOTE || p.p_offset > HEAD_MAX ||
        p.p_filesz > HEAD_MAX)
        return image_fail(i, -EBADMSG, "'%s' is no image: a core file of another kind, or damaged",
                          i->path);
    *offset = p.p_offset, *size = p.p_filesz;
    return 0;
}

/* The head's size is known only from the header note, which comes first among ours. */
static int read_head(struct image *i, unsigned char **head, uint64_t *notes, uint64_t *size)
{
    struct note n;
    int result = find_notes(i, notes, size);
    if (result)
        return result;
    uint64_t length = *notes + *size;
    if (!(*head = malloc(length + IMAGE_PAGE)))
        return image_fail(i, -ENOMEM, "no memory for the head of '%s'", i->path);
    if (read_at(i->fd, *head, length, 0))
        return damaged(i, "it is cut short");
    const unsigned char *at = *head + *notes;
    if (!next_note(&at, *head + length, &n))
        return image_fail(i, -EBADMSG, "'%s' is no image: a core file of another program", i->path);
    if ((result = check_header(i, &n)))
        return result;
    if (i->header.data < length || i->header.data - length >= IMAGE_PAGE)
        return damaged(i, "its header is not sound");
    return read_at(i->fd, *head + length, i->header.data - length, length)
               ? damaged(i, "it is cut short")
               : 0;
}

static int read_notes(struct image *i, unsigned char *head, uint64_t notes, uint64_t size)
{
    const unsigned char *at = head + notes;
    struct note n, last = {0};
    while (next_note(&at, head + notes + size, &n)) {
        if (!take_note(i, &n))
            return damaged(i, "a note is of a wrong size");
        last = n;
    }
    return last.type == IMAGE_NOTE_SUM ? check_sum(i, head, &last)
                                       : damaged(i, "its checksum is missing");
}

/* Two restarts at once would both find the program's files unchanged. The lock is let go with the
 * descriptor, when all is in place. A file system without locks, or one that locks only what is
 * writable (NFS), is no reason to refuse. */
static int lock(struct image *image)
{
    if (flock(image->fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return 0;
    return image_fail(image, -EBUSY,
                      "the image '%s' is being restarted by another process; wait until its "
                      "program runs, or end it",
                      image->path);
}

int image_open(struct image *image, const char *path)
{
    unsigned char *head = NULL;
    uint64_t notes = 0, size = 0;
    memset(image, 0, sizeof *image);
    image->path = path;
    image->errors = STDERR_FILENO;
    image->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (image->fd < 0)
        return image_fail(image, -errno, "cannot open the image '%s': %s", path, strerror(errno));
    int result = lock(image);
    if (!result)
        result = read_head(image, &head, &notes, &size);
    if (!result)
        result = read_notes(image, head, notes, size);
    free(head);
    if (!result)
        result = check_tables(image);
    return result ? result : check_holes(image);
}

void image_close(struct image *image)
{
    if (image->fd >= 0)
        close(image->fd);
    image->fd = -1;
    free(image->maps), free(image->files), free(image->runs), free(image->strings);
    free(image->process), free(image->threads), free(image->params), free(image->fds),
        free(image->place), free(image->aside);
}
