/* text.c - see text.h. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "driver/text.h"

#define PAGE 4096 /* a unit of writing, not necessarily the machine's page */

/* Reads the text that patches [first, last] span. */
static int read_span(struct target *target, const struct hijack_patch *first,
                     const struct hijack_patch *last, unsigned char *bytes, struct failure *f)
{
    size_t size = last->address + last->size - first->address;
    if (proc_read_memory(target->info.pid, first->address, bytes, size) == 0)
        return 0;
    return inferior_read(target->inferior, first->address, bytes, size, f);
}

/* The number of patches from `first` on that one write covers: same page, ascending addresses. */
static size_t group(const struct hijack_record *record, size_t first)
{
    size_t n = 1;
    taddr page = record->patches[first].address / PAGE;
    while (first + n < record->patch_count && record->patches[first + n].address / PAGE == page &&
           record->patches[first + n].address > record->patches[first].address)
        n++;
    return n;
}

/* Edits the bytes that were read; returns whether a patch stands in neither state. Those are left.
 */
static bool edit(unsigned char *bytes, const struct hijack_patch *patches, size_t count, bool patch)
{
    bool strange = false;
    for (size_t i = 0; i < count; i++) {
        unsigned char *at = bytes + (patches[i].address - patches->address);
        const uint8_t *from = patch ? patches[i].original : patches[i].patched;
        const uint8_t *to = patch ? patches[i].patched : patches[i].original;
        if (memcmp(at, from, patches[i].size) == 0)
            memcpy(at, to, patches[i].size);
        else if (memcmp(at, to, patches[i].size) != 0)
            strange = true;
    }
    return strange;
}

/* --- all groups --- */

/* A group of patches, and its text: as it is, then as it shall be. */
struct span {
    const struct hijack_patch *first, *last;
    unsigned char bytes[PAGE + HIJACK_PATCH_BYTES];
};

static size_t size_of(const struct span *s)
{
    return s->last->address + s->last->size - s->first->address;
}

static int fail_stale(const struct span *s, bool patch, struct failure *f)
{
    const char *why = patch ? "is not what its file says: changed by another tool?"
                            : "was changed by another tool after the hijack and is left as it is";
    return fail(f, -ESTALE, "the C library's text at %" PRItaddr " %s", (taddr)s->first->address,
                why);
}

/* Reads and edits. -ESTALE: a patch stands in neither state. */
static int prepare(struct target *target, struct span *s, size_t count, bool patch,
                   struct failure *f)
{
    int code = read_span(target, s->first, s->last, s->bytes, f);
    return code == 0 && edit(s->bytes, s->first, count, patch) ? fail_stale(s, patch, f) : code;
}

static int compare(struct target *target, const struct span *s, struct failure *f)
{
    unsigned char written[sizeof s->bytes];
    int code = read_span(target, s->first, s->last, written, f);
    return code == 0 && memcmp(s->bytes, written, size_of(s)) != 0
               ? fail(f, -EIO, "text written at %" PRItaddr " reads back differently",
                      (taddr)s->first->address)
               : code;
}

static int write_and_compare(struct target *target, struct span *spans, struct piece *pieces,
                             size_t count, struct failure *f)
{
    for (size_t i = 0; i < count; i++)
        pieces[i] = (struct piece){spans[i].first->address, spans[i].bytes, size_of(&spans[i])};
    int code = inferior_write_pieces(target->inferior, pieces, count, f);
    for (size_t i = 0; i < count && code == 0; i++)
        code = compare(target, &spans[i], f);
    return code;
}

/* Changes the text from one state to the other. -ESTALE when a patch stands in neither: then
 * nothing is written when patching, and when unpatching all the others are. */
static int change(struct target *target, const struct hijack_record *record, bool patch,
                  struct failure *f)
{
    struct span *spans = calloc(record->patch_count + 1, sizeof *spans);
    struct piece *pieces = calloc(record->patch_count + 1, sizeof *pieces);
    size_t count = 0;
    int code = spans && pieces ? 0 : fail_errno(f, -ENOMEM, "cannot change the text"), stale = 0;
    for (size_t i = 0, n; i < record->patch_count && code == 0; i += n) {
        struct span *s = &spans[count++];
        n = group(record, i);
        *s = (struct span){.first = &record->patches[i], .last = &record->patches[i + n - 1]};
        code = prepare(target, s, n, patch, f);
        if (code == -ESTALE && !patch)
            stale = code, code = 0;
    }
    if (code == 0 && count)
        code = write_and_compare(target, spans, pieces, count, f);
    free(spans);
    free(pieces);
    return code < 0 ? code : stale;
}

int text_patch(struct target *target, const struct hijack_record *record, struct failure *f)
{
    return change(target, record, true, f);
}

int text_unpatch(struct target *target, const struct hijack_record *record, struct failure *f)
{
    return change(target, record, false, f);
}
