/* file.c - what belongs to a file, by its descriptor: sizes, owners, times, locks, attributes. */
#include <sys/file.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "surface.h"

void show_stat(const struct stat *st)
{
    show("    mode %o, %lu links, owner %d, group %d, size %ld, rdev %lu, blocks of %ld, times %s",
         st->st_mode, (unsigned long)st->st_nlink, (int)(st->st_uid == geteuid()),
         (int)(st->st_gid == getegid()), S_ISDIR(st->st_mode) ? -1L : (long)st->st_size,
         (unsigned long)st->st_rdev, (long)st->st_blksize,
         st->st_atim.tv_sec > 1000000000 && st->st_ctim.tv_sec > 1000000000 ? "of today" : "old");
}

static void status(void)
{
    struct stat st = {0};
    struct statfs fs = {0};
    int fd = make_file("file", "0123456789", 10), null = CALL(open, "/dev/null", O_RDWR);
    CALL(fstat, fd, &st);
    show_stat(&st);
    CALL(fstat, null, &st);
    show_stat(&st);
    CALL(fstat, fd, BAD);
    CALL(fstat, fd, NULL);
    CALL(fstat, -1, &st);
    CALL(fstatfs, fd, &fs);
    show("    type %lx, blocks of %ld, names of %ld", (long)fs.f_type, (long)fs.f_bsize,
         (long)fs.f_namelen);
    CALL(fstatfs, fd, BAD);
    CALL(fstatfs, -1, &fs);
}

static void sizes(void)
{
    struct stat st;
    int fd = make_file("file", "0123456789", 10), reader = CALL(open, "file", O_RDONLY), ends[2];
    if (pipe(ends))
        return;
    CALL(ftruncate, fd, 100);
    CALL(ftruncate, fd, -1);
    CALL(ftruncate, reader, 1);
    CALL(ftruncate, ends[1], 1);
    CALL(ftruncate, -1, 1);
    CALL(fallocate, fd, 0, 0, 5000);
    CALL(fallocate, fd, 1 /* FALLOC_FL_KEEP_SIZE */, 5000, 5000);
    CALL(fallocate, fd, 0, -1, 10);
    CALL(fallocate, fd, 0, 0, 0);
    CALL(fallocate, fd, 1 << 20, 0, 10);
    CALL(fallocate, reader, 0, 0, 10);
    CALL(fallocate, ends[1], 0, 0, 10);
    CALL(fallocate, -1, 0, 0, 10);
    fstat(fd, &st);
    show("    size %ld", (long)st.st_size);
    CALL(truncate, "file", 7);
    CALL(truncate, "file", -1);
    CALL(truncate, "none", 7);
    CALL(truncate, ".", 7);
    CALL(truncate, BAD, 7);
    CALL(truncate, NULL, 7);
    fstat(fd, &st);
    show("    size %ld", (long)st.st_size);
}

static void synchronise(void)
{
    int fd = make_file("file", "0123456789", 10), ends[2];
    if (pipe(ends))
        return;
    CALL(fsync, fd);
    CALL(fsync, ends[1]);
    CALL(fsync, -1);
    CALL(fdatasync, fd);
    CALL(fdatasync, ends[1]);
    CALL(fdatasync, -1);
    CALL(sync_file_range, fd, 0, 10, 2);
    CALL(sync_file_range, fd, 0, 10, 99);
    CALL(sync_file_range, ends[1], 0, 10, 2);
    CALL(sync_file_range, -1, 0, 10, 2);
    CALL(syncfs, fd);
    CALL(syncfs, -1);
    if (is_root && !by_function) /* it may take long: other programs have written, too */
        CALL(sync);
}

static void owners(void)
{
    struct stat st;
    int fd = make_file("file", "", 0);
    CALL(fchmod, fd, 0604);
    CALL(fchmod, fd, 04777);
    CALL(fchmod, -1, 0604);
    fstat(fd, &st);
    show("    mode %o", st.st_mode);
    CALL(fchown, fd, -1, -1);
    CALL(fchown, fd, geteuid(), getegid());
    CALL(fchown, fd, 12345, -1);
    CALL(fchown, -1, -1, -1);
    fstat(fd, &st);
    show("    mode %o, owner %d", st.st_mode, is_root ? (int)st.st_uid : 0);
}

static void show_list(const char *what, const char *list, long size)
{
    int user = 0;
    for (long i = 0; i < size; i += (long)strlen(list + i) + 1)
        user += !strncmp(list + i, "user.", 5);
    show("    %s: %ld bytes, %d attributes of users", what, size, user);
}

