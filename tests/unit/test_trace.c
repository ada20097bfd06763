/* test_trace.c - calls as `gdb-hijack trace` prints them: each kind of argument, names, structs,
 * results. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>

#include "driver/calls.h"
#include "driver/trace.h"
#include "stubs/calls_by.h"

#include <cmocka.h>

/* A FRAME_TRACED as the shadow sends it. */
static struct {
    struct wire_traced traced;
    unsigned char bytes[2 * CALL_ARGS * WIRE_PATH_SAMPLE];
} frame;
static size_t used;

static void begin(uint32_t number, int64_t result)
{
    memset(&frame, 0, sizeof frame);
    frame.traced.request.number = number;
    frame.traced.reply.result = result;
    used = 0;
}

static void scalar(int index, int64_t value)
{
    frame.traced.request.args[index] = (uint64_t)value;
}

static void add(const void *from, size_t size)
{
    memcpy(frame.bytes + used, from, size);
    used += size;
}

/* In the order of the arguments, what is read before what is written. */
static void in_sample(int index, const void *from, uint32_t there, uint32_t size)
{
    scalar(index, 1);
    frame.traced.request.in[index] = size;
    frame.traced.in[index] = there;
    add(from, there);
}

static void in(int index, const void *from, size_t size)
{
    in_sample(index, from, (uint32_t)size, (uint32_t)size);
}

static void string(int index, const char *text)
{
    in(index, text, strlen(text) + 1);
}

static void out(int index, const void *from, size_t size)
{
    scalar(index, 1);
    frame.traced.request.out[index] = (uint32_t)size;
    frame.traced.reply.out[index] = (uint32_t)size;
    frame.traced.out[index] = (uint32_t)size;
    add(from, size);
}

/* Compares the line, but for the spaces before `=`. */
static void prints(const char *expected)
{
    struct trace_call c;
    char *text = NULL;
    size_t size = 0;
    assert_int_equal(trace_read(&c, &frame, sizeof frame.traced + used), 0);
    FILE *to = open_memstream(&text, &size);
    trace_line(to, &c, 39);
    fclose(to);
    assert_string_equal(text, expected);
    free(text);
}

/* --- kinds --- */

static void test_open(void **state)
{
    (void)state;
    begin(__NR_openat, 3);
    scalar(0, AT_FDCWD);
    string(1, "da\"ta");
    scalar(2, O_RDONLY | O_CLOEXEC);
    scalar(3, 0777);
    prints("openat(AT_FDCWD, \"da\\\"ta\", O_RDONLY|O_CLOEXEC) = 3");
    scalar(2, O_WRONLY | O_CREAT | O_SYNC);
    scalar(3, 0644);
    scalar(0, 7);
    frame.traced.reply.result = -ENOENT;
    prints("openat(7, \"da\\\"ta\", O_WRONLY|O_CREAT|O_SYNC, 0644) = -1 ENOENT (No such file or "
           "directory)");
    scalar(2, O_RDWR | O_TMPFILE | 0x40000000);
    prints("openat(7, \"da\\\"ta\", O_RDWR|O_TMPFILE|0x40000000, 0644) = -1 ENOENT (No such file "
           "or directory)");
}

static void test_buffers(void **state)
{
    (void)state;
    begin(__NR_write, 50);
    scalar(0, 1);
    scalar(2, 50);
    in_sample(1, "a\t\0001\1x\377\\012345678901234567890123456789", 36, 50);
    prints("write(1, \"a\\t\\0001\\1x\\377\\\\012345678901234567890123\"..., 50) = 50");
    begin(__NR_read, 3);
    scalar(2, 4096);
    out(1, "abc", 3);
    prints("read(0, \"abc\", 4096) = 3");
    begin(__NR_read, -EAGAIN);
    scalar(1, 1);
    scalar(2, 4096);
    prints("read(0, 0x..., 4096) = -1 EAGAIN (Resource temporarily unavailable)");
    begin(__NR_read, 0);
    prints("read(0, NULL, 0) = 0");
    begin(__NR_writev, 4);
    scalar(0, 2);
    scalar(2, 1);
    in(1, "abcd", 4);
    prints("writev(2, [{iov_base=\"abcd\", iov_len=4}], 1) = 4");
    begin(__NR_msgsnd, 0);
    in(1, "\5\0\0\0\0\0\0\0text", 12);
    scalar(2, 4);
    prints("msgsnd(0, {mtype=5, mtext=\"text\"}, 4, 0) = 0");
}

