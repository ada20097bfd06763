/* path.c - files by their names, and the names themselves. */
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <utime.h>

#ifndef STATX_BASIC_STATS
#include <linux/stat.h>
#endif

#include <sys/syscall.h>

#include "surface.h"

static const char *long_name(size_t size)
{
    static char name[8192];
    memset(name, 'n', size);
    name[size] = 0;
    return name;
}

static void opening(void)
{
    struct {
        uint64_t flags, mode, resolve, more;
    } how = {O_RDWR | O_CREAT, 0600, 0, 0}, beneath = {0, 0, 8 /* RESOLVE_BENEATH */, 0};
    mkdir("dir", 0755);
    int dir = CALL(open, "dir", O_RDONLY | O_DIRECTORY);
    CALL(open, "new", O_RDWR | O_CREAT | O_EXCL, 0666);
    CALL(open, "new", O_RDWR | O_CREAT | O_EXCL, 0666);
    CALL(open, "none", O_RDONLY);
    CALL(open, "dir", O_WRONLY);
    CALL(open, "new", O_RDONLY | O_DIRECTORY);
    CALL(open, "new/x", O_RDONLY);
    CALL(open, "", O_RDONLY);
    CALL(open, NULL, O_RDONLY);
    CALL(open, BAD, O_RDONLY);
    CALL(open, strcpy(edge(4), "new"), O_RDONLY);
    CALL(open, long_name(300), O_RDONLY);
    CALL(open, long_name(4095), O_RDONLY);
    CALL(open, long_name(4096), O_RDONLY);
    CALL(open, "new", O_PATH);
    CALL(open, "dir", O_TMPFILE | O_RDWR, 0600);
    CALL(creat, "created", 0640);
    CALL(creat, "dir", 0640);
    CALL(creat, BAD, 0640);
    CALL(openat, dir, "inner", O_RDWR | O_CREAT, 0600);
    CALL(openat, AT_FDCWD, "new", O_RDONLY);
    CALL(openat, 999, "new", O_RDONLY);
    CALL(openat, 999, "/dev/null", O_RDONLY);
    CALL(openat, 0, "new", O_RDONLY);
    CALL(openat, dir, BAD, O_RDONLY);
    CALL(openat2, dir, "second", &how, 24);
    CALL(openat2, dir, "../new", &beneath, 24);
    CALL(openat2, dir, "second", &how, 3);
    CALL(openat2, dir, "second", &how, 32);
    how.more = 1;
    CALL(openat2, dir, "second", &how, 32);
    CALL(openat2, dir, "second", BAD, 24);
    CALL(openat2, dir, "second", &how, 8192);
}

static void status(void)
{
    struct stat st;
    struct statfs fs;
    struct statx x;
    close(make_file("file", "0123456789", 10));
    if (symlink("file", "link"))
        return;
    CALL(stat, "link", &st);
    show_stat(&st);
    CALL(lstat, "link", &st);
    show_stat(&st);
    CALL(stat, "none", &st);
    CALL(stat, BAD, &st);
    CALL(stat, "file", BAD);
    CALL(stat, NULL, NULL);
    CALL(lstat, "none", &st);
    CALL(lstat, "file/x", &st);
    CALL(lstat, "file", BAD);
    CALL(newfstatat, AT_FDCWD, "link", &st, AT_SYMLINK_NOFOLLOW);
    show_stat(&st);
    CALL(newfstatat, AT_FDCWD, "", &st, AT_EMPTY_PATH);
    CALL(newfstatat, AT_FDCWD, "link", &st, 1 << 20);
    CALL(newfstatat, 999, "link", &st, 0);
    CALL(newfstatat, AT_FDCWD, "file", BAD, 0);
    CALL(statx, AT_FDCWD, "file", 0, 0x7ff, &x);
    show("    mode %o, size %ld, links %u, mask %x", x.stx_mode, (long)x.stx_size, x.stx_nlink,
         x.stx_mask & 0x7ff);
    CALL(statx, AT_FDCWD, "none", 0, 0x7ff, &x);
    CALL(statx, AT_FDCWD, "file", 1 << 20, 0x7ff, &x);
    CALL(statx, AT_FDCWD, "file", 0, 1u << 31, &x);
    CALL(statx, AT_FDCWD, "file", 0, 0x7ff, BAD);
    CALL(statfs, ".", &fs);
    show("    type %lx, blocks of %ld", (long)fs.f_type, (long)fs.f_bsize);
    CALL(statfs, "/proc", &fs);
    show("    type %lx, blocks of %ld", (long)fs.f_type, (long)fs.f_bsize);
    CALL(statfs, "none", &fs);
    CALL(statfs, ".", BAD);
    CALL(ustat, 0xffff, other);
    CALL(ustat, 0xffff, BAD);
}

