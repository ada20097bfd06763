#include "driver/replace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A function of libc that is in the table. */
struct candidate {
    struct object_function function;
    const struct call_function *row;
};

struct candidates {
    const struct objects *objects;
    const struct object *object;
    struct candidate *list;
    size_t count, room;
};

struct replace {
    struct replace_patch *patches;
    size_t count;
    struct replace_refusal *refusals;
    size_t refused;
};

/* --- which functions --- */

static int grow(struct candidates *all)
{
    size_t room = all->room ? 2 * all->room : 512;
    struct candidate *list = reallocarray(all->list, room, sizeof *list);
    if (!list)
        return -ENOMEM;
    all->list = list;
    all->room = room;
    return 0;
}

/* A stub that goes on at home knows one of its function, the default version. */
static bool is_default(const struct candidates *all, const struct object_function *function)
{
    taddr address;
    return !object_symbol(all->objects, all->object, function->name, &address) ||
           address == function->address;
}

static int collect_one(void *context, const struct object_function *function)
{
    struct candidates *all = context;
    const struct call_function *row = call_named(function->name);
    if (!row || (call_goes_on(row) && !is_default(all, function)))
        return 0;
    if (all->count == all->room && grow(all) != 0)
        return -ENOMEM;
    all->list[all->count++] = (struct candidate){*function, row};
    return 0;
}

/* "read" before "__read" before "__read_nocancel". */
static int plainer(const char *a, const char *b)
{
    int by_underscore = (a[0] == '_') - (b[0] == '_');
    int by_length = (int)strlen(a) - (int)strlen(b);
    return by_underscore ? by_underscore : by_length ? by_length : strcmp(a, b);
}

static int by_address_and_name(const void *left, const void *right)
{
    const struct object_function *a = &((const struct candidate *)left)->function;
    const struct object_function *b = &((const struct candidate *)right)->function;
    if (a->address != b->address)
        return a->address < b->address ? -1 : 1;
    return plainer(a->name, b->name);
}

/* Keeps one candidate per address, under its plainest name. */
static void keep_addresses(struct candidates *all)
{
    size_t kept = 0;
    if (all->count)
        qsort(all->list, all->count, sizeof *all->list, by_address_and_name);
    for (size_t i = 0; i < all->count; i++)
        if (kept == 0 || all->list[kept - 1].function.address != all->list[i].function.address)
            all->list[kept++] = all->list[i];
    all->count = kept;
}

static int collect(const struct objects *objects, const struct object *object,
                   struct candidates *all, struct failure *f)
{
    if (object_functions(objects, object, collect_one, all) != 0)
        return fail(f, -ENOMEM, "no memory for the functions of '%s'", object->path);
    if (all->count == 0)
        return fail(f, -ENOENT, "'%s' has none of the system call functions", object->path);
    keep_addresses(all);
    return 0;
}

/* --- how each of them --- */

static int plan_jump(const struct objects *objects, const struct object *object,
                     const struct object_function *function, struct jump_plan *out,
                     struct failure *f)
{
    uint8_t body[8192];
    if (function->size == 0 || function->size > sizeof body)
        return fail(f, -ENOTSUP, "its symbol gives %" PRIu64 " bytes", function->size);
    if (object_text(objects, object, function->address, body, function->size) != 0)
        return fail(f, -EFAULT, "its bytes are not in the file");
    return jump_plan(body, function->size, function->address, out, f);
}

static void plan_one(struct replace *r, const struct objects *objects, const struct object *object,
                     const struct candidate *c)
{
    struct failure why;
    struct replace_patch *patch = &r->patches[r->count];
    *patch = (struct replace_patch){
        .row = c->row, .address = c->function.address, .size = c->function.size};
    snprintf(patch->name, sizeof patch->name, "%s", c->function.name);
    if (plan_jump(objects, object, &c->function, &patch->jump, &why) == 0) {
        r->count++;
        return;
    }
    struct replace_refusal *refusal = &r->refusals[r->refused++];
    *refusal = (struct replace_refusal){.row = c->row, .address = c->function.address};
    snprintf(refusal->name, sizeof refusal->name, "%s", c->function.name);
    snprintf(refusal->why, sizeof refusal->why, "%.*s", (int)sizeof refusal->why - 1, why.text);
}

static struct replace *allocate(size_t count)
{
    struct replace *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->patches = calloc(count, sizeof *r->patches);
    r->refusals = calloc(count, sizeof *r->refusals);
    if (r->patches && r->refusals)
        return r;
    replace_free(r);
    return NULL;
}

int replace_plan(const struct objects *objects, const struct object *object, struct replace **out,
                 struct failure *f)
{
    struct candidates all = {.objects = objects, .object = object};
    int error = collect(objects, object, &all, f);
    struct replace *r = error ? NULL : allocate(all.count);
    if (!error && !r)
        error = fail(f, -ENOMEM, "no memory for %zu patches", all.count);
    for (size_t i = 0; r && i < all.count; i++)
        plan_one(r, objects, object, &all.list[i]);
    free(all.list);
    *out = r;
    return error;
}

void replace_free(struct replace *replace)
{
    if (!replace)
        return;
    free(replace->patches);
    free(replace->refusals);
    free(replace);
}

/* --- where the island is --- */

size_t replace_count_slots(const struct replace *replace)
{
    return replace->count;
}

size_t replace_island_size(const struct replace *replace)
{
    return replace->count * JUMP_SLOT;
}

int replace_place(struct replace *replace, taddr island, struct failure *f)
{
    for (size_t i = 0; i < replace->count; i++) {
        struct replace_patch *patch = &replace->patches[i];
        patch->slot = island + i * JUMP_SLOT;
        int error = jump_entry(&patch->jump, patch->slot, patch->entry, f);
        if (!error)
            error = jump_slot(&patch->jump, patch->slot, patch->slot_bytes, f);
        if (error)
            return error;
    }
    return 0;
}

/* --- looking --- */

const struct replace_patch *replace_at(const struct replace *replace, size_t index)
{
    return &replace->patches[index];
}

size_t replace_refused(const struct replace *replace)
{
    return replace->refused;
}

const struct replace_refusal *replace_refusal_at(const struct replace *replace, size_t index)
{
    return &replace->refusals[index];
}

static int compare_interior(const void *key, const void *element)
{
    taddr pc = *(const taddr *)key;
    const struct jump_plan *jump = &((const struct replace_patch *)element)->jump;
    return pc <= jump->entry ? -1 : pc >= jump->entry + jump->displaced;
}

const struct replace_patch *replace_covers_pc(const struct replace *replace, taddr pc)
{
    return bsearch(&pc, replace->patches, replace->count, sizeof *replace->patches,
                   compare_interior);
}

static int compare_function(const void *key, const void *element)
{
    taddr address = *(const taddr *)key;
    const struct replace_patch *patch = element;
    return address < patch->address ? -1 : address >= patch->address + patch->size;
}

const struct replace_patch *replace_holding(const struct replace *replace, taddr address)
{
    return bsearch(&address, replace->patches, replace->count, sizeof *replace->patches,
                   compare_function);
}
