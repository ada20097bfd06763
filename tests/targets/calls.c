/*
 * calls.c - makes system calls of every kind and prints what came of each: result or error, values,
 * buffers, offsets. One line each, the same whenever it runs: with remote I/O they must be those of
 * the same program run plainly (remote-table.bats).
 *
 * usage: calls    in an empty directory; with HIJACK_TEST_WAIT set it reads a line first
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <termios.h>
#include <unistd.h>

static char buffer[300000];

static long show(const char *what, long result)
{
    if (result == -1 && errno)
        printf("%s: error %d\n", what, errno);
    else
        printf("%s = %ld\n", what, result);
    errno = 0;
    return result;
}

#define R(call) show(#call, (errno = 0, (long)(call)))

static void show_bytes(const char *what, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    printf("    %s:", what);
    for (size_t i = 0; i < size; i++)
        printf(at[i] > ' ' && at[i] < 127 ? "%c" : " %02x ", at[i]);
    putchar('\n');
}

#define TEXT(string)    ((struct iovec){(char *)(uintptr_t)(string), sizeof(string) - 1})
#define B(object, size) show_bytes(#object, object, size)

static void show_file(const char *name)
{
    struct stat s;
    if (R(lstat(name, &s)) == 0)
        printf("    %s: mode %o, %ld links, %ld bytes, modified %ld.%09ld\n", name, s.st_mode,
               (long)s.st_nlink, (long)s.st_size, s.st_mtime > 2000000000 ? (long)s.st_mtime : 0,
               s.st_mtime > 2000000000 ? s.st_mtim.tv_nsec : 0);
}

/* --- files --- */

