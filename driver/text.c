/* text.c - see text.h. */
#include <errno.h>
#include <stdbool.h>
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

static int write_and_compare(struct target *target, const struct hijack_patch *first,
                             const struct hijack_patch *last, const unsigned char *bytes,
                             struct failure *f)
{
    unsigned char written[PAGE + HIJACK_PATCH_BYTES];
    size_t size = last->address + last->size - first->address;
    int code = inferior_write(target->inferior, first->address, bytes, size, f);
    if (code == 0)
        code = read_span(target, first, last, written, f);
    if (code == 0 && memcmp(bytes, written, size) != 0)
        code = fail(f, -EIO, "text written at %" PRItaddr " reads back differently",
                    (taddr)first->address);
    return code;
}

/* Changes the text of a group from one state to the other. -ESTALE when a patch stands in neither:
 * then nothing is written when patching, and when unpatching all the others are. */
static int change_group(struct target *target, const struct hijack_patch *patches, size_t count,
                        bool patch, struct failure *f)
{
    unsigned char bytes[PAGE + HIJACK_PATCH_BYTES];
    const struct hijack_patch *last = &patches[count - 1];
    int code = read_span(target, patches, last, bytes, f);
    if (code < 0)
        return code;
    bool strange = edit(bytes, patches, count, patch);
    if (strange && patch)
        return fail(f, -ESTALE,
                    "the C library's text at %" PRItaddr
                    " is not what its file says: changed by another tool?",
                    (taddr)patches->address);
    code = write_and_compare(target, patches, last, bytes, f);
    if (code == 0 && strange)
        code = fail(f, -ESTALE,
                    "text at %" PRItaddr
                    " was changed by another tool after the hijack and is left as it is",
                    (taddr)patches->address);
    return code;
}

int text_patch(struct target *target, const struct hijack_record *record, struct failure *f)
{
    for (size_t i = 0, n; i < record->patch_count; i += n) {
        n = group(record, i);
        int code = change_group(target, &record->patches[i], n, true, f);
        if (code < 0)
            return code;
    }
    return 0;
}

int text_unpatch(struct target *target, const struct hijack_record *record, struct failure *f)
{
    int stale = 0;
    for (size_t i = 0, n; i < record->patch_count; i += n) {
        n = group(record, i);
        int code = change_group(target, &record->patches[i], n, false, f);
        if (code < 0 && code != -ESTALE)
            return code;
        if (code < 0)
            stale = code;
    }
    return stale;
}
