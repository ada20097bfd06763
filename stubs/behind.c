/* behind.c - see behind.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "stubs/ahead.h"
#include "stubs/behind.h"
#include "stubs/lock.h"
#include "stubs/mem.h"
#include "stubs/policy.h"
#include "stubs/queue.h"
#include "stubs/quick.h"
#include "stubs/readable.h"
#include "stubs/raw.h"
#include "stubs/thread.h"

#define FDS     HIJACK_BUFFERED
#define FILES   254
#define ANOTHER 255 /* of a descriptor: none of `files` */

/* Of a descriptor: the program is the file's only user; besides, the only descriptor with that
 * offset. */
enum { SOLE = 1, BUFFERED = 2 };

struct file {
    uint64_t device, inode;
    uint32_t users; /* descriptors; 0: free */
};

static struct {
    int lock;
    uint32_t count; /* of descriptors whose file is known */
    uint8_t states[FDS];
    uint8_t file_of[FDS]; /* index + 1; 0: not known; ANOTHER */
    struct file files[FILES];
} behind; /* zero at first: what is not needs to be written into the target */

static int is(long fd, int state)
{
    return fd >= 0 && fd < FDS && behind.states[fd] & state;
}

int behind_is_buffered(long fd)
{
    return is(fd, BUFFERED);
}

int behind_is_sole(long fd)
{
    return is(fd, SOLE);
}

long behind_own(struct remote_call *call, long number, long a, long b, long c)
{
    uint64_t mask = remote_unhandled(*call->mask);
    struct remote_call own = {.number = number, .mask = &mask, .own = 1};
    const long args[CALL_ARGS] = {a, b, c};
    return remote_forward(&own, number, args);
}

/* --- descriptors, and the files that they are of --- */

static void forget(long fd)
{
    uint8_t file = behind.file_of[fd];
    if (file && file != ANOTHER)
        behind.files[file - 1].users--;
    behind.count -= file != 0;
    behind.file_of[fd] = behind.states[fd] = 0;
}

static void know(long fd, uint8_t file, uint8_t state)
{
    forget(fd);
    if (file && file != ANOTHER)
        behind.files[file - 1].users++;
    behind.count += file != 0;
    behind.file_of[fd] = file;
    behind.states[fd] = file ? state : 0;
}

static uint8_t find_file(uint64_t device, uint64_t inode)
{
    for (int i = 0; i < FILES; i++) {
        const struct file *f = &behind.files[i];
        if (f->users && f->inode == inode && f->device == device)
            return (uint8_t)(i + 1);
    }
    return 0;
}

/* 0: there are too many. What was said to be of another file may be of this one. */
static uint8_t add_file(uint64_t device, uint64_t inode)
{
    int i = 0;
    while (i < FILES && behind.files[i].users)
        i++;
    if (i == FILES)
        return 0;
    for (long fd = 0; fd < FDS; fd++)
        if (behind.file_of[fd] == ANOTHER)
            forget(fd);
    behind.files[i].device = device;
    behind.files[i].inode = inode;
    return (uint8_t)(i + 1);
}

static void begin(long fd, uint64_t device, uint64_t inode)
{
    lock_take(&behind.lock);
    uint8_t file = find_file(device, inode);
    know(fd, file ? file : add_file(device, inode), SOLE | BUFFERED);
    lock_release(&behind.lock);
}

/* `state` of what it was before. */
static void reduce(long fd, int state)
{
    lock_take(&behind.lock);
    if (behind.states[fd] & state)
        behind.states[fd] &= (uint8_t)state;
    else
        forget(fd);
    lock_release(&behind.lock);
}

static const struct stat *stat_of(struct remote_call *call, long fd)
{
    struct remote_thread *t = remote_thread();
    return t && behind_own(call, SYS_fstat, fd, (long)&t->stat, 0) == 0 ? &t->stat : NULL;
}