static void reading_and_writing(void)
{
    char a[4] = "", b[8] = "";
    struct iovec out[] = {TEXT("one "), TEXT(""), TEXT("two")}, in[] = {{a, 3}, {b, 8}};
    int fd = (int)R(open("data", O_RDWR | O_CREAT | O_EXCL, 0640));
    R(open("data", O_RDWR | O_CREAT | O_EXCL, 0640));
    R(write(fd, "hello, world", 12));
    R(pwrite(fd, "J", 1, 0));
    R(lseek(fd, 0, SEEK_CUR));
    R(lseek(fd, -5, SEEK_END));
    memset(buffer, 0, 20);
    R(read(fd, buffer, 100));
    B(buffer, 8);
    R(read(fd, buffer, 100));
    R(pread(fd, buffer, 7, 2));
    B(buffer, 8);
    R(writev(fd, out, 3));
    R(preadv(fd, in, 2, 10));
    B(a, 4);
    B(b, 8);
    R(pwritev(fd, out, 3, 30));
    R(lseek(fd, 12, SEEK_DATA));
    R(readv(fd, in, 0));
    R(lseek(fd, 3, 99));
    R(ftruncate(fd, 33));
    show_file("data");
    R(posix_fallocate(fd, 0, 8192));
    R(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
    R(fsync(fd));
    R(fdatasync(fd));
    R(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
    R(readahead(fd, 0, 4096));
    show_file("data");
    R(close(fd));
    R(close(fd));
    R(read(fd, buffer, 1));
    R(write(fd, buffer, 1));
}

static void much_at_once(void)
{
    int fd = (int)R(open("much", O_RDWR | O_CREAT | O_APPEND, 0600));
    for (size_t i = 0; i < sizeof buffer; i++)
        buffer[i] = (char)(i * 7 + i / 4099);
    R(write(fd, buffer, sizeof buffer));
    memset(buffer, 0, sizeof buffer);
    R(pread(fd, buffer, sizeof buffer, 0));
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof buffer; i++)
        sum = sum * 31 + (unsigned char)buffer[i];
    printf("    sum %llx\n", (unsigned long long)sum);
    R(lseek(fd, 100, SEEK_SET));
    R(write(fd, "end", 3)); /* appended all the same */
    R(lseek(fd, 0, SEEK_CUR));
    R(close(fd));
    R(truncate("much", 10));
    show_file("much");
}

static void names(void)
{
    struct timespec times[2] = {{2100000000, 5}, {2100000001, 123456789}};
    struct statfs fs, root;
    R(umask(027));
    R(umask(027));
    R(mkdir("dir", 0777));
    R(mkdir("dir", 0777));
    show_file("dir");
    R(mknod("dir/fifo", S_IFIFO | 0666, 0));
    show_file("dir/fifo");
    R(symlink("../data", "dir/link"));
    memset(buffer, '.', 20);
    R(readlink("dir/link", buffer, 100));
    B(buffer, 10);
    R(readlink("dir/link", buffer, 3));
    R(link("data", "dir/hard"));
    R(chmod("data", 0751));
    R(chown("data", (uid_t)-1, getgid()));
    R(utimensat(AT_FDCWD, "data", times, 0));
    show_file("data");
    R(rename("dir/hard", "moved"));
    R(rename("dir/hard", "moved"));
    R(access("moved", R_OK | X_OK));
    R(access("absent", F_OK));
    R(faccessat(AT_FDCWD, "moved", W_OK, AT_EACCESS));
    R(rmdir("dir"));
    R(unlink("dir"));
    R(statfs(".", &fs) + statfs("/", &root));
    R(open("dir", O_WRONLY));
    R(open("data/x", O_RDONLY));
    R(syscall(SYS_openat, AT_FDCWD, NULL, O_RDONLY));
    R(open("", O_RDONLY));
    memset(buffer, 'n', 5000);
    buffer[300] = 0;
    R(open(buffer, O_RDONLY));
    buffer[300] = 'n', buffer[5000] = 0;
    R(open(buffer, O_RDONLY));
    R(chdir("dir"));
    R(access("fifo", F_OK));
    R(strcmp(strrchr(getcwd(buffer, 4096), '/'), "/dir"));
    int up = (int)R(open("..", O_RDONLY | O_DIRECTORY));
    R(openat(up, "absent", O_RDONLY));
    R(fchdir(up));
    R(syscall(SYS_getcwd, buffer, 1));
    R(close(up));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void directories(void)
{
    struct dirent **list;
    int count = (int)R(scandir("dir", &list, NULL, by_name));
    for (int i = 0; i < count; i++)
        printf("    %s, type %d\n", list[i]->d_name, list[i]->d_type);
    int fd = (int)R(open("data", O_RDONLY));
    R(syscall(SYS_getdents64, fd, buffer, 1000));
    R(close(fd));
}

static void attributes(void)
{
    R(setxattr("data", "user.colour", "green", 5, 0));
    R(setxattr("data", "user.colour", "blue", 4, XATTR_CREATE));
    R(getxattr("data", "user.colour", NULL, 0));
    memset(buffer, 0, 100);
    R(getxattr("data", "user.colour", buffer, 100));
    R(getxattr("data", "user.colour", buffer, 2));
    B(buffer, 6);
    R(listxattr("data", buffer, 1000));
    R(removexattr("data", "user.colour"));
    R(removexattr("data", "user.colour"));
}

static void locks(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_start = 5, .l_len = 10};
    int a = (int)R(open("data", O_RDWR)), b = (int)R(open("data", O_RDWR));
    R(flock(a, LOCK_EX));
    R(flock(b, LOCK_SH | LOCK_NB));
    R(flock(a, LOCK_UN));
    R(fcntl(a, F_OFD_SETLK, &lock));
    R(fcntl(b, F_OFD_GETLK, &lock));
    printf("    type %d, %ld bytes from %ld\n", lock.l_type, (long)lock.l_len, (long)lock.l_start);
    lock.l_type = F_RDLCK, lock.l_pid = 0;
    R(fcntl(b, F_OFD_SETLK, &lock));
    R(fcntl(b, 12345, 0));
    R(close(a));
    R(fcntl(b, F_OFD_SETLK, &lock));
    R(close(b));
}

/* --- descriptors --- */

static void numbers(void)
{
    int fds[2];
    int fd = (int)R(open("data", O_RDONLY | O_CLOEXEC));
    R(fcntl(fd, F_GETFD));
    R(dup(fd));
    R(fcntl(fd + 1, F_GETFD));
    R(dup2(fd, 50));
    R(dup2(fd, fd));
    R(dup3(fd, fd, 0));
    R(dup3(fd, 51, O_CLOEXEC));
    R(fcntl(fd, F_DUPFD, 40));
    R(read(50, buffer, 3));
    R(lseek(fd, 0, SEEK_CUR));
    R(pipe(fds));
    printf("    %d %d\n", fds[0], fds[1]);
    R(close(fd + 1));
    R(open("data", O_RDONLY));
    R(syscall(SYS_close_range, fd, 60, 0));
    R(dup(fds[0]));
    R(fcntl(0, F_GETFL) & O_ACCMODE);
    R(dup2(-1, 3));
    R(dup(100000));
}

static void pipes(void)
{
    int fds[2], available, one = 1;
    signal(SIGPIPE, SIG_IGN);
    R(pipe2(fds, O_CLOEXEC | O_NONBLOCK));
    R(read(fds[0], buffer, 1));
    R(write(fds[1], "abcdef", 6));
    R(ioctl(fds[0], FIONREAD, &available));
    R(available);
    R(fcntl(fds[1], F_SETPIPE_SZ, 8192));
    R(fcntl(fds[1], F_GETFL));
    R(write(fds[1], buffer,
            200000)); /* one frame: how a pipe fills its pages depends on the size */
    R(write(fds[1], buffer, 1));
    R(ioctl(fds[0], FIONBIO, &one));
    R(read(fds[0], buffer, 5));
    R(close(fds[0]));
    R(write(fds[1], "x", 1));
    R(close(fds[1]));
}

static void moving(void)
{
    int fds[2], to[2];
    off_t from = 2, at = 1;
    int data = (int)R(open("data", O_RDWR)), copy = (int)R(open("copy", O_RDWR | O_CREAT, 0600));
    R(pipe(fds)), R(pipe(to));
    R(sendfile(fds[1], data, &from, 5));
    R(from);
    R(splice(data, NULL, fds[1], NULL, 4, 0));
    R(tee(fds[0], to[1], 6, 0));
    R(splice(fds[0], NULL, copy, &at, 9, 0));
    R(at);
    memset(buffer, 0, 20);
    R(read(to[0], buffer, 20));
    B(buffer, 9);
    R(copy_file_range(data, &from, copy, NULL, 3, 0));
    R(pread(copy, buffer, 20, 0));
    B(buffer, 12);
    struct iovec v = TEXT("given");
    R(vmsplice(to[1], &v, 1, 0));
    R(read(to[0], buffer, 20));
    B(buffer, 5);
    R(close(data)), R(close(copy));
    for (int i = 0; i < 2; i++)
        close(fds[i]), close(to[i]);
}

static void waiting(void)
{
    int fds[2];
    fd_set in, out;
    struct timeval now = {0, 0};
    struct timespec soon = {0, 1000000};
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 0x1234567890}, got[3];
    R(pipe(fds));
    struct pollfd polled[] = {
        {fds[0], POLLIN, 0}, {fds[1], POLLOUT, 0}, {99, POLLIN, 0}, {-1, 0, 0}};
    R(poll(polled, 4, 0));
    printf("    %x %x %x %x\n", polled[0].revents, polled[1].revents, polled[2].revents,
           polled[3].revents);
    R(ppoll(polled, 1, &soon, NULL));
    R(poll(NULL, 0, 2));
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(fds[0], &in);
    FD_SET(fds[1], &out);
    R(select(fds[1] + 1, &in, &out, NULL, &now));
    R(FD_ISSET(fds[0], &in) * 2 + FD_ISSET(fds[1], &out));
    FD_SET(61, &in);
    R(select(62, &in, NULL, NULL, &now));
    int ep = (int)R(epoll_create1(0));
    R(epoll_ctl(ep, EPOLL_CTL_ADD, fds[0], &event));
    R(epoll_ctl(ep, EPOLL_CTL_ADD, fds[0], &event));
    R(epoll_wait(ep, got, 3, 0));
    R(write(fds[1], "x", 1));
    R(epoll_wait(ep, got, 3, -1));
    printf("    %x %llx\n", got[0].events, (unsigned long long)got[0].data.u64);
    R(epoll_wait(ep, got, 3, 1));
    R(epoll_wait(ep, got, 0, 1));
    R(epoll_ctl(ep, EPOLL_CTL_DEL, fds[0], NULL));
    R(close(ep)), R(close(fds[0])), R(close(fds[1]));
}