static void access_rights(void)
{
    close(make_file("file", "", 0));
    chmod("file", 0400);
    CALL(access, "file", R_OK);
    CALL(access, "file", W_OK);
    CALL(access, "file", X_OK);
    CALL(access, "file", 77);
    CALL(access, "none", F_OK);
    CALL(access, BAD, F_OK);
    CALL(faccessat, AT_FDCWD, "file", R_OK);
    CALL(faccessat, AT_FDCWD, "none", R_OK);
    CALL(faccessat, 999, "file", R_OK);
    CALL(faccessat2, AT_FDCWD, "file", R_OK, AT_EACCESS);
    CALL(faccessat2, AT_FDCWD, "file", W_OK, 0);
    CALL(faccessat2, AT_FDCWD, "file", R_OK, 1 << 20);
    CALL(faccessat2, AT_FDCWD, BAD, R_OK, 0);
    CALL(open, "file", O_RDWR);
    CALL(chmod, "file", 0);
    CALL(open, "file", O_RDONLY);
    CALL(open, "/etc/shadow", O_RDONLY);
    CALL(open, "/etc/hostname.of.nobody", O_RDWR | O_CREAT | O_DIRECTORY);
}

static void modes(void)
{
    struct stat st;
    close(make_file("file", "", 0));
    if (symlink("none", "dangling") || symlink("file", "link"))
        return;
    CALL(chmod, "file", 0751);
    CALL(chmod, "dangling", 0751);
    CALL(chmod, BAD, 0751);
    CALL(fchmodat, AT_FDCWD, "file", 0640);
    CALL(fchmodat, AT_FDCWD, "none", 0640);
    CALL(fchmodat, 999, "file", 0640);
    CALL(fchmodat2, AT_FDCWD, "file", 0604, 0);
    CALL(fchmodat2, AT_FDCWD, "link", 0604, AT_SYMLINK_NOFOLLOW);
    CALL(fchmodat2, AT_FDCWD, "file", 0604, 1 << 20);
    CALL(chown, "file", -1, -1);
    CALL(chown, "file", 12345, 12345);
    CALL(chown, "none", -1, -1);
    CALL(chown, BAD, -1, -1);
    CALL(lchown, "link", -1, getegid());
    CALL(lchown, "none", -1, -1);
    CALL(fchownat, AT_FDCWD, "link", -1, -1, AT_SYMLINK_NOFOLLOW);
    CALL(fchownat, AT_FDCWD, "link", 12345, -1, 0);
    CALL(fchownat, AT_FDCWD, "link", -1, -1, 1 << 20);
    stat("file", &st);
    show("    mode %o, owner %d", st.st_mode, is_root ? (int)st.st_uid : 0);
}

static void show_times(const char *name)
{
    struct stat st = {0};
    lstat(name, &st);
    show("    %s: %s.%09ld %ld.%09ld", name, st.st_atim.tv_sec < 2000000 ? "1970" : "today",
         st.st_atim.tv_sec < 2000000 ? st.st_atim.tv_nsec : 0,
         st.st_mtim.tv_sec < 2000000 ? (long)st.st_mtim.tv_sec : -1,
         st.st_mtim.tv_sec < 2000000 ? st.st_mtim.tv_nsec : 0);
}

static void times(void)
{
    const struct timespec set[2] = {{1000, 5}, {2000, 6}}, some[2] = {{0, UTIME_OMIT}, {3000, 7}},
                          wrong[2] = {{0, -5}, {0, 0}};
    const struct timeval old[2] = {{4000, 8}, {5000, 9}}, bad_old[2] = {{0, 1000000}, {0, 0}};
    const struct utimbuf oldest = {6000, 7000};
    int fd = make_file("file", "", 0);
    if (symlink("file", "link"))
        return;
    CALL(utimensat, AT_FDCWD, "file", set, 0);
    show_times("file");
    CALL(utimensat, AT_FDCWD, "link", set, AT_SYMLINK_NOFOLLOW);
    show_times("link");
    CALL(utimensat, fd, NULL, some, 0);
    show_times("file");
    CALL(utimensat, AT_FDCWD, "file", wrong, 0);
    CALL(utimensat, AT_FDCWD, "file", BAD, 0);
    CALL(utimensat, AT_FDCWD, "none", set, 0);
    CALL(utimensat, 999, NULL, set, 0);
    CALL(utimes, "file", old);
    show_times("file");
    CALL(utimes, "file", bad_old);
    CALL(utimes, "none", old);
    CALL(utimes, "file", BAD);
    CALL(futimesat, AT_FDCWD, "file", old);
    CALL(futimesat, 999, "file", old);
    CALL(utime, "file", &oldest);
    show_times("file");
    CALL(utime, "none", &oldest);
    CALL(utime, "file", BAD);
    CALL(utime, "file", NULL);
    show_times("file");
    CALL(utimensat, AT_FDCWD, "file", NULL, 0);
    show_times("file");
}

