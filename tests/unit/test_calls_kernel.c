/*
 * The table of system calls against the kernel that is running: it reads and writes as many bytes
 * as the rows say.
 *
 * Each pointer of a call gets a buffer of that size, with memory behind it that nobody may touch:
 * the call succeeds. One byte less: it fails with EFAULT. So a size that is too small, which would
 * overrun a buffer in the shadow or in the program, is found, and one that is too large, too.
 *
 * tests/remote-table.bats runs this with remote I/O: then it tests the way of each kind of argument
 * to the shadow and back, and what becomes of bad pointers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver/calls.h"
#include "stubs/calls_by.h"
#include "stubs/wire.h"

#include <cmocka.h> /* last: it has a macro fail() */

#define PAGE   4096
#define BUFFER UINT64_C(0x4255464645523a29) /* stands for a buffer */

static char *pages[CALL_ARGS]; /* two, and one that is not accessible */
static char path[64];

/* What a buffer holds at first; the rest of it is zero. */
struct content {
    const void *bytes;
    size_t size;
};

static const struct content nothing[CALL_ARGS];

static struct call_arg argument(uint32_t number, int i, const uint64_t *args)
{
    const struct call *row = &calls[number];
    return row->args[i].kind == ARG_BY ? call_by(number, row, i, args) : row->args[i];
}

/* Bytes of the buffer of argument `i`: what the row says, or 0 where the kind has its own rule. */
static size_t size_of(uint32_t number, int i, const uint64_t *args, const struct content *content)
{
    uint64_t in, out;
    struct call_arg arg = argument(number, i, args);
    if (arg.kind == ARG_INW || arg.kind == ARG_INOUTW)
        return (size_t)arg.value + *(const uint32_t *)content->bytes;
    assert_int_equal(wire_sizes(&arg, args, &in, &out), 1);
    return in > out ? in : out;
}

static long make(uint32_t number, const uint64_t *args, const struct content *contents, int shifted)
{
    uint64_t given[CALL_ARGS];
    int buffer = 0;
    memcpy(given, args, sizeof given);
    for (int i = 0; i < CALL_ARGS; i++) {
        if (args[i] != BUFFER)
            continue;
        const struct content *content = &contents[buffer];
        size_t size = size_of(number, i, args, content);
        char *at = pages[i] + 2 * PAGE - size;
        assert_in_range(size, 1, 2 * PAGE - 1);
        assert_true(content->size <= size);
        memset(at, 0, size);
        if (content->size)
            memcpy(at, content->bytes, content->size);
        if (buffer++ == shifted) {
            memmove(at + 1, at, size - 1);
            at++;
        }
        given[i] = (uint64_t)(uintptr_t)at;
    }
    long result = syscall((long)number, given[0], given[1], given[2], given[3], given[4], given[5]);
    return result == -1 ? -errno : result;
}

static long exact(const char *what, uint32_t number, const uint64_t *args,
                  const struct content *contents)
{
    int buffers = 0;
    for (int i = 0; i < CALL_ARGS; i++)
        buffers += args[i] == BUFFER;
    assert_true(buffers > 0);
    long result = make(number, args, contents, -1);
    if (result < 0)
        fail_msg("%s with buffers of the row's sizes: %s", what, strerror((int)-result));
    for (int i = 0; i < buffers; i++)
        if (make(number, args, contents, i) != -EFAULT)
            fail_msg("%s: buffer %d need not be so large", what, i + 1);
    return result;
}

#define ARGS(...)              ((uint64_t[CALL_ARGS]){__VA_ARGS__})
#define HOLDS(...)             ((struct content[CALL_ARGS]){__VA_ARGS__})
#define EXACT(call, ...)       exact(#call, __NR_##call, ARGS(__VA_ARGS__), nothing)
#define IOCTL(fd, request)     exact(#request, __NR_ioctl, ARGS(fd, request, BUFFER), nothing)
#define IOCTL_WITH(fd, r, ...) exact(#r, __NR_ioctl, ARGS(fd, r, BUFFER), HOLDS(__VA_ARGS__))
#define FCNTL(fd, r, ...)      exact(#r, __NR_fcntl, ARGS(fd, r, BUFFER), HOLDS(__VA_ARGS__))

static uint64_t text(const char *string)
{
    return (uint64_t)(uintptr_t)string;
}

static uint64_t a_file(void)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0 && ftruncate(fd, 8192) == 0);
    return (uint64_t)fd;
}

/* --- the trials --- */