static void test_scalars(void **state)
{
    (void)state;
    begin(__NR_lseek, 10);
    scalar(0, 3);
    scalar(1, -5);
    scalar(2, SEEK_END);
    prints("lseek(3, -5, SEEK_END) = 10");
    begin(__NR_umask, 022);
    prints("umask(000) = 022");
    begin(__NR_fcntl, 0100002);
    scalar(1, F_GETFL);
    scalar(2, 0x7ffe0000);
    prints("fcntl(0, F_GETFL) = 0x8002 (flags O_RDWR|O_LARGEFILE)");
    begin(__NR_fcntl, 10);
    scalar(1, F_DUPFD_CLOEXEC);
    scalar(2, 10);
    prints("fcntl(0, F_DUPFD_CLOEXEC, 10) = 10");
    begin(__NR_close, 0);
    frame.traced.reply.flags = WIRE_CANCELED;
    prints("close(0) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)");
}

static void test_numbers(void **state)
{
    int pair[2] = {3, 4}, one = 1;
    off_t before = 0, after = 5;
    (void)state;
    begin(__NR_pipe2, 0);
    out(0, pair, sizeof pair);
    scalar(1, O_CLOEXEC);
    prints("pipe2([3, 4], O_CLOEXEC) = 0");
    begin(__NR_sendfile, 5);
    scalar(0, 4);
    scalar(1, 3);
    in(2, &before, sizeof before);
    out(2, &after, sizeof after);
    scalar(3, 5);
    prints("sendfile(4, 3, [0] => [5], 5) = 5");
    begin(__NR_setsockopt, 0);
    scalar(0, 3);
    scalar(1, SOL_SOCKET);
    scalar(2, SO_REUSEADDR);
    in(3, &one, sizeof one);
    scalar(4, 4);
    prints("setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0");
}

/* --- structs --- */

static void test_stat(void **state)
{
    struct stat st = {.st_mode = S_IFREG | 0640, .st_size = 5};
    (void)state;
    begin(__NR_fstat, 0);
    out(1, &st, 128);
    prints("fstat(0, {st_mode=S_IFREG|0640, st_size=5, ...}) = 0");
    st = (struct stat){.st_mode = S_IFCHR | 0620, .st_rdev = 0x8801};
    begin(__NR_newfstatat, 0);
    scalar(0, AT_FDCWD);
    string(1, "/dev/pts/1");
    out(2, &st, 128);
    scalar(3, AT_SYMLINK_NOFOLLOW);
    prints("newfstatat(AT_FDCWD, \"/dev/pts/1\", {st_mode=S_IFCHR|0620, st_rdev=makedev(0x88, "
           "0x1), ...}, "
           "AT_SYMLINK_NOFOLLOW) = 0");
}

