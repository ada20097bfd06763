/*
 * ckpt_fds.c - see fds.h: lists the program's descriptors, from within.
 *
 * Mechanism: the numbers first, from /proc/self/fd, and that directory closed again; then each one
 * by fstat, fcntl, readlink and /proc/self/fdinfo/N; then, by kcmp(2), which of them are one open
 * file description.
 *
 * RULES: what the program has open is never opened or closed (its record locks would go); the table
 * is one shared anonymous mapping, which does not merge with the program's memory; large buffers
 * are static.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <time.h>

#include "restart/ckpt_text.h"
#include "restart/fds.h"
#include "stubs/mem.h"
#include "stubs/raw.h"

#define TABLE_MOST  (64u << 20) /* address space, not memory: only what is written counts */
#define TABLE_LEAST (1u << 20)
#define PATH_SIZE   4096
#define TTY_MAJOR   5

/* The table while it grows: entries stand in their final place, locks and strings are moved
 * together at the end. */
static struct {
    struct fds_header *header;
    struct fds_entry *entries;
    struct fds_lock *locks;
    char *strings;
    size_t strings_size;
    size_t locks_size;
    uint64_t terminal; /* the controlling terminal, as st_rdev; 0: none */
    int pid;
} growing;

static char info[65536]; /* text of an fdinfo file */

static uint32_t add_string(const char *s)
{
    struct fds_header *h = growing.header;
    size_t length = strlen(s) + 1;
    if (length == 1)
        return 0;
    if (growing.strings_size - h->strings < length)
        return 0;
    uint32_t offset = h->strings;
    memcpy(growing.strings + offset, s, length);
    h->strings += (uint32_t)length;
    return offset;
}

static void fd_path(char *out, size_t size, const char *directory, int number)
{
    struct text path = {out, size, 0};
    text_add(&path, directory);
    text_number(&path, number);
}

static int starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* --- numbers --- */

/* The numbers that are not the program's. */
struct own {
    const int *numbers;
    size_t count;
    int floor; /* and all from here on */
};

static int is_own(int number, const struct own *own)
{
    for (size_t i = 0; i < own->count; i++)
        if (own->numbers[i] == number)
            return 1;
    return number >= own->floor;
}

static long add_numbers(const char *dents, long size, int directory, const struct own *own)
{
    for (long at = 0; at < size;) {
        const struct dent *d = (const void *)(dents + at);
        const char *name = d->name;
        at += d->length;
        if (name[0] < '0' || name[0] > '9')
            continue;
        int number = (int)text_parse(&name, 10);
        if (number == directory || is_own(number, own))
            continue;
        if (growing.header->count == FDS_MAX)
            return -E2BIG;
        growing.entries[growing.header->count++].number = number;
    }
    return 0;
}