static void test_files(void **state)
{
    (void)state;
    uint64_t fd = a_file(), here = (uint64_t)AT_FDCWD;
    EXACT(fstat, fd, BUFFER);
    EXACT(fstatfs, fd, BUFFER);
    EXACT(statfs, text("/"), BUFFER);
    EXACT(newfstatat, here, text("/"), BUFFER, 0);
    EXACT(statx, here, text("/"), 0, STATX_ALL, BUFFER);
    EXACT(utimensat, here, text(path), BUFFER, 0);
    close((int)fd);
}

#ifdef __NR_stat
static void test_files_in_the_old_way(void **state)
{
    (void)state;
    struct stat s;
    uint64_t fd = a_file();
    assert_int_equal(fstat((int)fd, &s), 0);
    EXACT(stat, text("/"), BUFFER);
    EXACT(lstat, text("/"), BUFFER);
    EXACT(utime, text(path), BUFFER);
    EXACT(utimes, text(path), BUFFER);
    EXACT(futimesat, (uint64_t)AT_FDCWD, text(path), BUFFER);
    EXACT(ustat, s.st_dev, BUFFER);
    EXACT(pipe, BUFFER);
    close((int)fd);
}
#endif

static void test_moving_between_descriptors(void **state)
{
    (void)state;
    uint64_t file = a_file();
    off_t zero = 0, half = 4096;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    uint64_t in = (uint64_t)pipes[0], out = (uint64_t)pipes[1];
    exact("copy_file_range", __NR_copy_file_range, ARGS(file, BUFFER, file, BUFFER, 10, 0),
          HOLDS({&zero, 8}, {&half, 8}));
    EXACT(sendfile, out, file, BUFFER, 100);
    EXACT(splice, file, BUFFER, out, 0, 100, 0);
    EXACT(splice, in, 0, file, BUFFER, 10, 0);
    close(pipes[0]), close(pipes[1]), close((int)file);
}

static void test_file_handles(void **state)
{
    (void)state;
    uint32_t header[2] = {0, 0};
    uint64_t args[CALL_ARGS] = {(uint64_t)AT_FDCWD, text("/"), BUFFER, BUFFER, 0};
    /* to ask for the size is an error that comes with the size */
    if (make(__NR_name_to_handle_at, args, HOLDS({header, 8}), -1) != -EOVERFLOW)
        skip();
    memcpy(header, pages[2] + 2 * PAGE - 8, sizeof header);
    exact("name_to_handle_at", __NR_name_to_handle_at, args, HOLDS({header, 8}));
}

static void test_newer_files(void **state)
{
    (void)state;
    uint64_t fd = a_file();
    if (syscall(__NR_cachestat, -1, NULL, NULL, 0) == -1 && errno == ENOSYS)
        skip();
    EXACT(cachestat, fd, BUFFER, BUFFER, 0);
    close((int)fd);
}

static void test_descriptors(void **state)
{
    (void)state;
    uint64_t mask = 1 << (SIGUSR1 - 1), file = a_file();
    struct itimerspec timer = {.it_value.tv_sec = 1000};
    struct f_owner_ex owner = {F_OWNER_PID, getpid()};
    struct flock lock = {.l_type = F_RDLCK};
    uint64_t fd =
        (uint64_t)exact("signalfd4", __NR_signalfd4, ARGS(-1UL, BUFFER, 8, 0), HOLDS({&mask, 8}));
    close((int)fd);
    fd = (uint64_t)syscall(__NR_timerfd_create, CLOCK_MONOTONIC, 0);
    exact("timerfd_settime", __NR_timerfd_settime, ARGS(fd, 0, BUFFER, BUFFER),
          HOLDS({&timer, sizeof timer}));
    EXACT(timerfd_gettime, fd, BUFFER);
    close((int)fd);
    EXACT(pipe2, BUFFER, 0);
    FCNTL(file, F_SETLK, {&lock, sizeof lock});
    FCNTL(file, F_GETLK, {&lock, sizeof lock});
    FCNTL(file, F_OFD_SETLK, {&lock, sizeof lock});
    FCNTL(file, F_OFD_GETLK, {&lock, sizeof lock});
    FCNTL(file, F_SETOWN_EX, {&owner, sizeof owner});
    FCNTL(file, F_GETOWN_EX, {NULL, 0});
    FCNTL(file, F_GET_RW_HINT, {NULL, 0});
    FCNTL(file, F_SET_RW_HINT, {NULL, 0});
    if (fcntl((int)file, F_GETOWNER_UIDS, pages[0]) == 0) /* a kernel option */
        FCNTL(file, F_GETOWNER_UIDS, {NULL, 0});
    close((int)file);
}

