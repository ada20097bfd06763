/*
 * safepoint.c - see safepoint.h.
 *
 * First the ranges of code where nothing may be called are gathered, then the frames are held
 * against them. In a stripped libc the allocator's inner functions have no names; but an object
 * file's code stays together when it is linked, so that everything from the first to the last
 * public function of the allocator, and up to the public functions next to them, counts as the
 * allocator. (A frame in there need not have one of malloc's frames above it: memalign, for one,
 * leaves by a jump.)
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/safepoint.h"

#define ALLOCATOR_SIZE_LIMIT                                                                       \
    (256 << 10) /* libc's allocator is smaller: else its functions do not lie together */
#define STACK_SCAN_LIMIT (8 << 20)
#define UNSIZED          16 /* bytes that a function without a size is taken to have */

static const char *const allocator[] = {
    "malloc",        "free",           "calloc",    "realloc", "reallocarray", "memalign",
    "aligned_alloc", "posix_memalign", "valloc",    "pvalloc", "malloc_trim",  "malloc_info",
    "malloc_stats",  "mallinfo",       "mallinfo2", "mallopt", "cfree",        "malloc_usable_size",
};

/* Others that hold the allocator's or the loader's locks, or after which no call makes sense. The
 * C++ operators are allocators of their own in some libraries. */
static const char *const others[] = {
    "_Znwm",
    "_Znam",
    "_ZdlPv",
    "_ZdaPv",
    "_ZdlPvm",
    "_ZdaPvm",
    "_ZnwmSt11align_val_t",
    "_ZnamSt11align_val_t",
    "_ZdlPvSt11align_val_t",
    "_ZdaPvSt11align_val_t",
    "_ZdlPvmSt11align_val_t",
    "_ZdaPvmSt11align_val_t",
    "dlopen",
    "dlmopen",
    "dlclose",
    "dlsym",
    "dlvsym",
    "dladdr",
    "dladdr1",
    "dlinfo",
    "dlerror",
    "dl_iterate_phdr",
    "_dl_find_object",
    "_dl_addr",
    "__tls_get_addr",
    "__libc_early_init",
    "__libc_freeres",
    "__register_atfork",
    "pthread_atfork",
    "fork",
    "_Fork",
    "vfork",
    "posix_spawn",
    "posix_spawnp",
    "pthread_create",
    "pthread_exit",
    "thrd_create",
    "exit",
    "quick_exit",
    "abort",
    "__cxa_finalize",
    "__cxa_atexit",
    "__cxa_thread_atexit_impl",
    "at_quick_exit",
    "on_exit",
};
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Code in which nothing may be called. */
struct range {
    taddr start, end;
    const char *what;
    const struct object *object;
};

struct check {
    const struct safepoint *place;
    const struct object *libc;
    struct range *ranges;
    size_t count, room;
    size_t frames;
    struct range beginning; /* the code that calls main, for stacks that are scanned */
    bool began;             /* it was found */
    char *reason;           /* "" as long as nothing speaks against it */
    char *where;
};

static const char *base_name(const struct object *object)
{
    const char *slash = strrchr(object->path, '/');
    return slash ? slash + 1 : object->path;
}

/* --- the ranges --- */

static int add_range(struct check *c, struct range range)
{
    if (c->count == c->room) {
        size_t room = c->room ? 2 * c->room : 64;
        struct range *more = realloc(c->ranges, room * sizeof *more);
        if (!more)
            return -ENOMEM;
        c->ranges = more;
        c->room = room;
    }
    c->ranges[c->count++] = range;
    return 0;
}

static int add_names(struct check *c, const struct object *object, const char *const *names,
                     size_t count)
{
    const struct objects *objects = c->place->input.objects;
    struct object_function f;
    for (size_t i = 0; i < count; i++) {
        if (!object_function_exported(objects, object, names[i], &f))
            continue;
        taddr end = f.address + (f.size ? f.size : UNSIZED);
        if (add_range(c, (struct range){f.address, end, names[i], object}))
            return -ENOMEM;
    }
    return 0;
}

static bool is_allocator(const char *name)
{
    for (size_t i = 0; i < COUNT(allocator); i++)
        if (!strcmp(name, allocator[i]))
            return true;
    return false;
}

/* From the end of the last function before the allocator to the beginning of the first one behind
 * it. */
struct neighbourhood {
    taddr first, last; /* of the allocator's public functions */
    taddr before, behind;
};

static int widen(void *context, const struct object_function *f)
{
    struct neighbourhood *n = context;
    if (!is_allocator(f->name))
        return 0;
    if (!n->first || f->address < n->first)
        n->first = f->address;
    if (f->address > n->last)
        n->last = f->address;
    return 0;
}