static void attributes(void)
{
    close(make_file("file", "", 0));
    if (symlink("file", "link"))
        return;
    CALL(setxattr, "link", "user.a", "value", 5, 0);
    CALL(setxattr, "none", "user.a", "value", 5, 0);
    CALL(setxattr, "file", "user.a", "value", 5, XATTR_CREATE);
    CALL(setxattr, BAD, "user.a", "value", 5, 0);
    CALL(setxattr, "file", BAD, "value", 5, 0);
    CALL(setxattr, "file", long_name(300), "value", 5, 0);
    CALL(lsetxattr, "link", "user.a", "value", 5, 0);
    CALL(lsetxattr, "file", "user.b", "other", 5, 0);
    CALL(getxattr, "link", "user.a", edge(5), 5);
    show_bytes("value", bad - 5, 5);
    CALL(getxattr, "link", "user.a", other, 4);
    CALL(getxattr, "none", "user.a", other, 4);
    CALL(getxattr, "file", "user.a", BAD, 400);
    CALL(lgetxattr, "link", "user.a", other, 400);
    CALL(lgetxattr, "file", "user.b", other, 400);
    CALL(listxattr, "file", other, 4096);
    CALL(listxattr, "file", NULL, 0);
    CALL(listxattr, "file", other, 3);
    CALL(listxattr, "none", other, 4096);
    CALL(llistxattr, "link", other, 4096);
    CALL(llistxattr, "file", BAD, 4096);
    CALL(removexattr, "link", "user.a");
    CALL(removexattr, "file", "user.a");
    CALL(removexattr, "none", "user.a");
    CALL(lremovexattr, "link", "user.a");
    CALL(lremovexattr, "file", "user.b");
    CALL(lremovexattr, "file", BAD);
    CALL(setxattr, "file", "user.c", "value", 5, 0);
    CALL(listxattrat, AT_FDCWD, "file", 0, other, 4096);
    CALL(listxattrat, AT_FDCWD, "none", 0, other, 4096);
    CALL(listxattrat, AT_FDCWD, "file", 1 << 20, other, 4096);
    CALL(removexattrat, AT_FDCWD, "file", 0, "user.c");
    CALL(removexattrat, AT_FDCWD, "file", 0, "user.c");
    CALL(removexattrat, AT_FDCWD, "file", 1 << 20, "user.c");
}

static void file_attributes(void)
{
    struct {
        uint64_t flags;
        uint32_t extent, extents, project, cow;
    } a = {77, 77, 77, 77, 77};
    close(make_file("file", "", 0));
    CALL(file_getattr, AT_FDCWD, "file", &a, sizeof a, 0);
    show_bytes("attributes", &a, sizeof a);
    CALL(file_getattr, AT_FDCWD, "none", &a, sizeof a, 0);
    CALL(file_getattr, AT_FDCWD, "file", BAD, sizeof a, 0);
    CALL(file_getattr, AT_FDCWD, "file", &a, 3, 0);
    CALL(file_setattr, AT_FDCWD, "file", &a, sizeof a, 0);
    CALL(file_setattr, AT_FDCWD, "none", &a, sizeof a, 0);
    CALL(file_setattr, AT_FDCWD, "file", &a, 3, 0);
}