static void test_waiting(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    struct pollfd polled[2] = {{pipes[1], POLLOUT, 0}, {pipes[1], POLLOUT, 0}};
    struct epoll_event event = {.events = EPOLLOUT};
    uint64_t fd = (uint64_t)epoll_create1(0), out = (uint64_t)pipes[1];
    exact("ppoll", __NR_ppoll, ARGS(BUFFER, 2, BUFFER, 0, 8), HOLDS({polled, sizeof polled}));
    /* Of the sets the kernel reads no more than its table of descriptors has room for. */
    int high = fcntl(pipes[1], F_DUPFD, 64);
    assert_true(high >= 64);
    EXACT(pselect6, 65, BUFFER, BUFFER, BUFFER, BUFFER, 0);
    close(high);
    event.data.fd = 7;
    assert_int_equal(make(__NR_epoll_ctl, ARGS(fd, EPOLL_CTL_ADD, out, BUFFER),
                          HOLDS({&event, sizeof event}), -1),
                     0);
    exact("epoll_ctl", __NR_epoll_ctl, ARGS(fd, EPOLL_CTL_MOD, out, BUFFER),
          HOLDS({&event, sizeof event}));
    assert_int_equal(EXACT(epoll_pwait, fd, BUFFER, 1, 0, 0, 8), 1);
    assert_int_equal(EXACT(epoll_pwait2, fd, BUFFER, 1, BUFFER, 0, 8), 1);
    close(pipes[0]), close(pipes[1]), close((int)fd);
}

static void test_sockets(void **state)
{
    (void)state;
    struct ifreq lo = {.ifr_name = "lo"};
    uint64_t fd = (uint64_t)socket(AF_INET, SOCK_DGRAM, 0);
    assert_true((int)fd >= 0);
    EXACT(socketpair, AF_UNIX, SOCK_STREAM, 0, BUFFER);
    exact("SO_RCVTIMEO", __NR_setsockopt, ARGS(fd, SOL_SOCKET, SO_RCVTIMEO, BUFFER, 16), nothing);
    IOCTL_WITH(fd, SIOCGIFFLAGS, {&lo, sizeof lo});
    IOCTL_WITH(fd, SIOCGIFINDEX, {&lo, sizeof lo});
    IOCTL_WITH(fd, SIOCGIFMTU, {&lo, sizeof lo});
    IOCTL_WITH(fd, SIOCGIFHWADDR, {&lo, sizeof lo});
    IOCTL_WITH(fd, SIOCGIFMAP, {&lo, sizeof lo});
    IOCTL(fd, SIOCGPGRP);
    IOCTL(fd, SIOCSPGRP);
    IOCTL(fd, FIOGETOWN);
    IOCTL(fd, FIOSETOWN);
    IOCTL(fd, FIONREAD);
    IOCTL(fd, FIONBIO);
    IOCTL(fd, TIOCOUTQ);
    close((int)fd);
}

static void test_terminals(void **state)
{
    (void)state;
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY), unlocked = 0;
    if (master < 0 || ioctl(master, TIOCSPTLCK, &unlocked) != 0)
        skip();
    uint64_t ptmx = (uint64_t)master, tty;
    tty = (uint64_t)ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    assert_true((int)tty >= 0);
    IOCTL(tty, TCGETS);
    struct call_termios raw;
    assert_int_equal(ioctl((int)tty, TCGETS, &raw), 0);
    IOCTL_WITH(tty, TCSETS, {&raw, sizeof raw});
    IOCTL(tty, TCGETA);
    struct termio old;
    assert_int_equal(ioctl((int)tty, TCGETA, &old), 0);
    IOCTL_WITH(tty, TCSETA, {&old, sizeof old});
    IOCTL(tty, TIOCGWINSZ);
    IOCTL(tty, TIOCSWINSZ);
    IOCTL(tty, TIOCOUTQ);
    IOCTL(tty, FIONREAD);
    IOCTL(tty, TIOCGETD);
    IOCTL(tty, TIOCSETD);
    IOCTL(tty, FIONBIO);
    IOCTL(ptmx, TIOCPKT);
    IOCTL(ptmx, TIOCGPTN);
    IOCTL(ptmx, TIOCSPTLCK);
    close(master), close((int)tty);
}

/* What the file system does not know, another one would. */
static void test_file_systems(void **state)
{
    (void)state;
    uint64_t fd = a_file();
    int flags;
    IOCTL(fd, FIGETBSZ);
    IOCTL(fd, FIOQSIZE);
    if (ioctl((int)fd, FS_IOC_GETFLAGS, &flags) == 0)
        IOCTL(fd, FS_IOC_GETFLAGS);
    if (ioctl((int)fd, FS_IOC_GETVERSION, &flags) == 0)
        IOCTL(fd, FS_IOC_GETVERSION);
    close((int)fd);
}