static void attributes(void)
{
    int fd = make_file("file", "", 0);
    char *value = edge(5);
    CALL(fsetxattr, fd, "user.a", "value", 5, 0);
    CALL(fsetxattr, fd, "user.empty", "", 0, 0);
    CALL(fsetxattr, fd, "user.empty", NULL, 0, XATTR_REPLACE);
    CALL(fsetxattr, fd, "user.a", "again", 5, XATTR_CREATE);
    CALL(fsetxattr, fd, "user.b", "x", 1, XATTR_REPLACE);
    CALL(fsetxattr, fd, "user.b", "x", 1, 99);
    CALL(fsetxattr, fd, "nonsense", "x", 1, 0);
    CALL(fsetxattr, fd, BAD, "x", 1, 0);
    CALL(fsetxattr, fd, NULL, "x", 1, 0);
    CALL(fsetxattr, fd, "user.b", BAD, 1, 0);
    CALL(fsetxattr, fd, "user.b", big, 300000, 0);
    CALL(fsetxattr, -1, "user.a", "value", 5, 0);
    CALL(fgetxattr, fd, "user.a", value, 5);
    show_bytes("value", value, 5);
    CALL(fgetxattr, fd, "user.a", NULL, 0);
    CALL(fgetxattr, fd, "user.a", value, 3);
    CALL(fgetxattr, fd, "user.empty", value, 3);
    CALL(fgetxattr, fd, "user.none", value, 3);
    CALL(fgetxattr, fd, "user.a", BAD, 30);
    CALL(fgetxattr, fd, BAD, value, 30);
    CALL(fgetxattr, fd, "user.a", other, BIG);
    CALL(fgetxattr, -1, "user.a", value, 5);
    show_list("list", (char *)other, CALL(flistxattr, fd, other, 4096));
    CALL(flistxattr, fd, NULL, 0);
    CALL(flistxattr, fd, other, 3);
    CALL(flistxattr, fd, BAD, 300);
    CALL(flistxattr, -1, other, 300);
    CALL(fremovexattr, fd, "user.a");
    CALL(fremovexattr, fd, "user.a");
    CALL(fremovexattr, fd, BAD);
    CALL(fremovexattr, -1, "user.a");
}

/* The owner of a lock is told by its process id. */
static void show_lock(const struct flock *l)
{
    show("    lock %d from %d at %ld length %ld, %s", l->l_type, l->l_whence, (long)l->l_start,
         (long)l->l_len,
         l->l_pid == getpid() ? "ours"
         : l->l_pid == -1     ? "of a file"
                              : "other");
}

static void record_locks(void)
{
    int fd = make_file("file", "0123456789", 10), second = CALL(open, "file", O_RDWR),
        reader = CALL(open, "file", O_RDONLY);
    struct flock write_lock = {F_WRLCK, SEEK_SET, 2, 3, 0}, whole = {F_WRLCK, SEEK_SET, 0, 0, 0},
                 wrong = {99, SEEK_SET, 0, 0, 0}, back = {F_WRLCK, SEEK_END, -4, 2, 0};
    CALL(fcntl, fd, F_SETLK, &write_lock);
    CALL(fcntl, fd, F_SETLKW, &write_lock);
    CALL(fcntl, fd, F_SETLK, &back);
    CALL(fcntl, fd, F_GETLK, &whole); /* one's own locks are no obstacle */
    show_lock(&whole);
    whole = (struct flock){F_WRLCK, SEEK_SET, 0, 0, 0};
    CALL(fcntl, second, F_OFD_GETLK, &whole);
    show_lock(&whole);
    CALL(fcntl, second, F_OFD_SETLK, (&(struct flock){F_WRLCK, SEEK_SET, 0, 0, 0}));
    CALL(fcntl, second, F_OFD_SETLK, (&(struct flock){F_RDLCK, SEEK_SET, 9, 1, 0}));
    whole = (struct flock){F_WRLCK, SEEK_SET, 9, 0, 0};
    CALL(fcntl, fd, F_GETLK, &whole);
    show_lock(&whole);
    CALL(fcntl, fd, F_SETLK, &wrong);
    CALL(fcntl, fd, F_GETLK, &wrong);
    CALL(fcntl, fd, F_SETLK, BAD);
    CALL(fcntl, fd, F_SETLK, NULL);
    CALL(fcntl, fd, F_GETLK, BAD);
    CALL(fcntl, -1, F_SETLK, &write_lock);
    CALL(fcntl, reader, F_SETLK, &write_lock);
    write_lock.l_type = F_UNLCK;
    CALL(fcntl, fd, F_SETLK, &write_lock);
    CALL(close, reader); /* which lets go of all of this process */
    whole = (struct flock){F_WRLCK, SEEK_SET, 0, 5, 0};
    CALL(fcntl, second, F_OFD_GETLK, &whole);
    show_lock(&whole);
}