static long list_numbers(const struct own *own)
{
    static char dents[8192] __attribute__((aligned(8)));
    long size, result = 0;
    long directory =
        raw(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (raw_failed(directory))
        return directory;
    while (!result && (size = raw(SYS_getdents64, directory, dents, sizeof dents)) > 0)
        result = add_numbers(dents, size, (int)directory, own);
    raw(SYS_close, directory);
    return result ? result : size;
}

/* --- one descriptor --- */

static long read_info(int number)
{
    char path[64];
    fd_path(path, sizeof path, "/proc/self/fdinfo/", number);
    return text_file(path, info, sizeof info);
}

static int anonymous_kind(const char *name)
{
    static const struct { /* no pointers: nothing to relocate */
        char name[16];
        int kind;
    } kinds[] = {
        {"[eventfd]", FDS_EVENTFD},   {"[timerfd]", FDS_TIMERFD},   {"[eventpoll]", FDS_EPOLL},
        {"[signalfd]", FDS_SIGNALFD}, {"inotify", FDS_INOTIFY},     {"[pidfd]", FDS_PIDFD},
        {"[io_uring]", FDS_IO_URING}, {"[userfaultfd]", FDS_BOUND}, {"[perf_event]", FDS_BOUND},
        {"kvm-", FDS_BOUND},          {"[secretmem]", FDS_BOUND},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (starts(name, kinds[i].name))
            return kinds[i].kind;
    return FDS_OTHER;
}

/* A file below /proc/PID of our own process means another process, or nothing, after a restart. */
static int is_own_proc(const char *path)
{
    const char *at = path + 6;
    return starts(path, "/proc/") && *at >= '0' && *at <= '9' &&
           text_parse(&at, 10) == (uint64_t)growing.pid && (*at == '/' || !*at);
}

static int character_kind(struct fds_entry *e)
{
    static unsigned char termios[64];
    if (raw(SYS_ioctl, e->number, TCGETS, termios) != 0)
        return FDS_CHARACTER;
    unsigned lock;
    if (raw(SYS_ioctl, e->number, TIOCGPTN, &lock) == 0)
        e->flags |= FDS_MASTER;
    else if (e->number <= 2 || e->rdev == growing.terminal || e->rdev == makedev(TTY_MAJOR, 0))
        return FDS_TERMINAL;
    return FDS_CHARACTER;
}

static int kind_of(struct fds_entry *e, const char *path)
{
    if (starts(path, "anon_inode:"))
        return anonymous_kind(path + strlen("anon_inode:"));
    switch (e->mode & S_IFMT) {
    case S_IFREG:
        return starts(path, "/memfd:") ? FDS_MEMFD : is_own_proc(path) ? FDS_BOUND : FDS_REGULAR;
    case S_IFDIR:
        return is_own_proc(path) ? FDS_BOUND : FDS_DIRECTORY;
    case S_IFCHR:
        return e->flags & FDS_PATH_ONLY ? FDS_CHARACTER : character_kind(e);
    case S_IFBLK:
        return FDS_BLOCK;
    case S_IFIFO:
        return starts(path, "pipe:[") ? FDS_PIPE : FDS_FIFO;
    case S_IFSOCK:
        return starts(path, "socket:[") ? FDS_SOCKET : FDS_OTHER;
    default:
        return FDS_OTHER;
    }
}

static void copy_stat(struct fds_entry *e, const struct stat *st)
{
    e->mode = st->st_mode;
    e->dev = st->st_dev;
    e->inode = st->st_ino;
    e->rdev = st->st_rdev;
    e->size = st->st_size;
    e->mtime = st->st_mtim.tv_sec;
    e->mtime_nsec = st->st_mtim.tv_nsec;
    e->ctime = st->st_ctim.tv_sec;
    e->ctime_nsec = st->st_ctim.tv_nsec;
}

/* newfstatat fills the C library's struct stat on the 64-bit architectures that we serve. */
static long stat_fd(int number, struct stat *st)
{
    return raw(SYS_newfstatat, number, "", st, AT_EMPTY_PATH);
}

/* " (deleted)" is also a possible end of a name; only what the name leads to tells. */
static int is_deleted(const struct fds_entry *e, char *path)
{
    struct stat st;
    size_t length = strlen(path);
    if (path[0] != '/' ||
        (e->kind != FDS_REGULAR && e->kind != FDS_DIRECTORY && e->kind != FDS_FIFO))
        return 0;
    if (raw(SYS_newfstatat, AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == e->dev &&
        st.st_ino == e->inode)
        return 0;
    if (length > 10 && !strcmp(path + length - 10, " (deleted)"))
        path[length - 10] = 0;
    return 1;
}

/* Both ways shut, and no error to be told. */
static int is_shut(int number)
{
    struct pollfd p = {.fd = number, .events = POLLRDHUP};
    const struct timespec none = {0};
    return raw(SYS_ppoll, &p, 1, &none, NULL, 0) == 1 && p.revents == (POLLHUP | POLLRDHUP);
}

/* An end of a socketpair(2) whose other end is closed: a program that closes descriptors in use
 * puts it in their place. One that was never connected has no peer's name; one with a name of its
 * own was made otherwise. */
static int is_widowed(const struct fds_entry *e)
{
    struct sockaddr_un own, peer;
    unsigned size = sizeof own, peer_size = sizeof peer;
    int left = 0;
    return e->domain == AF_UNIX && (e->type == SOCK_STREAM || e->type == SOCK_SEQPACKET) &&
           is_shut(e->number) && raw(SYS_getsockname, e->number, &own, &size) == 0 &&
           size == sizeof own.sun_family &&
           raw(SYS_getpeername, e->number, &peer, &peer_size) == 0 &&
           raw(SYS_ioctl, e->number, FIONREAD, &left) == 0 && !left;
}

static void ask_socket(struct fds_entry *e)
{
    unsigned size = sizeof e->domain;
    raw(SYS_getsockopt, e->number, SOL_SOCKET, SO_DOMAIN, &e->domain, &size);
    size = sizeof e->type;
    raw(SYS_getsockopt, e->number, SOL_SOCKET, SO_TYPE, &e->type, &size);
    e->flags |= is_widowed(e) ? FDS_WIDOWED : 0;
}

static void ask_pipe(struct fds_entry *e)
{
    int waiting = 0;
    raw(SYS_ioctl, e->number, FIONREAD, &waiting);
    e->size = waiting;
}

static int in_background(int number)
{
    int group = 0;
    return raw(SYS_ioctl, number, TIOCGPGRP, &group) == 0 && group != raw(SYS_getpgid, 0);
}

/* A terminal's modes and window size, in hexadecimal: the program set the ones and will rely on
 * them, and knows the other. Those that a background job finds are another's, mostly of a shell
 * that edits a line. */
static uint32_t terminal_state(int number)
{
    static unsigned char state[64];
    char digits[2 * FDS_TERMINAL_BYTES + 1];
    _Static_assert(FDS_TERMIOS_BYTES + sizeof(struct winsize) <= sizeof state, "too small");
    if (in_background(number) || raw(SYS_ioctl, number, TCGETS, state) != 0 ||
        raw(SYS_ioctl, number, TIOCGWINSZ, state + FDS_TERMIOS_BYTES) != 0)
        return 0;
    for (int i = 0; i < FDS_TERMINAL_BYTES; i++) {
        digits[2 * i] = "0123456789abcdef"[state[i] >> 4];
        digits[2 * i + 1] = "0123456789abcdef"[state[i] & 15];
    }
    digits[2 * FDS_TERMINAL_BYTES] = 0;
    return add_string(digits);
}

static int tells_state_in_info(int kind)
{
    return kind == FDS_EVENTFD || kind == FDS_TIMERFD || kind == FDS_EPOLL ||
           kind == FDS_SIGNALFD || kind == FDS_INOTIFY;
}

/* --- locks --- */

/* "1: POSIX  ADVISORY  WRITE 359 00:13:11691 0 EOF" */
static int parse_lock(const char *s, struct fds_lock *lock)
{
    s = text_skip(s, 1);
    lock->kind = starts(s, "POSIX")    ? FDS_POSIX
                 : starts(s, "FLOCK")  ? FDS_FLOCK
                 : starts(s, "OFDLCK") ? FDS_OFD
                 : starts(s, "LEASE")  ? FDS_LEASE
                                       : 0;
    s = text_skip(s, 2);
    lock->write = starts(s, "WRITE");
    s = text_skip(s, 3);
    lock->start = (int64_t)text_parse(&s, 10);
    s = text_skip(s, 1);
    lock->end = starts(s, "EOF") ? INT64_MAX : (int64_t)text_parse(&s, 10);
    return lock->kind != 0;
}

static int same_file(int a, const struct fds_entry *b)
{
    const struct fds_header *h = growing.header;
    for (uint32_t i = 0; i < h->count; i++)
        if (growing.entries[i].number == a)
            return growing.entries[i].dev == b->dev && growing.entries[i].inode == b->inode;
    return 0;
}

/* The kernel tells a POSIX lock at every descriptor of the file, ours to list once, where it can be
 * set again: a write lock needs a descriptor open for writing, a read lock one for reading. */
static int is_listed(const struct fds_entry *e, const struct fds_lock *lock)
{
    int access = e->status & O_ACCMODE;
    if (lock->kind != FDS_POSIX)
        return 0;
    if (access == (lock->write ? O_RDONLY : O_WRONLY))
        return 1;
    for (uint32_t i = 0; i < growing.header->locks; i++) {
        const struct fds_lock *l = growing.locks + i;
        if (l->kind == FDS_POSIX && l->start == lock->start && l->end == lock->end &&
            same_file(l->number, e))
            return 1;
    }
    return 0;
}

static long add_locks(const struct fds_entry *e)
{
    for (const char *at = info; *at;) {
        struct fds_lock lock = {.number = e->number};
        if (starts(at, "lock:\t") && parse_lock(at + 6, &lock) && !is_listed(e, &lock)) {
            if (growing.header->locks == growing.locks_size)
                return -E2BIG;
            growing.locks[growing.header->locks++] = lock;
        }
        const char *end = strchr(at, '\n');
        at = end ? end + 1 : "";
    }
    return 0;
}

static long describe(struct fds_entry *e)
{
    static char link_name[64], path[PATH_SIZE];
    struct stat st;
    int number = e->number;
    long result = stat_fd(number, &st);
    if (raw_failed(result))
        return result;
    copy_stat(e, &st);
    e->status = (int32_t)raw(SYS_fcntl, number, F_GETFL);
    e->flags = raw(SYS_fcntl, number, F_GETFD) & FD_CLOEXEC ? FDS_CLOEXEC : 0;
    e->flags |= e->status & O_PATH ? FDS_PATH_ONLY : 0;
    e->shares = number;
    fd_path(link_name, sizeof link_name, "/proc/self/fd/", number);
    result = raw(SYS_readlinkat, AT_FDCWD, link_name, path, sizeof path - 1);
    path[raw_failed(result) ? 0 : result] = 0;
    e->kind = (uint16_t)kind_of(e, path);
    e->flags |= is_deleted(e, path) ? FDS_DELETED : 0;
    e->path = add_string(path);
    result = raw(SYS_lseek, number, 0, SEEK_CUR);
    e->offset = raw_failed(result) ? -1 : result;
    result = raw(SYS_fcntl, number, F_GETOWN);
    e->owner = raw_failed(result) ? 0 : (int32_t)result;
    if (e->kind == FDS_SOCKET)
        ask_socket(e);
    if (e->kind == FDS_PIPE)
        ask_pipe(e);
    if (e->kind == FDS_TERMINAL)
        e->extra = terminal_state(number);
    result = read_info(number);
    if (raw_failed(result))
        return result;
    if (tells_state_in_info(e->kind))
        e->extra = add_string(info);
    return add_locks(e);
}

/* --- the table --- */

static long map_table(struct fds_table *table)
{
    for (size_t size = TABLE_MOST; size >= TABLE_LEAST; size /= 2) {
        long at = raw(SYS_mmap, 0, size, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (raw_failed(at))
            continue;
        *table = (struct fds_table){(void *)at, 0, size};
        return 0;
    }
    return -ENOMEM;
}

/* tty_nr, field 7 of /proc/self/stat, is in the old 32-bit form that st_rdev has for small numbers,
 * too. */
static uint64_t controlling_terminal(void)
{
    static char stat_text[1024];
    if (raw_failed(text_file("/proc/self/stat", stat_text, sizeof stat_text)))
        return 0;
    const char *end = stat_text;
    for (const char *at = stat_text; (at = strchr(at, ')')); at++)
        end = at;
    const char *field = text_skip(end, 5);
    uint32_t number = (uint32_t)text_parse(&field, 10);
    return makedev(number >> 8 & 0xfff, (number & 0xff) | (number >> 12 & 0xfff00));
}

static void begin(const struct fds_table *table)
{
    struct fds_header *h = table->data;
    memset(h, 0, sizeof *h);
    h->magic = FDS_MAGIC;
    h->version = FDS_VERSION;
    h->entry_size = sizeof(struct fds_entry);
    h->lock_size = sizeof(struct fds_lock);
    h->strings = 1;
    raw(SYS_getrandom, &h->image, sizeof h->image, 0);
    h->image |= 1; /* 0 means none */
    growing.header = h;
    growing.entries = (struct fds_entry *)(h + 1);
    growing.pid = (int)raw(SYS_getpid);
    growing.terminal = controlling_terminal();
}

/* What the entries leave free: a quarter for the locks, the rest for the strings. */
static long divide(const struct fds_table *table)
{
    struct fds_header *h = growing.header;
    growing.locks = (struct fds_lock *)(growing.entries + h->count);
    size_t used = (size_t)((char *)growing.locks - (char *)h);
    if (used + (1 << 16) > table->mapped)
        return -E2BIG;
    growing.locks_size = (table->mapped - used) / 4 / sizeof(struct fds_lock);
    growing.strings = (char *)(growing.locks + growing.locks_size);
    growing.strings_size = table->mapped - (size_t)(growing.strings - (char *)h);
    growing.strings[0] = 0;
    return 0;
}

static long fill_table(struct fds_table *table, const struct own *own)
{
    begin(table);
    long result = list_numbers(own);
    if (!result)
        result = divide(table);
    for (uint32_t i = 0; !result && i < growing.header->count; i++)
        result = describe(growing.entries + i);
    if (result)
        return result;
    fds_find_sharing(growing.header, growing.entries);
    fds_read_pipes(growing.header, growing.entries, growing.strings, growing.strings_size);
    struct fds_header *h = growing.header;
    char *strings = (char *)(growing.locks + h->locks);
    memmove(strings, growing.strings, h->strings);
    table->size = (size_t)(strings + h->strings - (char *)h);
    return 0;
}

static long collect_all(struct fds_table *table, const struct own *own)
{
    long result = map_table(table);
    if (result)
        return result;
    result = fill_table(table, own);
    if (result)
        fds_free(table);
    return result;
}

long fds_collect(struct fds_table *table, const int *own, size_t owned)
{
    return collect_all(table, &(struct own){own, owned, INT_MAX});
}

long fds_collect_below(struct fds_table *table, int floor)
{
    return collect_all(table, &(struct own){NULL, 0, floor});
}

void fds_free(struct fds_table *table)
{
    if (table->mapped)
        raw(SYS_munmap, table->data, table->mapped);
    *table = (struct fds_table){0};
}