static void make_names(void)
{
    struct stat st;
    CALL(mkdir, "dir", 0750);
    CALL(mkdir, "dir", 0750);
    CALL(mkdir, "none/x", 0750);
    CALL(mkdir, BAD, 0750);
    int dir = CALL(open, "dir", O_RDONLY);
    CALL(mkdirat, dir, "inner", 0777);
    CALL(mkdirat, 999, "inner", 0777);
    CALL(mknod, "fifo", S_IFIFO | 0644, 0);
    CALL(mknod, "fifo", S_IFIFO | 0644, 0);
    CALL(mknod, "device", S_IFCHR | 0644, 0x103);
    CALL(mknod, "wrong", 0170000, 0);
    CALL(mknod, BAD, S_IFIFO, 0);
    CALL(mknodat, dir, "fifo", S_IFIFO | 0600, 0);
    CALL(mknodat, dir, "file", S_IFREG | 0600, 0);
    CALL(mknodat, 999, "file", S_IFREG | 0600, 0);
    CALL(umask, 077);
    CALL(mkdir, "private", 0777);
    stat("private", &st);
    show("    mode %o", st.st_mode);
    CALL(umask, 022);
    CALL(rmdir, "dir");
    CALL(rmdir, "private");
    CALL(rmdir, "fifo");
    CALL(rmdir, "none");
    CALL(rmdir, BAD);
    CALL(unlink, "fifo");
    CALL(unlink, "fifo");
    CALL(unlink, "dir");
    CALL(unlink, BAD);
    CALL(unlink, NULL);
    CALL(unlinkat, dir, "fifo", 0);
    CALL(unlinkat, dir, "inner", 0);
    CALL(unlinkat, dir, "inner", AT_REMOVEDIR);
    CALL(unlinkat, dir, "file", 1 << 20);
    CALL(unlinkat, 999, "file", 0);
}

static void link_names(void)
{
    char text[32];
    close(make_file("file", "", 0));
    CALL(link, "file", "second");
    CALL(link, "file", "second");
    CALL(link, "none", "third");
    CALL(link, ".", "third");
    CALL(link, BAD, "third");
    CALL(link, "file", BAD);
    CALL(linkat, AT_FDCWD, "file", AT_FDCWD, "third", 0);
    CALL(linkat, AT_FDCWD, "file", AT_FDCWD, "fourth", 1 << 20);
    CALL(linkat, 999, "file", AT_FDCWD, "fourth", 0);
    CALL(symlink, "target of the link", "link");
    CALL(symlink, "target", "link");
    CALL(symlink, "", "empty");
    CALL(symlink, BAD, "empty");
    CALL(symlinkat, "other", AT_FDCWD, "link2");
    CALL(symlinkat, "other", 999, "link3");
    memset(text, '-', sizeof text);
    CALL(readlink, "link", text, sizeof text);
    show_bytes("link", text, sizeof text);
    CALL(readlink, "link", edge(6), 6);
    show_bytes("cut", bad - 6, 6);
    CALL(readlink, "link", text, 0);
    CALL(readlink, "link", text, -1);
    CALL(readlink, "file", text, 6);
    CALL(readlink, "none", text, 6);
    CALL(readlink, "link", BAD, 6);
    CALL(readlinkat, AT_FDCWD, "link2", text, 6);
    CALL(readlinkat, 999, "link2", text, 6);
    CALL(readlinkat, AT_FDCWD, BAD, text, 6);
    CALL(rename, "second", "third");
    CALL(rename, "link", "moved");
    CALL(rename, "none", "moved");
    CALL(rename, "moved", BAD);
    CALL(renameat, AT_FDCWD, "moved", AT_FDCWD, "again");
    CALL(renameat, 999, "again", AT_FDCWD, "moved");
    CALL(renameat2, AT_FDCWD, "again", AT_FDCWD, "file", 1 /* RENAME_NOREPLACE */);
    CALL(renameat2, AT_FDCWD, "again", AT_FDCWD, "file", 2 /* RENAME_EXCHANGE */);
    CALL(renameat2, AT_FDCWD, "again", AT_FDCWD, "file", 99);
    CALL(readlink, "file", text, sizeof text);
}

static void directories(void)
{
    char text[4200];
    CALL(mkdir, "dir", 0755);
    close(make_file("file", "", 0));
    int dir = CALL(open, "dir", O_RDONLY), file = CALL(open, "file", O_RDONLY);
    CALL(chdir, "dir");
    SOME(getcwd, text, sizeof text);
    show_string("directory", text);
    CALL(chdir, "..");
    CALL(chdir, "none");
    CALL(chdir, "file");
    CALL(chdir, BAD);
    CALL(fchdir, dir);
    SOME(getcwd, text, sizeof text);
    show_string("directory", text);
    CALL(fchdir, file);
    CALL(fchdir, -1);
    CALL(getcwd, text, 3);
    CALL(getcwd, text, 0);
    CALL(getcwd, NULL, 100);
    CALL(getcwd, BAD, 4096);
    CALL(rmdir, "../dir");
    CALL(getcwd, text, sizeof text);
    CALL(open, "new", O_CREAT | O_RDWR, 0600);
    CALL(chdir, base);
    CALL(chroot, "none");
    CALL(chroot, "/");
    CALL(chroot, BAD);
    SOME(getcwd, text, sizeof text);
    show_string("directory", text);
}