static void special(void)
{
    uint64_t value = 7;
    struct itimerspec timer = {.it_value.tv_nsec = 1000000}, old;
    struct signalfd_siginfo info;
    sigset_t usr1;
    int fd = (int)R(eventfd(3, EFD_NONBLOCK));
    R(write(fd, &value, 8));
    R(read(fd, &value, 8));
    R(value);
    R(read(fd, &value, 8));
    R(read(fd, &value, 4));
    R(close(fd));
    fd = (int)R(timerfd_create(CLOCK_MONOTONIC, 0));
    R(timerfd_settime(fd, 0, &timer, &old));
    R(read(fd, &value, 8));
    R(value);
    R(timerfd_gettime(fd, &old));
    R(old.it_value.tv_sec + old.it_value.tv_nsec + old.it_interval.tv_sec);
    R(close(fd));
    sigemptyset(&usr1), sigaddset(&usr1, SIGUSR1);
    R(sigprocmask(SIG_BLOCK, &usr1, NULL));
    fd = (int)R(signalfd(-1, &usr1, 0));
    R(kill(getpid(), SIGUSR1));
    R(read(fd, &info, sizeof info));
    R(info.ssi_signo);
    R(info.ssi_pid == (uint32_t)getpid());
    R(close(fd));
    fd = (int)R(inotify_init1(IN_NONBLOCK));
    R(inotify_add_watch(fd, "dir", IN_CREATE | IN_DELETE));
    R(mkdir("dir/sub", 0700));
    R(rmdir("dir/sub"));
    ssize_t size = R(read(fd, buffer, sizeof buffer));
    for (char *at = buffer; at < buffer + size;) {
        struct inotify_event *e = (void *)at;
        printf("    watch %d, mask %x, %s\n", e->wd, e->mask, e->name);
        at += sizeof *e + e->len;
    }
    R(close(fd));
    fd = (int)R(memfd_create("some", MFD_ALLOW_SEALING));
    R(ftruncate(fd, 100));
    R(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    R(ftruncate(fd, 200));
    R(fcntl(fd, F_GET_SEALS));
    R(close(fd));
}

/* --- sockets --- */

static void pass_descriptor(int from, int to)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec v[2] = {TEXT("he"), TEXT("re")}, in = {buffer, 100};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 2, .msg_control = &control};
    int passed = (int)R(open("data", O_RDONLY));
    m.msg_controllen = sizeof control;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(c), &passed, sizeof passed);
    R(sendmsg(from, &m, 0));
    memset(&control, 0, sizeof control);
    m.msg_iov = &in, m.msg_iovlen = 1;
    R(recvmsg(to, &m, MSG_CMSG_CLOEXEC));
    B(buffer, 4);
    printf("    flags %x, control %zu\n", m.msg_flags, m.msg_controllen);
    memcpy(&passed, CMSG_DATA(c), sizeof passed);
    R(passed);
    R(pread(passed, buffer, 5, 0));
    B(buffer, 5);
    R(close(passed)), R(close(passed - 1));
}

