/* starter_plan.c - the plan for the restart library, and the way into it. */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "restart/starter.h"
#include "stubs/record.h"

#define STACK_SIZE 65536
#define TOP                                                                                        \
    0x7ffffffff000ULL /* beyond, the kernel maps nothing that was not asked for by address */

/* --- the plan --- */

static void keep(struct restart_plan *plan, uint64_t start, uint64_t end)
{
    plan->keep[plan->keep_count][0] = start;
    plan->keep[plan->keep_count++][1] = end;
}

/* As keep(), and to be unmapped by the resumed program. */
static void keep_for_now(struct restart_plan *plan, uint64_t start, uint64_t end)
{
    size_t i = 0;
    keep(plan, start, end);
    while (plan->handover.unmap[i][1])
        i++;
    plan->handover.unmap[i][0] = start;
    plan->handover.unmap[i][1] = end - start;
}

static int by_start(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return x[0] < y[0] ? -1 : x[0] > y[0];
}

/* Plan, tables and stack in one mapping of their own. */
static struct restart_plan *new_plan(struct image *image)
{
    size_t size = sizeof(struct restart_plan) +
                  (image->map_count + 8) * (sizeof(struct restart_move) + 16) + STACK_SIZE;
    size = (size + IMAGE_PAGE - 1) & ~(IMAGE_PAGE - 1);
    char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        image_fail(image, -errno, "no memory for the restart plan: %s", strerror(errno));
        return NULL;
    }
    struct restart_plan *plan = (void *)at;
    plan->moves = (void *)(plan + 1);
    plan->keep = (void *)(plan->moves + image->map_count + 4);
    plan->stack = (uintptr_t)(at + size);
    plan->top = TOP;
    keep_for_now(plan, (uintptr_t)at, (uintptr_t)(at + size));
    return plan;
}

static void plan_moves(const struct image *image, struct restart_plan *plan)
{
    for (size_t i = 0; i < image->map_count; i++) {
        const struct image_map *m = &image->maps[i];
        uint64_t size = m->end - m->start;
        keep(plan, image->place[i], image->place[i] + size);
        plan->moves[plan->move_count++] = (struct restart_move){image->place[i], m->start, size};
    }
}

/* The table of owners in a mapping of its own. */
static int plan_owners(struct image *image, struct restart_plan *plan)
{
    struct resume_owner *owners;
    size_t count;
    int result = owners_find(image, &owners, &count);
    size_t size = (count * sizeof *owners + IMAGE_PAGE) & ~(IMAGE_PAGE - 1);
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!result && at == MAP_FAILED)
        result =
            image_fail(image, -errno, "no memory for the table of held locks: %s", strerror(errno));
    if (!result) {
        memcpy(at, owners, count * sizeof *owners);
        plan->handover.owners = (uintptr_t)at, plan->handover.owner_count = count;
        keep_for_now(plan, (uintptr_t)at, (uintptr_t)at + size);
    }
    free(owners);
    return result;
}

/* --- the restart library --- */

int starter_companion(struct image *image, const char *name, char *to, size_t size)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return image_fail(image, -errno, "cannot find my own program file: %s", strerror(errno));
    self[n] = '\0';
    char *slash = strrchr(self, '/');
    snprintf(to, size, "%.*s/%s", (int)(slash ? slash - self : 0), self, name);
    return 0;
}

struct extent {
    uint64_t inside, start, end;
};

static int find_extent(struct dl_phdr_info *info, size_t size, void *context)
{
    struct extent *e = context;
    uint64_t start = UINT64_MAX, end = 0;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uint64_t at = info->dlpi_addr + p->p_vaddr;
        if (p->p_type != PT_LOAD)
            continue;
        start = at < start ? at : start;
        end = at + p->p_memsz > end ? at + p->p_memsz : end;
    }
    if (e->inside < start || e->inside >= end)
        return 0;
    e->start = start & ~(IMAGE_PAGE - 1);
    e->end = (end + IMAGE_PAGE - 1) & ~(IMAGE_PAGE - 1);
    return 1;
}

typedef void (*go_function)(struct restart_plan *);

/* The loader puts the library where nothing of the image goes: all that is reserved. */
static int load_library(struct image *image, struct restart_plan *plan, go_function *go)
{
    char path[PATH_MAX];
    int result = starter_companion(image, LIBRESTART_NAME, path, sizeof path);
    if (result)
        return result;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    *go = library ? (go_function)(uintptr_t)dlsym(library, "librestart_go") : NULL;
    if (!*go)
        return image_fail(image, -ELIBACC, "cannot load the restart library: %s", dlerror());
    struct extent extent = {.inside = (uintptr_t)*go};
    dl_iterate_phdr(find_extent, &extent);
    keep_for_now(plan, extent.start, extent.end);
    return 0;
}

/* The kernel must forget libc's rseq area before that is gone, or it kills us at its next write. */
static void forget_rseq(void)
{
    if (__rseq_size)
        syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, 32,
                RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
}

static void set_params(const struct image *image)
{
    struct hijack_params *params = memory_at(image, image->header.params);
    memcpy(params, image->params, image->params_size);
}

/* A release must end the shadow that the program has now. The old one goes on where it lived. */
static void set_shadow(const struct image *image, const struct starter_fds_session *session)
{
    struct hijack_record *record = memory_at(image, image->header.record);
    if (session->connection < 0)
        record->shadow = session->shadow > 0 ? (int32_t)session->shadow : 0;
}

int plan_go(struct image *image, const struct starter_fds_session *session)
{
    go_function go;
    sigset_t all;
    struct restart_plan *plan = new_plan(image);
    int result = plan ? vdso_plan(image, plan) : -ENOMEM;
    if (result || (result = plan_owners(image, plan)) || (result = load_library(image, plan, &go)))
        return result;
    plan_moves(image, plan);
    qsort(plan->keep, plan->keep_count, sizeof *plan->keep, by_start);
    plan->entry = image->header.entry;
    plan->layout = image->process->layout;
    memcpy(plan->auxv, image->process->auxv, sizeof plan->auxv);
    plan->connection = session->connection;
    plan->must_answer = session->remote;
    plan->errors = image->errors;
    plan->done_size = (uint32_t)session->done_size;
    memcpy(plan->done, session->done, sizeof plan->done);
    plan->handover.keep_ids = image->family.ids;
    plan->handover.resized = session->resized;
    memcpy(plan->handover.capabilities, image->family.capabilities,
           sizeof image->family.capabilities);
    set_params(image);
    set_shadow(image, session);
    close(image->fd);
    if (image->family.ids) {
        close(image->family.parent);
        process_await_threads();
    }
    sigfillset(&all);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
    forget_rseq();
    go(plan);
    return -EINVAL;
}
