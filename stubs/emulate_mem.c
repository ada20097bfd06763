/*
 * emulate_mem.c - file mappings: the memory is here, the file at home. What is mapped is read when
 * it is mapped, into anonymous memory.
 *
 * So a mapping does not follow later changes of its file; beyond the file's end are zeros where
 * there would be SIGBUS. Shared writable mappings are written back (shared.h) where the user said
 * that only this program uses the file, and refused otherwise: nobody could tell when. mmap() says
 * ENODEV then, mprotect() of one that was for reading EACCES.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "stubs/behind.h"
#include "stubs/emulate.h"
#include "stubs/local.h"
#include "stubs/mem.h"
#include "stubs/raw.h"
#include "stubs/shared.h"
#include "stubs/thread.h"

#define PAGE 4096UL
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

struct file {
    uint64_t dev, inode;
    size_t size;
};

/* What the caller of mmap() is told of a descriptor that cannot be mapped (mmap(2)). */
static long check_file(struct remote_call *call, long fd, struct file *file)
{
    struct remote_thread *t = remote_thread();
    if (!t)
        return -ENOMEM;
    const long fstat[CALL_ARGS] = {fd, (long)&t->stat}, fcntl[CALL_ARGS] = {fd, F_GETFL};
    long result = remote_forward(call, SYS_fstat, fstat);
    if (result < 0)
        return result;
    if (!S_ISREG(t->stat.st_mode))
        return -ENODEV;
    *file = (struct file){t->stat.st_dev, t->stat.st_ino, (size_t)t->stat.st_size};
    result = remote_forward(call, SYS_fcntl, fcntl);
    return result >= 0 && (result & O_ACCMODE) == O_WRONLY ? -EACCES : result < 0 ? result : 0;
}

static long fill(struct remote_call *call, char *to, size_t size, long fd, long offset)
{
    for (size_t done = 0; done < size;) {
        const long args[CALL_ARGS] = {fd, (long)(to + done), (long)(size - done),
                                      offset + (long)done};
        long result = remote_forward(call, SYS_pread64, args);
        if (result == -EINTR)
            continue;
        if (result <= 0)
            return result;
        done += (size_t)result;
    }
    return 0;
}

static size_t pages(long length)
{
    return ((size_t)length + PAGE - 1) & ~(PAGE - 1);
}

/* Would the kernel look at the pages there at all? */
static int is_range(long start, long length)
{
    return !(start & (long)(PAGE - 1)) && pages(length) && pages(length) >= (size_t)length;
}

/* What stood at a place that is mapped anew, or unmapped, is written back first. */
static long leave_place(struct remote_call *call, long start, long length)
{
    long error =
        is_range(start, length) ? shared_split(call, (uintptr_t)start, pages(length)) : -EINVAL;
    if (error)
        return error;
    shared_write_back(call, (uintptr_t)start, pages(length));
    shared_remove(call, (uintptr_t)start, pages(length));
    return 0;
}

