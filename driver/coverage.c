/* coverage.c - see coverage.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "driver/coverage.h"
#include "driver/sites.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_OFF          0
#endif

bool coverage_net(void)
{
    return prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0) == 0;
}

/* Is the call made by a stub once the function's entry leads there? */
static bool is_patched(const struct replace *replace, taddr site)
{
    const struct replace_patch *patch = replace_holding(replace, site);
    return patch && call_has_stub(patch->row);
}

static bool is_local(const uint8_t *text, size_t site)
{
    long number = sites_number(text, site);
    return number >= 0 && number < (long)calls_count && calls[number].how == CALL_LOCAL;
}

static void count_object(const struct objects *objects, const struct object *object,
                         const struct replace *replace, struct coverage *c)
{
    size_t size = object->text_used_end - object->text_start;
    const uint8_t *text = object_bytes(objects, object, object->text_start, size);
    if (!text) {
        c->left_out += size;
        return;
    }
    c->files++;
    for (size_t at = sites_next(text, size, 0); at < size; at = sites_next(text, size, at + 1))
        if (is_patched(replace, object->text_start + at))
            c->patched++;
        else if (is_local(text, at))
            c->local++;
        else
            c->net_only += sites_is_one(text, size, at);
}

static uint64_t text_size(const struct object *object)
{
    return object->text_used_end - object->text_start;
}

static int by_size(const void *left, const void *right)
{
    uint64_t a = text_size(*(const struct object *const *)left);
    uint64_t b = text_size(*(const struct object *const *)right);
    return (a > b) - (a < b);
}

/* All objects but libc by size; the caller frees. */
static const struct object **list_others(const struct objects *objects, const struct object *libc,
                                         size_t *count)
{
    const struct object **list = calloc(objects_count(objects) + 1, sizeof *list);
    *count = 0;
    for (size_t i = 0; list && i < objects_count(objects); i++)
        if (objects_at(objects, i) != libc)
            list[(*count)++] = objects_at(objects, i);
    if (list)
        qsort(list, *count, sizeof *list, by_size);
    return list;
}

void coverage_count(const struct objects *objects, const struct object *libc,
                    const struct replace *replace, uint64_t most, struct coverage *out)
{
    size_t count;
    const struct object **others = list_others(objects, libc, &count);
    uint64_t looked_at = text_size(libc);
    *out = (struct coverage){0};
    count_object(objects, libc, replace, out);
    for (size_t i = 0; i < count; i++) {
        looked_at += text_size(others[i]);
        if (looked_at <= most)
            count_object(objects, others[i], replace, out);
        else
            out->left_out += text_size(others[i]);
    }
    free(others);
    if (!coverage_net()) {
        out->uncovered = out->net_only;
        out->net_only = 0;
    }
}

const char *coverage_text(const struct coverage *c, char *out, size_t size)
{
    int length =
        snprintf(out, size, "%zu by the net only, %zu uncovered", c->net_only, c->uncovered);
    if (c->left_out)
        snprintf(out + length, size - (size_t)length, ", %" PRIu64 " KiB of text not searched",
                 c->left_out / 1024);
    return out;
}