static void test_addresses(void **state)
{
    struct sockaddr_in inet = {
        .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(0x7f000001)};
    struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/x"};
    uint32_t room = 128, length = sizeof inet;
    (void)state;
    begin(__NR_connect, 0);
    in(1, &inet, sizeof inet);
    scalar(2, 16);
    prints("connect(0, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"127.0.0.1\")}, "
           "16) = 0");
    begin(__NR_bind, 0);
    in(1, &local, sizeof local);
    scalar(2, 110);
    prints("bind(0, {sa_family=AF_UNIX, sun_path=\"/x\"}, 110) = 0");
    memcpy(local.sun_path, "\0ab", 3);
    begin(__NR_bind, 0);
    in(1, &local, 5);
    scalar(2, 5);
    prints("bind(0, {sa_family=AF_UNIX, sun_path=@\"ab\"}, 5) = 0");
    begin(__NR_getsockname, 0);
    in(2, &room, sizeof room);
    out(1, &inet, sizeof inet);
    out(2, &length, sizeof length);
    prints("getsockname(0, {sa_family=AF_INET, sin_port=htons(80), "
           "sin_addr=inet_addr(\"127.0.0.1\")}, [128 => 16]) = 0");
    begin(__NR_socket, 3);
    scalar(0, AF_INET);
    scalar(1, SOCK_STREAM | SOCK_CLOEXEC);
    prints("socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 3");
}

static void test_messages(void **state)
{
    struct wire_msg m = {.data = 5};
    (void)state;
    begin(__NR_sendmsg, 5);
    in(1, &m, sizeof m);
    add("hello", 5);
    frame.traced.in[1] += 5;
    frame.traced.request.in[1] += 5;
    scalar(2, MSG_NOSIGNAL);
    prints("sendmsg(0, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base=\"hello\", iov_len=5}], "
           "msg_iovlen=1, "
           "msg_controllen=0, msg_flags=0}, MSG_NOSIGNAL) = 5");
}

static void test_waiting(void **state)
{
    struct pollfd asked[2] = {{0, POLLIN, 0}, {1, POLLOUT, 0}},
                  got[2] = {{0, POLLIN, POLLIN}, {1, POLLOUT, 0}};
    struct timespec time = {1, 0}, left = {0, 500};
    uint64_t set = 1 << 3 | 1 << 5, ready = 1 << 5;
    struct epoll_event e = {EPOLLIN | EPOLLET, {.u64 = 7}};
    (void)state;
    begin(__NR_poll, 1);
    in(0, asked, sizeof asked);
    out(0, got, sizeof got);
    scalar(1, 2);
    scalar(2, -1);
    prints("poll([{fd=0, events=POLLIN}, {fd=1, events=POLLOUT}], 2, -1) = 1 ([{fd=0, "
           "revents=POLLIN}])");
    frame.traced.reply.result = 0;
    prints("poll([{fd=0, events=POLLIN}, {fd=1, events=POLLOUT}], 2, -1) = 0 (Timeout)");
    begin(__NR_pselect6, 1);
    scalar(0, 6);
    in(1, &set, sizeof set);
    in(4, &time, sizeof time);
    out(1, &ready, sizeof ready);
    out(4, &left, sizeof left);
    prints("pselect6(6, [3 5], NULL, NULL, {tv_sec=1, tv_nsec=0}, NULL) = 1 (in [5], left "
           "{tv_sec=0, tv_nsec=500})");
    begin(__NR_epoll_ctl, 0);
    scalar(0, 8);
    scalar(1, EPOLL_CTL_ADD);
    scalar(2, 6);
    in(3, &e, sizeof e);
    prints("epoll_ctl(8, EPOLL_CTL_ADD, 6, {events=EPOLLIN|EPOLLET, data={u32=7, u64=7}}) = 0");
    begin(__NR_epoll_wait, 1);
    scalar(0, 8);
    out(1, &e, sizeof e);
    scalar(2, 10);
    scalar(3, 100);
    prints("epoll_wait(8, [{events=EPOLLIN|EPOLLET, data={u32=7, u64=7}}], 10, 100) = 1");
}