static void many_messages(int from, int to)
{
    struct iovec v[3] = {TEXT("a"), TEXT("bc"), TEXT("def")}, in[4];
    struct mmsghdr out[3] = {{{0}, 0}}, got[4] = {{{0}, 0}};
    for (int i = 0; i < 4; i++) {
        in[i] = (struct iovec){buffer + 10 * i, 10};
        got[i].msg_hdr.msg_iov = &in[i], got[i].msg_hdr.msg_iovlen = 1;
        if (i < 3)
            out[i].msg_hdr.msg_iov = &v[i], out[i].msg_hdr.msg_iovlen = 1;
    }
    R(sendmmsg(from, out, 3, 0));
    R(recvmmsg(to, got, 4, MSG_WAITFORONE, NULL));
    printf("    %u %u %u, %u %u %u\n", out[0].msg_len, out[1].msg_len, out[2].msg_len,
           got[0].msg_len, got[1].msg_len, got[2].msg_len);
}

static void local_sockets(void)
{
    struct sockaddr_un name = {AF_UNIX, "socket"}, peer;
    socklen_t size = sizeof peer;
    int pair[2], type;
    R(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    pass_descriptor(pair[0], pair[1]);
    many_messages(pair[0], pair[1]);
    R(close(pair[0])), R(close(pair[1]));
    int s = (int)R(socket(AF_UNIX, SOCK_STREAM, 0)), c = (int)R(socket(AF_UNIX, SOCK_STREAM, 0));
    R(connect(c, (void *)&name, sizeof name));
    R(bind(s, (void *)&name, sizeof name));
    R(bind(s, (void *)&name, sizeof name));
    R(listen(s, 1));
    R(connect(c, (void *)&name, sizeof name));
    int a = (int)R(accept(s, (void *)&peer, &size));
    R(size);
    size = sizeof peer;
    R(getsockname(a, (void *)&peer, &size));
    B(peer.sun_path, 7);
    size = 4;
    R(getpeername(c, (void *)&peer, &size));
    R(size);
    size = sizeof type;
    R(getsockopt(a, SOL_SOCKET, SO_TYPE, &type, &size));
    R(type * 100 + (int)size);
    R(send(a, "bytes", 5, 0));
    R(recv(c, buffer, 3, MSG_PEEK));
    R(recv(c, buffer, 100, 0));
    R(shutdown(a, SHUT_WR));
    R(recv(c, buffer, 100, 0));
    R(close(a)), R(send(c, "x", 1, MSG_NOSIGNAL));
    R(close(c)), R(close(s)), R(unlink("socket"));
}

static void inet_sockets(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET}, from;
    socklen_t size = sizeof here;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int a = (int)R(socket(AF_INET, SOCK_DGRAM, 0)), b = (int)R(socket(AF_INET, SOCK_DGRAM, 0));
    R(bind(a, (void *)&here, sizeof here));
    R(getsockname(a, (void *)&here, &size));
    R(sendto(b, "datagram", 8, 0, (void *)&here, sizeof here));
    size = sizeof from;
    R(recvfrom(a, buffer, 4, MSG_TRUNC, (void *)&from, &size));
    R(from.sin_family * 1000 + (int)size);
    R(recv(a, buffer, 4, MSG_DONTWAIT));
    struct timeval limit = {0, 2000};
    R(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    R(recv(a, buffer, 4, 0));
    R(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &limit, 3));
    R(socket(AF_INET, 99, 0));
    R(close(a)), R(close(b));
}