static void file_locks(void)
{
    int fd = make_file("file", "", 0), second = CALL(open, "file", O_RDWR);
    CALL(flock, fd, LOCK_EX);
    CALL(flock, second, LOCK_EX | LOCK_NB);
    CALL(flock, second, LOCK_SH | LOCK_NB);
    CALL(flock, fd, LOCK_SH);
    CALL(flock, second, LOCK_SH | LOCK_NB);
    CALL(flock, fd, LOCK_UN);
    CALL(flock, fd, 77);
    CALL(flock, -1, LOCK_SH);
}

static void flags(void)
{
    int fd = make_file("file", "", 0), ends[2], owner;
    uint64_t hint = 7;
    struct f_owner_ex ex = {F_OWNER_PID, getpid()};
    if (pipe(ends))
        return;
    CALL(fcntl, fd, F_GETFL);
    CALL(fcntl, fd, F_SETFL, O_APPEND | O_NONBLOCK);
    CALL(fcntl, fd, F_GETFL);
    CALL(fcntl, fd, F_GETFD);
    CALL(fcntl, fd, F_SETFD, FD_CLOEXEC);
    CALL(fcntl, fd, F_GETFD);
    CALL(fcntl, fd, 12345, 0);
    CALL(fcntl, -1, F_GETFL);
    CALL(fcntl, ends[0], F_GETOWN);
    CALL(fcntl, ends[0], F_SETOWN, getpid());
    owner = (int)SOME(fcntl, ends[0], F_GETOWN);
    show("    %s", owner == getpid() ? "ours" : "other");
    CALL(fcntl, ends[0], F_SETOWN_EX, &ex);
    ex = (struct f_owner_ex){77, 77};
    CALL(fcntl, ends[0], F_GETOWN_EX, &ex);
    show("    type %d, %s", ex.type, ex.pid == getpid() ? "ours" : "other");
    CALL(fcntl, ends[0], F_SETOWN, 999999);
    CALL(fcntl, ends[0], F_SETSIG, SIGUSR1);
    CALL(fcntl, ends[0], F_GETSIG);
    CALL(fcntl, fd, F_GETLEASE);
    CALL(fcntl, fd, F_SETLEASE, F_WRLCK);
    CALL(fcntl, fd, F_GETLEASE);
    CALL(fcntl, fd, F_SETLEASE, F_UNLCK);
    CALL(fcntl, fd, 1024 + 11 /* F_GET_RW_HINT */, &hint);
    show("    hint %ld", (long)hint);
    hint = 2;
    CALL(fcntl, fd, 1024 + 12, &hint);
    CALL(fcntl, fd, 1024 + 12, BAD);
    CALL(fcntl, ends[0], F_GETPIPE_SZ);
    CALL(fcntl, fd, F_GETPIPE_SZ);
    CALL(fcntl, fd, 1024 + 10 /* F_GET_SEALS */);
}

/* What is asked of any descriptor; others are in terminal.c and socket.c. */
static void controls(void)
{
    int fd = make_file("file", "0123456789", 10), ends[2], n = -1;
    if (pipe(ends) || write(ends[1], "abc", 3) != 3)
        return;
    CALL(ioctl, ends[0], 0x541b /* FIONREAD */, &n);
    show("    %d", n);
    CALL(ioctl, fd, 0x541b, &n);
    show("    %d", n);
    n = 1;
    CALL(ioctl, ends[0], 0x5421 /* FIONBIO */, &n);
    CALL(ioctl, ends[0], 0x5421, BAD);
    CALL(fcntl, ends[0], F_GETFL);
    CALL(ioctl, ends[0], 0x5451 /* FIOCLEX */, 0);
    CALL(fcntl, ends[0], F_GETFD);
    CALL(ioctl, ends[0], 0x5450 /* FIONCLEX */, 0);
    CALL(fcntl, ends[0], F_GETFD);
    CALL(ioctl, fd, 2 /* FIGETBSZ */, &n);
    show("    %d", n);
    CALL(ioctl, fd, 0x5413 /* TIOCGWINSZ */, other);
    CALL(ioctl, fd, 0x5401 /* TCGETS */, other);
    CALL(ioctl, fd, 0x5401, BAD);
    CALL(ioctl, fd, 0x1234, 0);
    CALL(ioctl, fd, 0x80086601 /* FS_IOC_GETFLAGS */, &n);
    CALL(ioctl, fd, 0x80086601, BAD);
    CALL(ioctl, -1, 0x541b, &n);
    CALL(ioctl, -1, 0x541b, BAD);
    CALL(ioctl, fd, 0x40049409 /* FICLONE */, ends[0]);
}

const struct surface_case file_cases[] = {
    {"status of descriptors", status},
    {"sizes", sizes},
    {"synchronising", synchronise},
    {"owners and modes of descriptors", owners},
    {"attributes of descriptors", attributes},
    {"record locks", record_locks},
    {"flock", file_locks},
    {"flags of descriptors", flags},
    {"ioctl on any descriptor", controls},
    {NULL, NULL},
};
