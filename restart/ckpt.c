/* ckpt.c - one checkpoint from the signal to the report; see ckpt.h for the flow. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "restart/ckpt.h"
#include "restart/ckpt_arch.h"
#include "restart/ckpt_remote.h"
#include "restart/ckpt_rendezvous.h"
#include "restart/fds.h"
#include "restart/resume.h"
#include "stubs/agent.h"
#include "stubs/handler.h"
#include "stubs/link.h"
#include "stubs/local.h"
#include "stubs/mem.h"
#include "stubs/raw.h"
#include "stubs/remote.h"
#include "stubs/reissue.h"

struct ckpt ckpt;
struct text ckpt_why;

static struct link shadow;
static struct frame_request request;

/* The last report, and how many there have been: where no shadow is left to pass it on, the tool
 * reads it here. */
HIJACK_EXPORT struct frame_report ckpt_report;
HIJACK_EXPORT uint32_t ckpt_reports;

long ckpt_fail(long error, const char *what, const char *subject)
{
    if (ckpt_why.length)
        return error; /* the first cause is the one to tell */
    text_add(&ckpt_why, what);
    if (*subject) {
        text_add(&ckpt_why, " '");
        text_add(&ckpt_why, subject);
        text_add(&ckpt_why, "'");
    }
    text_cause(&ckpt_why, error);
    return error;
}

/* --- scratch --- */

static unsigned shift; /* the tables are 1 << shift times smaller than wished */

static void *carve(uintptr_t *at, size_t bytes)
{
    void *table = (void *)*at;
    *at += (bytes >> shift) + IMAGE_PAGE - 1;
    *at &= ~(IMAGE_PAGE - 1);
    return table;
}

#define CARVE(table, limit, count)                                                                 \
    (ckpt.limit = (size_t)(count) >> shift,                                                        \
     ckpt.table = carve(&at, (size_t)(count) * sizeof *ckpt.table))

/* Sets the tables up from `at` on; returns the end of the last. */
static uintptr_t carve_all(uintptr_t at)
{
    CARVE(maps, map_limit, 1 << 17);
    CARVE(files, file_limit, 1 << 15);
    CARVE(runs, run_limit, 1 << 22);
    CARVE(segments, segment_limit, 1 << 17);
    CARVE(strings, string_limit, 16 << 20);
    CARVE(head, head_limit, 256 << 20);
    CARVE(fds, fds_limit, 16 << 20);
    ckpt.bounce = (void *)at;
    return at + CKPT_BOUNCE;
}