/* --- the rest --- */

static void queues(void)
{
    struct {
        long type;
        char text[20];
    } m = {5, "message"};
    struct sembuf down = {0, -1, IPC_NOWAIT};
    unsigned short values[2] = {3, 4};
    struct timespec soon = {0, 1000000};
    int q = msgget(IPC_PRIVATE, 0600), s = semget(IPC_PRIVATE, 2, 0600);
    R(q >= 0), R(s >= 0);
    R(msgsnd(q, &m, 8, 0));
    R(msgrcv(q, &m, 3, 5, IPC_NOWAIT));
    R(msgrcv(q, &m, 20, 5, IPC_NOWAIT));
    B(m.text, 7);
    R(msgrcv(q, &m, 20, 5, IPC_NOWAIT));
    R(msgctl(q, IPC_RMID, NULL));
    R(semctl(s, 0, SETALL, values));
    R(semop(s, &down, 1));
    R(semctl(s, 0, GETVAL));
    R(semctl(s, 0, GETALL, values));
    R(values[0] * 10 + values[1]);
    R(semctl(s, 0, SETVAL, 0));
    R(semop(s, &down, 1));
    down.sem_flg = 0;
    R(semtimedop(s, &down, 1, &soon));
    R(semctl(s, 0, IPC_RMID));
}

static void identity(void)
{
    struct utsname name;
    struct rlimit limit;
    R(getuid()), R(geteuid()), R(getgid()), R(getegid());
    R(getpid() == getpgrp()), R(getpgid(0) == getpgrp()), R(getsid(0) > 0), R(getppid() > 0);
    R(syscall(SYS_gettid) == getpid());
    R(getgroups(0, NULL));
    R(uname(&name));
    printf("    %s %s %s\n", name.sysname, name.nodename, name.release);
    R(kill(getpid(), 0)), R(kill(999999999, 0));
    R(getrlimit(RLIMIT_NOFILE, &limit));
    R(limit.rlim_cur);
    limit.rlim_cur = 60;
    R(setrlimit(RLIMIT_NOFILE, &limit));
    R(dup2(1, 70));
    R(setuid(getuid()));
}

static void bad_pointers(void)
{
    char *bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = (int)R(open("data", O_RDWR));
    R(read(fd, bad, 10));
    R(lseek(fd, 0, SEEK_SET));
    R(write(fd, bad, 10));
    R(open(bad, O_RDONLY));
    R(syscall(SYS_newfstatat, AT_FDCWD, "data", bad, 0));
    R(pipe((int *)bad));
    R(poll((struct pollfd *)bad, 1, 0));
    R(readv(fd, (struct iovec *)bad, 1));
    R(ioctl(fd, FIONREAD, bad));
    R(pread(fd, buffer, 5, 0)); /* all is well afterwards */
    B(buffer, 5);
    R(close(fd));
}

static void odd_calls(void)
{
    struct winsize w;
    struct termios t;
    R(ioctl(1, TIOCGWINSZ, &w)), R(tcgetattr(1, &t)), R(isatty(1));
    R(ioctl(1, _IOR('x', 250, int), &w));
    R(syscall(4321));
    R(syscall(SYS_read, -1, NULL, 0));
    R(getxattr("absent", "user.x", buffer, 10));
}

int main(void)
{
    char go;
    setvbuf(stdout, NULL, _IOLBF, 0); /* what came before a crash is seen */
    if (getenv("HIJACK_TEST_WAIT") && read(STDIN_FILENO, &go, 1) != 1)
        return 1;
    reading_and_writing();
    much_at_once();
    names();
    directories();
    attributes();
    locks();
    numbers();
    pipes();
    moving();
    waiting();
    special();
    local_sockets();
    inet_sockets();
    queues();
    bad_pointers();
    odd_calls();
    identity();
    return fflush(stdout) != 0;
}