/* The file of any descriptor: it is asked for once. */
static uint8_t file_of(struct remote_call *call, long fd)
{
    if (behind.file_of[fd])
        return behind.file_of[fd];
    const struct stat *st = stat_of(call, fd);
    if (!st)
        return 0;
    lock_take(&behind.lock);
    uint8_t file = S_ISREG(st->st_mode) ? find_file(st->st_dev, st->st_ino) : 0;
    if (!behind.file_of[fd])
        know(fd, file ? file : ANOTHER, 0);
    file = behind.file_of[fd];
    lock_release(&behind.lock);
    return file;
}

/* --- changes of files that something is read ahead of, by whatever way --- */

enum { NOTHING = -1, ANYTHING = -2 };

/* The descriptor whose file the call changes. */
static long changed(long number, const long *args)
{
    switch (number) {
    case SYS_write:
    case SYS_writev:
    case SYS_pwrite64:
    case SYS_pwritev:
    case SYS_pwritev2:
    case SYS_ftruncate:
    case SYS_fallocate:
    case SYS_sendfile:
    case SYS_ioctl:
        return args[0];
    case SYS_splice:
    case SYS_copy_file_range:
        return args[2];
    case SYS_open:
        return args[1] & O_TRUNC ? ANYTHING : NOTHING;
    case SYS_openat:
    case SYS_open_by_handle_at:
        return args[2] & O_TRUNC ? ANYTHING : NOTHING;
    case SYS_openat2:
    case SYS_creat:
    case SYS_truncate:
        return ANYTHING;
    }
    return NOTHING;
}

static int is_of(int fd, long file)
{
    return behind.file_of[fd] == file;
}

/* `fd` as changed() says: what is read ahead of that file is no more what is in it. */
static void settle_changed(struct remote_call *call, long fd)
{
    if (fd == NOTHING || !ahead_any())
        return;
    uint8_t file = fd >= 0 && fd < FDS ? file_of(call, fd) : 0;
    if (file)
        ahead_settle_some(call, is_of, file);
    else
        ahead_settle_all(call);
}

/* --- reading and writing --- */

/* As many records as the bytes need. */
static long put_all(struct remote_call *call, long number, const long *args)
{
    int at_offset = number == SYS_pwrite64, error = 0;
    long done = 0;
    while (done < args[2] && !error) {
        long size = args[2] - done < RING_DATA ? args[2] - done : RING_DATA;
        const struct ring_record record = {(uint32_t)size, (int32_t)args[0],
                                           at_offset ? args[3] + done : -1};
        error = queue_put(call, &record, (const char *)args[1] + done);
        done += error ? 0 : size;
    }
    return done ? done : error;
}

static int write_behind(struct remote_call *call, long number, const long *args, long *result)
{
    if (args[2] <= 0 || (number == SYS_pwrite64 && args[3] < 0))
        return 0;
    ahead_hold(call, (int)args[0]);
    *result = put_all(call, number, args);
    ahead_release((int)args[0]);
    settle_changed(call, args[0]);
    return *result != -EAGAIN;
}

static int read_ahead(struct remote_call *call, const long *args, long *result)
{
    *result = ahead_read(call, (int)args[0], (char *)args[1], (size_t)args[2]);
    return *result != -EBUSY;
}

/* --- the program's calls --- */

/* Does the call make another way to the same open file? */
static int is_copy(long number, const long *args)
{
    switch (number) {
    case SYS_dup:
    case SYS_dup2:
    case SYS_dup3:
        return 1;
    case SYS_fcntl:
        return args[1] == F_DUPFD || args[1] == F_DUPFD_CLOEXEC;
    }
    return 0;
}

void behind_adopt(long fd, uint64_t device, uint64_t inode)
{
    if (fd < FDS)
        begin(fd, device, inode);
}

void behind_copied(long number, const long *args, long fd)
{
    if (!is_copy(number, args) || fd == args[0] || fd >= FDS)
        return;
    lock_take(&behind.lock);
    if (is(args[0], SOLE))
        know(fd, behind.file_of[args[0]], SOLE);
    else
        forget(fd);
    lock_release(&behind.lock);
}

void behind_opened(struct remote_call *call, long fd, const char *path)
{
    if (!*hijack_params.policy || fd >= FDS ||
        policy_of(hijack_params.policy, path) != POLICY_BUFFER)
        return;
    const struct stat *st = stat_of(call, fd);
    if (st && S_ISREG(st->st_mode))
        begin(fd, st->st_dev, st->st_ino);
}