/* Untouched pages cost nothing; with a low RLIMIT_AS smaller tables must do. */
long ckpt_scratch_map(void)
{
    long at = -ENOMEM;
    memset(&ckpt, 0, sizeof ckpt);
    for (shift = 0; shift < 8; shift++) {
        ckpt.scratch_size = carve_all(0);
        at = raw(SYS_mmap, 0, ckpt.scratch_size, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (!raw_failed(at))
            break;
    }
    if (raw_failed(at))
        return ckpt_fail(at, "no memory for tables", "");
    ckpt.scratch = (uintptr_t)at;
    carve_all(ckpt.scratch);
    ckpt.string_size = 1; /* offset 0 is the empty string */
    return 0;
}

void ckpt_scratch_unmap(void)
{
    if (ckpt.scratch)
        raw(SYS_munmap, ckpt.scratch, ckpt.scratch_size);
    ckpt.scratch = 0;
}

uint32_t ckpt_string(const char *s)
{
    size_t size = strlen(s) + 1, at = ckpt.string_size;
    if (at + size > ckpt.string_limit)
        return 0;
    memcpy(ckpt.strings + at, s, size);
    ckpt.string_size += size;
    return (uint32_t)at;
}

/* --- descriptors --- */

static long sync_files(const struct fds_table *table)
{
    static char why[512];
    long result = fds_sync(table, why, sizeof why);
    if (!result && request.flags & FRAME_LEAVE)
        result = fds_check_leaving(table, why, sizeof why);
    if (result)
        text_add(&ckpt_why, why);
    return result;
}

/* The descriptors are at home: the shadow lists them. */
static long collect_remote_fds(void)
{
    uint64_t image;
    raw(SYS_getrandom, &image, sizeof image, 0);
    if (local_first() >= 0)
        return ckpt_refused(CKPT_ROW_local_files, "opened by --io PATTERN=local");
    long size = remote_table(&shadow, image, ckpt.fds, ckpt.fds_limit);
    if (size < 0)
        return ckpt_fail(size, "the shadow cannot list the descriptors", "");
    ckpt.fds_size = (size_t)size;
    return 0;
}

/* The table moves into the scratch, so that its own mapping is gone before the memory is listed. */
static long collect_fds(void)
{
    struct fds_table table = {0};
    if (remote.mode != REMOTE_OFF)
        return collect_remote_fds();
    long result = fds_collect(&table, &shadow.fd, 1);
    if (result)
        return ckpt_fail(result, "cannot list the descriptors", "");
    result = table.size > ckpt.fds_limit ? ckpt_fail(-E2BIG, "too many descriptors", "")
                                         : sync_files(&table);
    if (!result) {
        memcpy(ckpt.fds, table.data, table.size);
        ckpt.fds_size = table.size;
    }
    fds_free(&table);
    return result;
}

static long give_fds(void)
{
    const struct fds_table table = {ckpt.fds, ckpt.fds_size, 0};
    if (!(request.flags & FRAME_LEAVE) || remote.mode != REMOTE_OFF)
        return 0;
    long result = link_give_descriptors(&shadow, &table);
    return result ? ckpt_fail(result, "the shadow did not take the descriptors", "") : 0;
}

/* --- the checkpoint --- */

static void step(const char *name)
{
    mem_copy_string(ckpt_report.step, name, sizeof ckpt_report.step);
}

/* Tables of everything; nothing is written yet. */
static long collect(void)
{
    long result;
    step("prepare");
    if ((result = ckpt_refuse()) || (result = collect_fds()) || (result = ckpt_refuse_fds()))
        return result;
    step("process");
    if ((result = ckpt_process())) /* before the pages: it fills some that must be in the image */
        return result;
    step("memory");
    if ((result = ckpt_maps()) || (result = ckpt_pages()))
        return result;
    return ckpt_layout();
}

/* The image is there under its name; a shadow lost now leaves a program that goes on, which is no
 * harm. */
static long stay(long error)
{
    step("leave");
    text_add(&ckpt_why, "the image '");
    text_add(&ckpt_why, request.path);
    text_add(&ckpt_why, "' is complete, but the shadow was lost when it should have taken over");
    text_cause(&ckpt_why, error);
    return error;
}

static long commit(const char *path)
{
    long result = give_fds();
    if (result) {
        ckpt_write_abandon();
        return result;
    }
    if ((result = ckpt_write_commit(path)) || !(request.flags & FRAME_LEAVE))
        return result;
    result = link_commit(&shadow);
    return result < 0 ? stay(result) : 0;
}

/* Code of the vdso cannot go on under another kernel (starter_vdso.c). */
static int runs_in_vdso(uint64_t counter)
{
    for (const struct image_map *m = ckpt.maps; m < ckpt.maps + ckpt.map_count; m++)
        if (m->kind == IMAGE_VDSO && counter >= m->start && counter < m->end)
            return 1;
    return 0;
}

static void warn_of_vdso(void)
{
    for (unsigned i = 0; i < rendezvous_count(); i++)
        if (runs_in_vdso(ckpt_arch_counter(rendezvous_thread(i)->frame))) {
            text_add(&ckpt_why, ckpt_why.length ? "; " : "");
            text_add(&ckpt_why, "the program was stopped within the vdso: this image can be "
                                "restarted under this kernel only");
            return;
        }
}

static void warn_of_kept(void)
{
    const char *path = ckpt_shared_kept();
    if (!path)
        return;
    text_add(&ckpt_why, "the program has '");
    text_add(&ckpt_why, path);
    text_add(&ckpt_why, "' mapped, shared and writable: what it writes there after a restart "
                        "elsewhere stays in its memory, unless restart --remote-io says with --io "
                        "PATTERN=buffer that nobody else uses the file");
}

static void warn_of_lock(void)
{
    if (!rendezvous_stands_badly())
        return;
    text_add(&ckpt_why, ckpt_why.length ? "; " : "");
    text_add(&ckpt_why, "a thread could not be found but in the midst of one of libc's lock "
                        "functions: restart this image with --keep-ids, or take another");
}

static long take(const char *path, const struct rlimit *descriptors)
{
    long result = ckpt_scratch_map();
    if (result)
        return result;
    ckpt.leaving = (request.flags & FRAME_LEAVE) != 0;
    ckpt.portable = (request.flags & FRAME_PORTABLE) != 0;
    ckpt.descriptors = *descriptors;
    if (!(result = collect())) {
        ckpt_report.bytes = ckpt.header.end;
        ckpt_report.carried = ckpt_pages_carried();
        step("write");
        if (!(result = ckpt_write(path)))
            result = commit(path);
        if (!result && ckpt.portable) {
            warn_of_kept();
            warn_of_vdso();
        }
        if (!result)
            warn_of_lock();
    }
    return result;
}

static long change_remote(const struct rlimit *descriptors)
{
    ckpt.descriptors = *descriptors;
    step("remote");
    return request.flags & FRAME_REMOTE_BEGIN ? remote_begin(&shadow, request.path)
                                              : remote_end(&shadow);
}

static void default_path(char *to, size_t size)
{
    struct text t = {to, size, 0};
    text_add(&t, hijack_params.directory);
    text_add(&t, "/hijack.");
    text_number(&t, hijack_params.pid);
    text_add(&t, ".");
    text_number(&t, (int64_t)hijack_params.start_time);
    text_add(&t, ".ckpt");
}

/* What is wanted: from the shadow, or the default when the signal was sent by hand. 0: no
 * checkpoint at all. */
static int ask(void)
{
    memset(&request, 0, sizeof request);
    int result = link_open(&shadow);
    if (!result)
        result = link_take_request(&shadow, &request);
    if (result < 0 && result != -ECANCELED)
        memset(&request, 0, sizeof request);
    if (!request.path[0] && !(request.flags & (FRAME_REMOTE_BEGIN | FRAME_REMOTE_END)))
        default_path(request.path, sizeof request.path);
    return result != -ECANCELED;
}

/* The tool saw for how long the main thread had been blocked. When that has not been blocked anew
 * since then, it was in this very call. */
static void tell_elapsed(void)
{
    struct handler_thread *t = rendezvous_waits_since(request.switches);
    if (t && request.blocked_ns)
        reissue_elapsed(&t->call, t->frame, request.blocked_ns);
}

/* A program at its soft limit of descriptors must still be able to be checkpointed: lend ourselves
 * a few. */
static void lend_descriptors(struct rlimit *old)
{
    struct rlimit more;
    raw(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, old);
    more = *old;
    more.rlim_cur = old->rlim_max - old->rlim_cur < 8 ? old->rlim_max : old->rlim_cur + 8;
    raw(SYS_prlimit64, 0, RLIMIT_NOFILE, &more, NULL);
}

/* The shadow has not answered that it knows: no program ends whose descriptors nobody may have. One
 * that is only slow finds that the connection has ended, and the program has not. */
static long take_back(long error)
{
    ckpt_why.length = 0; /* a warning */
    ckpt_report.error = (int32_t)stay(error);
    ckpt_report.left = 0;
    return error;
}

/* Whether a program that was to leave goes on (-errno) or ends (0), which ends the connection. */
static long tell(long result, uint64_t began)
{
    ckpt_report.error = (int32_t)result;
    ckpt_report.left = !result && request.flags & FRAME_LEAVE;
    ckpt_report.nanoseconds = handler_time() - began;
    if (!(request.flags & (FRAME_REMOTE_BEGIN | FRAME_REMOTE_END)))
        mem_copy_string(ckpt_report.path, request.path, sizeof ckpt_report.path);
    long told = link_report(&shadow, &ckpt_report);
    if (told < 0 && ckpt_report.left)
        result = take_back(told);
    if (!ckpt_report.left)
        link_close(&shadow);
    __atomic_add_fetch(&ckpt_reports, 1, __ATOMIC_RELEASE);
    return result;
}

static void leave(void)
{
    if (remote.mode == REMOTE_OFF)
        fds_leave_terminal(&(struct fds_table){ckpt.fds, ckpt.fds_size, 0});
    raw(SYS_exit_group, request.exit_status);
}

/* The scratch, with the table of descriptors, stays until it is certain whether the program ends.
 */
static void take_and_tell(const struct rlimit *limit, uint64_t began)
{
    long result = take(request.path, limit);
    if (!tell(result, began) && request.flags & FRAME_LEAVE)
        leave();
    ckpt_scratch_unmap();
}

/* `met`: what became of the rendezvous. */
static void checkpoint(long met, const struct rlimit *limit, uint64_t began)
{
    if (!ask())
        return;
    tell_elapsed();
    remote_settle();
    if (met)
        tell(met, began);
    else if (request.flags & (FRAME_REMOTE_BEGIN | FRAME_REMOTE_END))
        tell(change_remote(limit), began);
    else
        take_and_tell(limit, began);
}

void handler_checkpoint(const siginfo_t *info)
{
    uint64_t began = handler_time();
    struct rlimit limit;
    shadow.fd = -1;
    memset(&ckpt_report, 0, sizeof ckpt_report);
    ckpt_why = (struct text){ckpt_report.text, sizeof ckpt_report.text, 0};
    step("threads");
    lend_descriptors(&limit);
    long met = rendezvous(info);
    if (met != -EAGAIN)
        checkpoint(met, &limit, began);
    link_close(&shadow);
    remote_limit(&limit);
    rendezvous_end();
}