static int bound(void *context, const struct object_function *f)
{
    struct neighbourhood *n = context;
    taddr end = f->address + f->size;
    if (end <= n->first && end > n->before)
        n->before = end;
    if (f->address > n->last && f->address < n->behind)
        n->behind = f->address;
    return 0;
}

static int add_neighbourhood(struct check *c)
{
    const struct objects *objects = c->place->input.objects;
    struct neighbourhood n = {.before = c->libc->text_start, .behind = c->libc->text_end};
    object_functions(objects, c->libc, widen, &n);
    if (!n.first || n.last - n.first > ALLOCATOR_SIZE_LIMIT)
        return 0;
    object_functions(objects, c->libc, bound, &n);
    return add_range(c, (struct range){n.before, n.behind, "the allocator", c->libc});
}

static bool is_loader(const struct object *object)
{
    const char *name = base_name(object);
    return !strncmp(name, "ld-linux", 8) || !strncmp(name, "ld-2.", 5) ||
           !strncmp(name, "ld64.so", 7) || !strncmp(name, "ld.so", 5);
}

/* A library that is there to replace malloc: its inner functions are not told apart. */
static bool is_allocator_library(const struct check *c, const struct object *object)
{
    struct object_function f;
    const char *name = base_name(object);
    return object != c->libc && strstr(name, ".so") &&
           object_function_exported(c->place->input.objects, object, "malloc", &f) &&
           object_function_exported(c->place->input.objects, object, "free", &f);
}

static int add_object(struct check *c, const struct object *object)
{
    if (is_loader(object))
        return add_range(
            c, (struct range){object->text_start, object->text_end, "the dynamic linker", object});
    if (is_allocator_library(c, object))
        return add_range(
            c, (struct range){object->text_start, object->text_end, "the allocator", object});
    int error = add_names(c, object, allocator, COUNT(allocator));
    return error ? error : add_names(c, object, others, COUNT(others));
}

/* Names first: they make the better reason. The server needs no lock of anybody's, and may go
 * everywhere: no range. */
static int gather_ranges(struct check *c)
{
    const struct objects *objects = c->place->input.objects;
    int error = 0;
    if (c->place->purpose == SAFEPOINT_FOR_SERVER)
        return 0;
    for (size_t i = 0; !error && i < objects_count(objects); i++)
        error = add_object(c, objects_at(objects, i));
    if (!error && c->libc)
        error = add_neighbourhood(c);
    return error;
}

/* --- frames --- */

static void object_to(char reason[SAFEPOINT_REASON], const char *what, const struct object *object)
{
    snprintf(reason, SAFEPOINT_REASON, "in %s (%s)", what, base_name(object));
}

static bool in_range(struct check *c, taddr pc)
{
    for (size_t i = 0; i < c->count; i++) {
        if (pc < c->ranges[i].start || pc >= c->ranges[i].end)
            continue;
        object_to(c->reason, c->ranges[i].what, c->ranges[i].object);
        return true;
    }
    return false;
}

static int on_frame(void *context, taddr pc, bool activation)
{
    struct check *c = context;
    bool innermost = c->frames++ == 0;
    if (activation && !innermost)
        snprintf(c->reason, SAFEPOINT_REASON, "in a signal handler");
    else
        in_range(c, activation ? pc : pc - 1);
    return c->reason[0] != '\0';
}

/* --- stacks without unwind tables --- */

/* libc's function that calls main, or a hidden one beside it, is on the stack of every program that
 * has got to main. */
static bool add_beginning(struct check *c)
{
    const struct objects *objects = c->place->input.objects;
    struct object_function f;
    if (!c->libc || !object_function_exported(objects, c->libc, "__libc_start_main", &f))
        return false;
    struct neighbourhood n = {.first = f.address,
                              .last = f.address,
                              .before = c->libc->text_start,
                              .behind = c->libc->text_end};
    object_functions(objects, c->libc, bound, &n);
    c->beginning = (struct range){n.before, n.behind, NULL, c->libc};
    return true;
}

/* What a word of the stack may be: a return address into a range, or the return from a signal
 * handler. */
static bool suspect(struct check *c, taddr word)
{
    const struct objects *objects = c->place->input.objects;
    const struct object *object = objects_holding(objects, word);
    unsigned char bytes[16];
    if (!object)
        return false;
    if (!object_text(objects, object, word, bytes, sizeof bytes) && unwind_is_sigreturn(bytes)) {
        snprintf(c->reason, SAFEPOINT_REASON, "in a signal handler");
        return true;
    }
    if (object_text(objects, object, word - UNWIND_CALL_BYTES, bytes, UNWIND_CALL_BYTES) ||
        !unwind_after_call(bytes))
        return false;
    c->began |= word > c->beginning.start && word <= c->beginning.end;
    return in_range(c, word - 1);
}