static void test_terminal(void **state)
{
    struct call_termios t = {
        {ICRNL | IXON, OPOST | ONLCR, B38400 | CS8 | CREAD, ISIG | ICANON}, 0, {0}};
    unsigned short size[4] = {24, 80, 0, 0};
    (void)state;
    begin(__NR_ioctl, 0);
    scalar(1, TCGETS);
    out(2, &t, sizeof t);
    prints("ioctl(0, TCGETS, {c_iflag=ICRNL|IXON, c_oflag=NL0|CR0|TAB0|BS0|VT0|FF0|OPOST|ONLCR, "
           "c_cflag=B38400|CS8|CREAD, c_lflag=ISIG|ICANON, ...}) = 0");
    begin(__NR_ioctl, 0);
    scalar(1, TIOCGWINSZ);
    out(2, size, sizeof size);
    prints("ioctl(0, TIOCGWINSZ, {ws_row=24, ws_col=80, ws_xpixel=0, ws_ypixel=0}) = 0");
}

/* Every row of the table prints, whatever is there of its arguments. */
static void test_every_call(void **state)
{
    static const unsigned char zeros[64];
    (void)state;
    for (uint32_t n = 0; n < calls_count; n++) {
        struct trace_call c;
        FILE *to = fopen("/dev/null", "w");
        if (calls[n].how != CALL_FORWARD)
            continue;
        for (int with = 0; with < 4; with++) {
            begin(n, with & 1 ? -EIO : 1);
            for (int i = 0; i < CALL_ARGS; i++)
                scalar(i, with ? 1 : 0);
            for (int i = 0; with >= 2 && i < CALL_ARGS; i++)
                in(i, zeros, 5);
            for (int i = 0; with == 2 && i < CALL_ARGS; i++)
                out(i, zeros, sizeof zeros);
            assert_int_equal(trace_read(&c, &frame, sizeof frame.traced + used), 0);
            trace_line(to, &c, 0);
        }
        fclose(to);
    }
}

/* Lengths that do not fit what came. */
static void test_broken(void **state)
{
    struct trace_call c;
    (void)state;
    begin(__NR_read, 3);
    out(1, "abc", 3);
    assert_int_equal(trace_read(&c, &frame, sizeof frame.traced + 2), -EBADMSG);
    assert_int_equal(trace_read(&c, &frame, sizeof frame.traced + 4), -EBADMSG);
    assert_int_equal(trace_read(&c, &frame, sizeof frame.traced - 1), -EBADMSG);
    frame.traced.in[5] = UINT32_MAX;
    assert_int_equal(trace_read(&c, &frame, sizeof frame.traced + 3), -EBADMSG);
    begin(100000, 0);
    assert_int_equal(trace_read(&c, &frame, sizeof frame.traced), -EBADMSG);
}

static void test_summary(void **state)
{
    struct trace_sums *sums = calloc(calls_count, sizeof *sums);
    struct trace_call c;
    char *text = NULL;
    size_t size = 0;
    (void)state;
    begin(__NR_close, -EBADF);
    frame.traced.took = 1000000;
    trace_read(&c, &frame, sizeof frame.traced);
    trace_sum(sums, &c);
    begin(__NR_read, 0);
    frame.traced.took = 1500000;
    trace_read(&c, &frame, sizeof frame.traced);
    trace_sum(sums, &c);
    trace_sum(sums, &c);
    FILE *to = open_memstream(&text, &size);
    trace_summary(to, sums);
    fclose(to);
    assert_string_equal(text,
                        "% time     seconds  usecs/call     calls    errors syscall\n"
                        "------ ----------- ----------- --------- --------- ----------------\n"
                        " 75.00    0.003000        1500         2           read\n"
                        " 25.00    0.001000        1000         1         1 close\n"
                        "------ ----------- ----------- --------- --------- ----------------\n"
                        "100.00    0.004000        1333         3         1 total\n");
    free(text);
    free(sums);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),       cmocka_unit_test(test_buffers),
        cmocka_unit_test(test_scalars),    cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_stat),       cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_messages),   cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_terminal),   cmocka_unit_test(test_broken),
        cmocka_unit_test(test_every_call), cmocka_unit_test(test_summary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