/* Filled before it is put where it replaces something. */
static long map_copy(struct remote_call *call, size_t file_size)
{
    const long *a = call->args;
    size_t length = pages(a[1]), offset = (size_t)a[5];
    size_t wanted = offset < file_size ? file_size - offset : 0;
    long flags =
        MAP_PRIVATE | MAP_ANONYMOUS | (a[3] & (MAP_NORESERVE | MAP_32BIT | MAP_FIXED_NOREPLACE));
    long fixed = a[3] & MAP_FIXED;
    char *at =
        (char *)raw(SYS_mmap, fixed ? 0 : a[0], length, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (raw_failed((long)at))
        return (long)at;
    long error = fill(call, at, wanted < (size_t)a[1] ? wanted : (size_t)a[1], a[4], a[5]);
    if (!error)
        error = raw(SYS_mprotect, at, length, a[2]);
    if (!error && fixed)
        error = leave_place(call, a[0], a[1]);
    if (!error && fixed) {
        long moved = raw(SYS_mremap, at, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, a[0]);
        if (!raw_failed(moved))
            return moved;
        error = moved;
    }
    if (error)
        raw(SYS_munmap, at, length);
    return error ? error : (long)at;
}

/* A shared mapping, which is written back when the file is open for writing and the program its
 * only user. */
static long map_shared(struct remote_call *call, const struct file *file)
{
    const long *a = call->args;
    const long flags[CALL_ARGS] = {a[4], F_GETFL};
    int writable = (remote_forward(call, SYS_fcntl, flags) & O_ACCMODE) == O_RDWR;
    int sole = writable && behind_is_sole(a[4]);
    const struct shared_file shared = {
        .dev = file->dev, .inode = file->inode, .fd = writable ? a[4] : -1, .sole = sole};
    if (a[2] & PROT_WRITE && !sole)
        return writable ? -ENODEV : -EACCES;
    const uintptr_t instead = a[3] & MAP_FIXED ? (uintptr_t)a[0] : 0;
    long error = shared_prepare(call, &shared, instead, pages(a[1]), a[5], a[2]);
    long at = error ? error : map_copy(call, file->size);
    if (raw_failed(at))
        return at;
    error = shared_add(call, (uintptr_t)at, pages(a[1]), &shared, a[5], a[2]);
    if (error)
        raw(SYS_munmap, at, pages(a[1]));
    return error ? error : at;
}

/* No file, or one of this host. */
static long map_here(struct remote_call *call)
{
    long error = call->args[3] & MAP_FIXED ? leave_place(call, call->args[0], call->args[1]) : 0;
    return error ? error : remote_local(call, call->number, call->args);
}

long emulate_mmap(struct remote_call *call)
{
    const long *a = call->args;
    struct file file = {0};
    if (a[3] & MAP_ANONYMOUS || local_has(a[4]))
        return map_here(call);
    if (a[1] == 0 || !(a[3] & MAP_TYPE) || (a[3] & MAP_TYPE) > MAP_SHARED_VALIDATE ||
        a[5] & (long)(PAGE - 1) || (a[3] & MAP_FIXED && a[0] & (long)(PAGE - 1)))
        return -EINVAL;
    long error = check_file(call, a[4], &file);
    if (error)
        return error;
    return (a[3] & MAP_TYPE) == MAP_PRIVATE ? map_copy(call, file.size) : map_shared(call, &file);
}

long emulate_munmap(struct remote_call *call)
{
    if (emulate_is_own_stack(call))
        emulate_end_thread(call);
    long error = leave_place(call, call->args[0], call->args[1]);
    return error ? error : remote_local(call, call->number, call->args);
}

/* What of a mapping there is more than before shows its file, too. */
static void show_more(struct remote_call *call, uintptr_t to, size_t old, size_t new)
{
    long offset, protection;
    int fd = shared_grown(to, old, new, &offset, &protection);
    if (fd < 0)
        return;
    raw(SYS_mprotect, to + old, new - old, PROT_READ | PROT_WRITE);
    fill(call, (char *)to + old, new - old, fd, offset);
    raw(SYS_mprotect, to + old, new - old, protection);
}

/* One of which a part moves is cut. */
long emulate_mremap(struct remote_call *call)
{
    const long *a = call->args;
    size_t old = pages(a[1]), new = pages(a[2]);
    if (!is_range(a[0], a[1]) || !is_range(a[0], a[2]))
        return remote_local(call, call->number, a);
    long error = new > old ? shared_prepare_growth(call, (uintptr_t)a[0], old, new) : 0;
    if (!error)
        error = shared_split(call, (uintptr_t)a[0], old);
    if (!error && new < old)
        error = shared_split(call, (uintptr_t)a[0] + new, old - new);
    if (!error && a[3] & MREMAP_FIXED)
        error = leave_place(call, a[4], a[2]);
    if (error)
        return error;
    shared_write_back(call, (uintptr_t)a[0], old);
    long to = remote_local(call, call->number, a);
    if (raw_failed(to))
        return to;
    if (new < old)
        shared_remove(call, (uintptr_t)a[0] + new, old - new);
    shared_moved((uintptr_t)a[0], (uintptr_t)to, new < old ? new : old);
    if (new > old)
        show_more(call, (uintptr_t)to, old, new);
    return to;
}

long emulate_msync(struct remote_call *call)
{
    long error = shared_write_back(call, (uintptr_t)call->args[0], pages(call->args[1]));
    return error ? error : remote_local(call, call->number, call->args);
}

/* A copy of a file that nobody would write back stays as it is. */
long emulate_mprotect(struct remote_call *call)
{
    const long *a = call->args;
    if (!is_range(a[0], a[1]))
        return remote_local(call, call->number, a);
    if (a[2] & PROT_WRITE && !shared_may_be_written((uintptr_t)a[0], pages(a[1])))
        return -EACCES;
    long error = shared_split(call, (uintptr_t)a[0], pages(a[1]));
    if (!error)
        error = remote_local(call, call->number, a);
    if (!error)
        shared_protect((uintptr_t)a[0], pages(a[1]), a[2]);
    return error;
}

/* Of a file's mapping this process has the only copy: it cannot be read in again. */
long emulate_madvise(struct remote_call *call)
{
    const long *a = call->args;
    if (a[2] == MADV_DONTNEED && is_range(a[0], a[1]) && shared_has((uintptr_t)a[0], pages(a[1])))
        return 0;
    return remote_local(call, call->number, a);
}

long emulate_pkey_mprotect(struct remote_call *call)
{
    return emulate_mprotect(call);
}