static int scan_words(struct check *c, taddr from, size_t size)
{
    const struct unwind_input *input = &c->place->input;
    taddr *words = malloc(size);
    if (!words)
        return -ENOMEM;
    int error = input->read(input->context, from, words, size);
    for (size_t i = 0; !error && i < size / sizeof *words && !suspect(c, words[i]);)
        i++;
    free(words);
    return error;
}

/* Bytes of the stack to look at; 0: it cannot be done. For the server a signal handler is looked
 * for, whose stack, if it is one of its own, is smaller than the limit. */
static size_t scan_size(struct check *c, taddr sp)
{
    const struct mapping *stack = maps_find(c->place->maps, sp);
    taddr size = stack ? stack->end - sp : 0;
    if (c->place->purpose == SAFEPOINT_FOR_SERVER)
        return (size_t)(size < STACK_SCAN_LIMIT ? size : STACK_SCAN_LIMIT);
    return size <= STACK_SCAN_LIMIT && add_beginning(c) ? (size_t)size : 0;
}

static int scan_stack(struct check *c, struct failure *f)
{
    const struct unwind_input *input = &c->place->input;
    taddr sp = input->registers[unwind_register_sp] & -(taddr)sizeof(taddr);
    size_t size = scan_size(c, sp);
    if (!size) {
        snprintf(c->reason, SAFEPOINT_REASON, "its stack cannot be followed: %.150s", f->text);
        return 0;
    }
    int error = scan_words(c, sp, size);
    if (error)
        return fail_errno(f, error, "cannot read the stack of process %d", (int)input->pid);
    if (!c->reason[0] && !c->began && c->place->purpose == SAFEPOINT_FOR_LIBC)
        snprintf(c->reason, SAFEPOINT_REASON, "before the beginning of main");
    return 0;
}

/* --- restartable sequences: struct rseq and struct rseq_cs of linux/rseq.h --- */

static int64_t rseq_offset(const struct check *c)
{
    const struct unwind_input *input = &c->place->input;
    int64_t offset = 0;
    taddr address;
    for (size_t i = 0; i < objects_count(input->objects); i++)
        if (is_loader(objects_at(input->objects, i)) &&
            object_symbol(input->objects, objects_at(input->objects, i), "__rseq_offset",
                          &address) &&
            input->read(input->context, address, &offset, sizeof offset))
            return 0;
    return offset;
}

static void check_rseq(struct check *c)
{
    const struct unwind_input *input = &c->place->input;
    int64_t offset = c->place->thread_pointer ? rseq_offset(c) : 0;
    taddr section = 0, pc = input->registers[unwind_register_pc];
    struct {
        uint32_t version, flags;
        uint64_t start, length, abort;
    } s;
    if (!offset || input->read(input->context, c->place->thread_pointer + (taddr)offset + 8,
                               &section, sizeof section))
        return;
    if (section && !input->read(input->context, section, &s, sizeof s) && pc - s.start < s.length)
        snprintf(c->reason, SAFEPOINT_REASON, "in a restartable sequence");
}

/* --- all together --- */

static void name_place(struct check *c)
{
    const struct objects *objects = c->place->input.objects;
    taddr pc = c->place->input.registers[unwind_register_pc];
    const struct object *object = objects_holding(objects, pc);
    struct object_function f;
    c->where[0] = '\0';
    if (!object)
        return;
    bool named = object == c->libc && object_function_at(objects, object, pc, &f);
    snprintf(c->where, SAFEPOINT_REASON, "%s", named ? f.name : base_name(object));
}

/* The stack that the kernel made grows by itself, and has room for what a signal frame needs. */
static bool on_main_stack(const struct check *c)
{
    taddr sp = c->place->input.registers[unwind_register_sp];
    const struct mapping *mapping = maps_find(c->place->maps, sp);
    return mapping && strcmp(mapping->path, "[stack]") == 0;
}

static int check_frames(struct check *c, struct failure *f)
{
    int error = gather_ranges(c);
    if (error)
        return fail(f, error, "cannot look for a safe point: out of memory");
    name_place(c);
    check_rseq(c);
    if (c->reason[0])
        return 0;
    if (c->place->purpose == SAFEPOINT_FOR_SERVER && on_main_stack(c))
        return 1;
    int outermost = unwind(&c->place->input, on_frame, c, f);
    if (outermost < 0)
        return outermost;
    if (!outermost && !c->reason[0] && (error = scan_stack(c, f)))
        return error;
    return !c->reason[0];
}

int safepoint_check(const struct safepoint *place, char reason[SAFEPOINT_REASON],
                    char where[SAFEPOINT_REASON], struct failure *f)
{
    struct check c = {.place = place, .reason = reason, .where = where};
    reason[0] = '\0';
    c.libc = objects_libc(place->input.objects);
    int result = check_frames(&c, f);
    free(c.ranges);
    return result;
}
