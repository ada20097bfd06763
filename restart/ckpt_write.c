/*
 * ckpt_write.c - the image's way to the disk.
 *
 * Memory is written from where it lies. Memory that changes while we write (our own, the rseq
 * areas, which the kernel writes to) and memory that may not be readable goes through a buffer, so
 * that its checksum is that of the bytes written. The head is written last.
 *
 * Where the file system can (O_TMPFILE), the file has no name until it is complete: a program that
 * is killed meanwhile leaves nothing behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "restart/checksum.h"
#include "restart/ckpt.h"
#include "restart/ckpt_rendezvous.h"
#include "restart/resume.h"
#include "stubs/agent.h"
#include "stubs/mem.h"
#include "stubs/raw.h"

#define DIRECT_MIN  (64 * 1024) /* below, the buffer costs nothing */
#define SIZE_SIGNAL (1ULL << (SIGXFSZ - 1))

extern char __bss_start[], _end[];

static char temporary[HIJACK_PATH_MAX + 32];
static int image = -1, memory = -1;

static long write_at(const void *bytes, size_t size, uint64_t offset)
{
    const char *from = bytes;
    while (size) {
        long n = raw(SYS_pwrite64, image, from, size, offset);
        if (n == 0)
            n = -ENOSPC;
        if (n < 0)
            return n;
        from += n, size -= (size_t)n, offset += (uint64_t)n;
    }
    return 0;
}

static long read_memory(uint64_t address, size_t size)
{
    for (size_t got = 0; got < size;) {
        long n = raw(SYS_pread64, memory, ckpt.bounce + got, size - got, address + got);
        if (n <= 0)
            return n < 0 ? n : -EIO;
        got += (size_t)n;
    }
    return 0;
}

static int overlaps(const struct image_run *run, uint64_t start, uint64_t end)
{
    return run->address < end && run->address + run->length > start;
}

static int holds_rseq(const struct image_run *run)
{
    for (unsigned i = 0; hijack_params.rseq_size && i < rendezvous_count(); i++) {
        uint64_t rseq =
            resume_state(rendezvous_thread(i))->fs_base + (uint64_t)hijack_params.rseq_offset;
        if (overlaps(run, rseq, rseq + 64))
            return 1;
    }
    return 0;
}

static int is_direct(const struct image_map *map, const struct image_run *run)
{
    return map->kind == IMAGE_ANONYMOUS && map->prot & PROT_READ && run->length >= DIRECT_MIN &&
           !overlaps(run, (uintptr_t)__bss_start, (uintptr_t)_end) &&
           !overlaps(run, handler_region, handler_region + handler_region_size) && !holds_rseq(run);
}

static long write_run(struct image_run *run, int direct)
{
    struct checksum sum;
    long result = 0;
    checksum_start(&sum);
    for (uint64_t done = 0; done < run->length && !result;) {
        size_t n = run->length - done < CKPT_BOUNCE ? run->length - done : CKPT_BOUNCE;
        const void *from = direct ? (const void *)(run->address + done) : ckpt.bounce;
        if (!direct && (result = read_memory(run->address + done, n)))
            return result;
        checksum_add(&sum, from, n);
        result = write_at(from, n, run->offset + done);
        done += n;
    }
    run->sum = checksum_end(&sum);
    return result;
}

static long write_map(const struct image_map *map)
{
    long result = 0;
    for (uint32_t i = map->run; i < map->run + map->runs && !result; i++)
        if (!(ckpt.runs[i].flags & IMAGE_RUN_GUARD))
            result = write_run(&ckpt.runs[i], is_direct(map, &ckpt.runs[i]));
    return result;
}

static long write_memory(void)
{
    long result = memory = (int)raw(SYS_openat, -100, "/proc/self/mem", O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < ckpt.map_count && result >= 0; i++)
        result = write_map(&ckpt.maps[i]);
    if (memory >= 0)
        raw(SYS_close, memory);
    return result < 0 ? result : 0;
}

static long write_all(void)
{
    long result = write_memory();
    if (result)
        return result;
    ckpt_layout_finish();
    if ((result = write_at(ckpt.head, ckpt.head_size, 0)))
        return result;
    return raw(SYS_fsync, image);
}

