/* thread.c - see thread.h. Entries are used again, and freed only with all of us: a list without
 * locks. */
#include <sys/mman.h>

#include "stubs/raw.h"
#include "stubs/thread.h"

static struct remote_thread first; /* zero: what is not needs to be written into the target */
static struct remote_thread *all = &first;
static uint32_t channels;

static int take(struct remote_thread *t, uintptr_t pointer)
{
    uintptr_t none = 0;
    return __atomic_compare_exchange_n(&t->pointer, &none, pointer, 0, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

static struct remote_thread *find(uintptr_t pointer)
{
    for (struct remote_thread *t = __atomic_load_n(&all, __ATOMIC_ACQUIRE); t; t = t->next)
        if (t->pointer == pointer)
            return t;
    return NULL;
}

static void prepare(struct channel *c)
{
    c->fd = c->signals = -1;
    if (!c->number)
        c->number = __atomic_add_fetch(&channels, 1, __ATOMIC_RELAXED);
}

static struct remote_thread *reuse(uintptr_t pointer)
{
    for (struct remote_thread *t = __atomic_load_n(&all, __ATOMIC_ACQUIRE); t; t = t->next)
        if (!t->pointer && take(t, pointer)) {
            prepare(&t->channel);
            return t;
        }
    return NULL;
}

static struct remote_thread *add(uintptr_t pointer)
{
    long at = raw(SYS_mmap, 0, sizeof(struct remote_thread), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw_failed(at))
        return NULL;
    struct remote_thread *t = (struct remote_thread *)at;
    t->pointer = pointer;
    prepare(&t->channel);
    t->next = __atomic_load_n(&all, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&all, &t->next, t, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
    return t;
}

struct remote_thread *remote_thread(void)
{
    uintptr_t pointer = thread_pointer();
    struct remote_thread *t = find(pointer);
    if (!t)
        t = reuse(pointer);
    return t ? t : add(pointer);
}

ucontext_t *remote_thread_waits(ucontext_t *frame)
{
    struct remote_thread *t = remote_thread();
    ucontext_t *before = t ? t->frame : NULL;
    if (t)
        t->frame = frame;
    return before;
}

ucontext_t *remote_thread_frame(uintptr_t pointer)
{
    struct remote_thread *t = find(pointer);
    return t ? t->frame : NULL;
}

void remote_thread_end(void)
{
    struct remote_thread *t = find(thread_pointer());
    if (!t)
        return;
    channel_close(&t->channel);
    __atomic_store_n(&t->pointer, 0, __ATOMIC_RELEASE);
}

void remote_thread_each(void (*each)(struct remote_thread *t))
{
    for (struct remote_thread *t = __atomic_load_n(&all, __ATOMIC_ACQUIRE); t; t = t->next)
        if (t->pointer)
            each(t);
}

void remote_thread_free(void)
{
    while (all != &first) {
        struct remote_thread *t = all;
        all = t->next;
        raw(SYS_munmap, t, sizeof *t);
    }
}