static void handles(void)
{
    union {
        uint32_t words[64];
        char bytes[256];
    } h = {{128}}, small = {{0}};
    int mount = -1;
    close(make_file("file", "content", 7));
    int dir = CALL(open, ".", O_RDONLY);
    CALL(name_to_handle_at, AT_FDCWD, "file", &h, &mount, 0);
    show("    %u bytes, type %u, mount %d", h.words[0], h.words[1], mount > 0);
    CALL(name_to_handle_at, AT_FDCWD, "file", &small, &mount, 0);
    show("    %u bytes wanted", small.words[0]);
    small.words[0] = 100000;
    CALL(name_to_handle_at, AT_FDCWD, "file", &small, &mount, 0);
    CALL(name_to_handle_at, AT_FDCWD, "none", &h, &mount, 0);
    CALL(name_to_handle_at, AT_FDCWD, "file", BAD, &mount, 0);
    CALL(name_to_handle_at, AT_FDCWD, "file", &h, BAD, 0);
    CALL(name_to_handle_at, AT_FDCWD, "file", &h, &mount, 1 << 20);
    int fd = CALL(open_by_handle_at, dir, &h, O_RDONLY);
    if (fd >= 0) {
        CALL(read, fd, memset(other, 0, 8), 8);
        show_bytes("content", other, 8);
    }
    CALL(open_by_handle_at, dir, BAD, O_RDONLY);
    h.words[1] = 999;
    CALL(open_by_handle_at, dir, &h, O_RDONLY);
    CALL(open_by_handle_at, -1, &h, O_RDONLY);
}

/* The program's own entries are here, but for the ones about its descriptors and directories. */
static int lines_in(const char *name, const char *with)
{
    static char text[1 << 16];
    long fd = CALL(open, name, O_RDONLY), size = 0, got = 1;
    while (fd >= 0 && size < (long)sizeof text - 1 &&
           (got = syscall(SYS_read, fd, text + size, sizeof text - 1 - (size_t)size)) > 0)
        size += got;
    text[size] = 0;
    if (fd >= 0)
        close((int)fd);
    return strstr(text, with) != NULL;
}

static void proc_self(void)
{
    char text[4200], name[64];
    int fd = make_file("file", "", 0);
    long n = SOME(readlink, "/proc/self/exe", text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    show_string("exe", strrchr(text, '/') ? strrchr(text, '/') : text);
    n = SOME(readlink, "/proc/self/cwd", text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    show_string("cwd", text);
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    n = SOME(readlink, name, text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    show_string("fd", text);
    snprintf(name, sizeof name, "/proc/%d/fd/%d", getpid(), fd);
    n = SOME(readlink, name, text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    show_string("fd", text);
    show("    maps %d", lines_in("/proc/self/maps", "surface"));
    show("    status %d", lines_in("/proc/self/status", "Name:\tsurface"));
    show("    cmdline %d", lines_in("/proc/self/cmdline", "surface"));
    snprintf(name, sizeof name, "/proc/self/fdinfo/%d", fd);
    show("    fdinfo %d", lines_in(name, "flags:\t0100002"));
    CALL(open, "/proc/self/none", O_RDONLY);
    CALL(open, "/proc/self/fd/999", O_RDONLY);
    CALL(readlink, "/proc/self/exe", text, 0);
    CALL(readlink, "/proc/self/exe", BAD, 10);
    CALL(access, "/proc/self/maps", R_OK);
}

const struct surface_case path_cases[] = {
    {"open", opening},
    {"status of paths", status},
    {"access", access_rights},
    {"modes and owners of paths", modes},
    {"times", times},
    {"attributes of paths", attributes},
    {"file attributes", file_attributes},
    {"names made and removed", make_names},
    {"links", link_names},
    {"current directory", directories},
    {"handles", handles},
    {"/proc/self", proc_self},
    {NULL, NULL},
};