/* A call that may wait for others, and does nothing to the offset. */
static int is_lock(long number, const long *args)
{
    return number == SYS_flock ||
           (number == SYS_fcntl && (args[1] == F_SETLKW || args[1] == F_OFD_SETLKW));
}

static void hold(struct remote_call *call, long number, const long *args, long fd,
                 struct behind_part *part)
{
    if (is_lock(number, args)) {
        ahead_settle(call, (int)fd);
        return;
    }
    ahead_hold(call, (int)fd);
    part->held[part->count++] = (int)fd;
}

/* Settles what the call could tell about descriptor `fd`; the error of an earlier write. */
static int settle(struct remote_call *call, long number, const long *args, long fd,
                  struct behind_part *part)
{
    if (is(fd, BUFFERED))
        hold(call, number, args, fd, part);
    queue_drain(call); /* so that errors are known before, say, a close */
    return queue_failure(call, (int)fd);
}

/* What the call makes of its descriptors, whatever it returns. */
static void note_descriptors(long number, const long *args)
{
    if (is_copy(number, args) && is(args[0], BUFFERED))
        reduce(args[0], SOLE);
    long gone = number == SYS_close                                                ? args[0]
                : (number == SYS_dup2 || number == SYS_dup3) && args[0] != args[1] ? args[1]
                                                                                   : -1;
    if (gone >= 0 && gone < FDS && behind.file_of[gone])
        reduce(gone, 0);
}

/* Calls that reach descriptors by other ways than an argument: all are settled. */
static void note_wide(struct remote_call *call, long number)
{
    if (number != SYS_close_range && number != SYS_sendmsg && number != SYS_pidfd_getfd)
        return;
    ahead_settle_all(call);
    for (long fd = 0; fd < FDS; fd++)
        if (behind.file_of[fd])
            reduce(fd, 0);
}

/* A close closes, whatever it returns. */
static void close_anyway(struct remote_call *call, long number, const long *args)
{
    if (number == SYS_close)
        remote_forward(call, number, args);
}

static int settle_arguments(struct remote_call *call, const struct call *row, long number,
                            const long *args, struct behind_part *part)
{
    int error = 0;
    for (int i = 0; i < CALL_ARGS; i++)
        if ((row->args[i].kind == ARG_FD || row->args[i].kind == ARG_DIRFD) &&
            is(args[i], SOLE | BUFFERED))
            error = settle(call, number, args, args[i], part);
    note_descriptors(number, args);
    note_wide(call, number);
    part->changes = changed(number, args);
    return error;
}

/* 1: it was done here. */
static int do_here(struct remote_call *call, long number, const long *args, long *result)
{
    if (!is(args[0], BUFFERED) ||
        (number != SYS_read && number != SYS_write && number != SYS_pwrite64))
        return 0;
    return (*result = queue_failure(call, (int)args[0])) ||
           (number == SYS_read ? read_ahead(call, args, result)
                               : write_behind(call, number, args, result));
}

int behind_call(struct remote_call *call, const struct call *row, long number, const long *args,
                long *result, struct behind_part *part)
{
    part->count = 0;
    part->changes = NOTHING;
    if (!behind.count)
        return 0;
    if (do_here(call, number, args, result))
        return 1;
    *result = settle_arguments(call, row, number, args, part);
    if (!*result)
        return 0;
    close_anyway(call, number, args);
    part->changes = NOTHING;
    behind_done(call, part);
    return 1;
}

void behind_done(struct remote_call *call, const struct behind_part *part)
{
    for (int i = 0; i < part->count; i++)
        ahead_release(part->held[i]);
    settle_changed(call, part->changes);
}

void behind_settle(struct remote_call *call)
{
    quick_epoch++;
    ahead_settle_all(call);
    queue_end(call);
}

void behind_forget(void)
{
    quick_epoch++;
    readable_forget();
    ahead_reset();
    memset(&behind, 0, sizeof behind);
}

void behind_reset(void)
{
    behind_forget();
    queue_forget_failures();
}