static void test_semaphores(void **state)
{
    (void)state;
    int id = semget(IPC_PRIVATE, 3, 0600);
    if (id < 0)
        skip();
    struct sembuf up[2] = {{0, 1, 0}, {1, 1, 0}};
    uint64_t set = (uint64_t)id;
    exact("semop", __NR_semop, ARGS(set, BUFFER, 2), HOLDS({up, sizeof up}));
    exact("semtimedop", __NR_semtimedop, ARGS(set, BUFFER, 2, BUFFER), HOLDS({up, sizeof up}));
    EXACT(semctl, set, 0, IPC_STAT, BUFFER);
    EXACT(semctl, 0, 0, IPC_INFO, BUFFER);
    EXACT(semctl, 0, 0, SEM_INFO, BUFFER);
    struct semid_ds *ds = (struct semid_ds *)(pages[3] + PAGE);
    assert_int_equal(semctl(id, 0, IPC_STAT, ds), 0);
    exact("semctl, IPC_SET", __NR_semctl, ARGS(set, 0, IPC_SET, BUFFER),
          HOLDS({&(struct semid_ds){.sem_perm = ds->sem_perm}, sizeof *ds}));
    assert_int_equal(semctl(id, 0, IPC_RMID), 0);
}

static void test_messages(void **state)
{
    (void)state;
    int id = msgget(IPC_PRIVATE, 0600);
    if (id < 0)
        skip();
    uint64_t queue = (uint64_t)id;
    long type = 1;
    struct msqid_ds ds;
    exact("msgsnd", __NR_msgsnd, ARGS(queue, BUFFER, 100, 0), HOLDS({&type, sizeof type}));
    EXACT(msgctl, queue, IPC_STAT, BUFFER);
    EXACT(msgctl, 0, IPC_INFO, BUFFER);
    EXACT(msgctl, 0, MSG_INFO, BUFFER);
    assert_int_equal(msgctl(id, IPC_STAT, &ds), 0);
    exact("msgctl, IPC_SET", __NR_msgctl, ARGS(queue, IPC_SET, BUFFER), HOLDS({&ds, sizeof ds}));
    assert_int_equal(make(__NR_msgrcv, ARGS(queue, BUFFER, 100, 0, 0), nothing, -1), 100);
    assert_int_equal(msgctl(id, IPC_RMID, NULL), 0);
}

static void test_identity(void **state)
{
    (void)state;
    EXACT(uname, BUFFER);
    EXACT(getresuid, BUFFER, BUFFER, BUFFER);
    EXACT(getresgid, BUFFER, BUFFER, BUFFER);
    uint32_t header[2] = {0x20080522 /* version 3 */, 0};
    exact("capget", __NR_capget, ARGS(BUFFER, BUFFER), HOLDS({header, sizeof header}));
    int groups = getgroups(0, NULL);
    if (groups > 0)
        EXACT(getgroups, (uint64_t)groups, BUFFER);
}

static void test_message_queues(void **state)
{
    (void)state;
    char name[32];
    struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = 64};
    snprintf(name, sizeof name, "hijack-test-%d", (int)getpid());
    uint64_t args[CALL_ARGS] = {text(name), O_CREAT | O_RDWR, 0600, BUFFER};
    if (make(__NR_mq_open, args, HOLDS({&attr, sizeof attr}), -1) < 0)
        skip(); /* no mqueue in this kernel or namespace */
    uint64_t fd = (uint64_t)exact("mq_open", __NR_mq_open, args, HOLDS({&attr, sizeof attr}));
    EXACT(mq_getsetattr, fd, BUFFER, BUFFER);
    assert_int_equal(syscall(__NR_mq_unlink, name), 0);
    close((int)fd);
}

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < CALL_ARGS; i++) {
        pages[i] = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages[i] == MAP_FAILED || mprotect(pages[i] + 2 * PAGE, PAGE, PROT_NONE))
            return -1;
    }
    strcpy(path, "/tmp/hijack-test-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    char go;
    if (getenv("HIJACK_TEST_WAIT")) /* remote-table.bats hijacks us now */
        assert_int_equal(read(STDIN_FILENO, &go, 1), 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
#ifdef __NR_stat
        cmocka_unit_test(test_files_in_the_old_way),
#endif
        cmocka_unit_test(test_moving_between_descriptors),
        cmocka_unit_test(test_file_handles),
        cmocka_unit_test(test_newer_files),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_sockets),
        cmocka_unit_test(test_terminals),
        cmocka_unit_test(test_file_systems),
        cmocka_unit_test(test_semaphores),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_message_queues),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