static void name_temporary(const char *path)
{
    struct text t = {temporary, sizeof temporary, 0};
    struct timespec now;
    raw(SYS_clock_gettime, CLOCK_REALTIME, &now);
    text_add(&t, path);
    text_add(&t, ".");
    text_number(&t, raw(SYS_getpid));
    text_add(&t, ".");
    text_number(&t, now.tv_nsec);
    text_add(&t, ".tmp");
}

/* Renaming onto a device or a directory would replace it, or fail after all the work. */
static long check_target(const char *path)
{
    struct stat st;
    if (raw(SYS_newfstatat, -100, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode))
        return ckpt_fail(-EEXIST, "not a regular file", path);
    return 0;
}

/* Asked before anything is written. */
static long check_limit(const char *path)
{
    struct rlimit limit;
    if (raw(SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &limit) == 0 && limit.rlim_cur < ckpt.header.end)
        return ckpt_fail(-EFBIG, "cannot write", path);
    return 0;
}

static long open_directory(const char *path, int flags)
{
    static char directory[HIJACK_PATH_MAX];
    size_t n = mem_copy_string(directory, path, sizeof directory);
    while (n > 1 && directory[n - 1] != '/')
        n--;
    directory[n] = '\0';
    return raw(SYS_openat, -100, directory, flags | O_CLOEXEC, 0600);
}

static long open_named(void)
{
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
    return raw(SYS_openat, -100, temporary, flags, 0600);
}

/* Gives the file without a name its temporary one. */
static long name_image(void)
{
    char self[64];
    struct text t = {self, sizeof self, 0};
    text_add(&t, "/proc/self/fd/");
    text_number(&t, image);
    long result = raw(SYS_linkat, -100, self, -100, temporary, AT_SYMLINK_FOLLOW);
    return result ? result : raw(SYS_fsync, image);
}

/* Writes to the file that has just been opened, or not. */
static long write_file(long opened, int named)
{
    if (opened < 0)
        return opened;
    image = (int)opened;
    raw(SYS_fchmod, image, 0600); /* the umask may have taken it all away */
    long result = write_all();
    if (!result && !named)
        result = name_image() ? -EOPNOTSUPP : 0;
    long closed = raw(SYS_close, image);
    return result ? result : closed;
}

/* Will the same succeed with a name from the start? */
static int needs_name(long error)
{
    return error == -EOPNOTSUPP || error == -EISDIR || error == -EINVAL;
}

static long write_temporary(void)
{
    long result = write_file(open_directory(temporary, O_TMPFILE | O_RDWR), 0);
    if (!needs_name(result))
        return result;
    ckpt_write_abandon();
    if ((result = open_named()) < 0)
        return ckpt_fail(result, "cannot create", temporary);
    return write_file(result, 1);
}

/* Takes SIGXFSZ out of this thread's queue. One of the process's own stays: the thread's come
 * first. */
static void drop_size_signal(void)
{
    const struct timespec now = {0, 0};
    const uint64_t set = SIZE_SIGNAL;
    if (ckpt_own_pending() & set)
        raw(SYS_rt_sigtimedwait, &set, NULL, &now, sizeof set);
}

/* Somebody else may lower the limit while we write: then the kernel has sent the signal, which
 * would kill the program when it goes on. */
static long write_within_limit(void)
{
    const uint64_t before = ckpt_own_pending();
    long result = write_temporary();
    if (result == -EFBIG && !(before & SIZE_SIGNAL))
        drop_size_signal();
    return result;
}

long ckpt_write(const char *path)
{
    long result;
    if ((result = check_target(path)) || (result = check_limit(path)))
        return result;
    name_temporary(path);
    result = write_within_limit();
    if (!result)
        return 0;
    ckpt_write_abandon();
    return ckpt_fail(result, "cannot write", path);
}

static void sync_directory(const char *path)
{
    long fd = open_directory(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return;
    raw(SYS_fsync, fd);
    raw(SYS_close, fd);
}

long ckpt_write_commit(const char *path)
{
    long result = raw(SYS_renameat, -100, temporary, -100, path);
    if (result < 0) {
        ckpt_write_abandon();
        return ckpt_fail(result, "cannot rename the finished image to", path);
    }
    sync_directory(path);
    return 0;
}

void ckpt_write_abandon(void)
{
    raw(SYS_unlinkat, -100, temporary, 0);
}
