/* The executor: calls come over a channel as the program's side sends them, and are executed once,
 * under the program's own descriptor numbers. The test is the door, the program and the network. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <cmocka.h>

#include "restart/fds.h"
#include "shadow/execute.h"
#include "shadow/message.h"

#define SESSION 4711
#define EPOCH   3
#define KNOWN   77777 /* the pid that the program knows */

static pid_t child, application = KNOWN;
static int door, stream;
static uint64_t sequence;
static struct execute_shared *shared;
static struct frame frame;
static char directory[] = "/tmp/execute.XXXXXX";

static struct {
    struct frame_header header;
    struct wire_reply reply;
    char out[WIRE_MAX_PAYLOAD];
} got;

/* --- the executor, with all that is open here --- */

static struct hold hold_everything(const int *own, size_t owned)
{
    static struct fds_table table;
    assert_int_equal(fds_collect(&table, own, owned), 0);
    struct fds_header *h = table.data;
    for (uint32_t i = 0; i < h->count; i++)
        ((struct fds_entry *)fds_entries(h))[i].flags |= FDS_TAKEN;
    struct hold hold = {.image = h->image, .table = table.data};
    hold.table_size = (uint32_t)table.size;
    hold.fds = calloc(h->count, sizeof(int));
    for (uint32_t i = 0; i < h->count; i++)
        hold.fds[hold.count++] = fds_entries(h)[i].number;
    return hold;
}

/* The held ones stand anywhere, as they do in a shadow: here, shuffled above. */
static void shuffle(struct hold *hold)
{
    for (uint32_t i = 0; i < hold->count; i++)
        hold->fds[i] = fcntl(hold->fds[i], F_DUPFD, 100 - (int)i);
}

static int start(void **state)
{
    int pair[2];
    (void)state;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    struct hold hold = hold_everything(pair, 2);
    child = fork();
    if (child == 0) {
        struct execute_start begin = {.door = pair[1], .hold = &hold, .shared = shared};
        begin.session = SESSION;
        begin.epoch = EPOCH;
        begin.known = KNOWN;
        begin.application = application;
        getrlimit(RLIMIT_FSIZE, &begin.size);
        getrlimit(RLIMIT_NOFILE, &begin.files);
        shuffle(&hold);
        execute_main(&begin);
    }
    free(hold.fds);
    door = pair[0];
    close(pair[1]);
    assert_int_equal(message_receive(door, &frame, 0), 0);
    assert_int_equal(frame.header.status, 0);
    sequence = 0;
    stream = -1;
    return 0;
}

static int finish(void **state)
{
    int status;
    (void)state;
    close(door);
    if (stream >= 0)
        close(stream);
    assert_int_equal(waitpid(child, &status, 0), child);
    return !WIFEXITED(status) || WEXITSTATUS(status);
}

/* --- the program --- */

/* With the table of an image come handles of its files (kept.h), before the answer. */
static struct {
    struct frame_offer offer;
    uint32_t handles, table;
    struct stat last;
} kept;

static void note_kept(void)
{
    if (frame.header.type == FRAME_OFFER)
        memcpy(&kept.offer, frame.payload, sizeof kept.offer);
    else if (frame.header.type == FRAME_TABLE)
        kept.table += frame.header.length;
    else if (frame.header.type == FRAME_DESCRIPTORS) {
        kept.handles += frame.fd_count;
        assert_true(frame.fd_count > 0);
        assert_int_equal(fcntl(frame.fds[frame.fd_count - 1], F_GETFL) & O_PATH, O_PATH);
        assert_int_equal(fstat(frame.fds[frame.fd_count - 1], &kept.last), 0);
        message_close_descriptors(&frame);
    }
}

static int ask_door(unsigned type, const void *payload, size_t size, const int *fd)
{
    struct frame_header h;
    frame_header(&h, type, 1, 1, size);
    assert_int_equal(message_send(door, &h, payload, fd, fd != NULL, 0), 0);
    if (type == FRAME_CANCEL)
        return 0;
    do {
        assert_int_equal(message_receive(door, &frame, 0), 0);
        note_kept();
    } while (frame.header.type != (type | FRAME_REPLY));
    return frame.header.status;
}

static int attach_at(uint32_t channel, uint64_t next)
{
    int pair[2];
    struct wire_channel wire = {.channel = channel, .sequence = next};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    int status = ask_door(FRAME_CHANNEL, &wire, sizeof wire, &pair[1]);
    close(pair[1]);
    if (stream >= 0)
        close(stream);
    stream = pair[0];
    return status;
}

struct request {
    struct frame_header header;
    struct wire_request wire;
    char in[4096];
    size_t size;
};

static struct request request(long number)
{
    struct request r = {.wire.number = (uint32_t)number};
    frame_header(&r.header, FRAME_CALL, SESSION, sequence + 1, 0);
    r.header.epoch = EPOCH;
    r.header.channel = 1;
    return r;
}

static void add_in(struct request *r, int i, const void *data, size_t size)
{
    r->wire.args[i] = 1;
    r->wire.in[i] = (uint32_t)size;
    memcpy(r->in + r->size, data, size);
    r->size += size;
}

static void add_out(struct request *r, int i, size_t size)
{
    r->wire.args[i] = 1;
    r->wire.out[i] = (uint32_t)size;
}

static void send_request(struct request *r)
{
    r->header.length = (uint32_t)(sizeof r->wire + r->size);
    size_t size = sizeof r->header + r->header.length;
    assert_int_equal(send(stream, r, size, MSG_NOSIGNAL), size);
    sequence = r->header.sequence;
}

static bool receive_bytes(void *to, size_t size)
{
    return recv(stream, to, size, MSG_WAITALL) == (ssize_t)size;
}

/* False: the connection was lost. */
static bool receive_reply(void)
{
    if (!receive_bytes(&got.header, sizeof got.header))
        return false;
    assert_int_equal(got.header.type, FRAME_CALL | FRAME_REPLY);
    assert_in_range(got.header.length, sizeof got.reply, WIRE_MAX_PAYLOAD);
    size_t size = got.header.length - sizeof got.reply, told = 0;
    assert_true(receive_bytes(&got.reply, sizeof got.reply));
    assert_true(!size || receive_bytes(got.out, size));
    for (int i = 0; i < CALL_ARGS; i++)
        told += got.reply.out[i];
    assert_int_equal(told, size);
    return true;
}

static int64_t call(struct request *r)
{
    send_request(r);
    assert_true(receive_reply());
    assert_int_equal(got.header.sequence, r->header.sequence);
    return got.reply.result;
}

static int64_t call_open(const char *path, int flags)
{
    struct request r = request(SYS_openat);
    r.wire.args[0] = (uint64_t)AT_FDCWD;
    add_in(&r, 1, path, strlen(path) + 1);
    r.wire.args[2] = (uint64_t)flags;
    r.wire.args[3] = 0600;
    return call(&r);
}

static struct request write_request(int64_t fd, const char *text)
{
    struct request r = request(SYS_write);
    r.wire.args[0] = (uint64_t)fd;
    add_in(&r, 1, text, strlen(text));
    r.wire.args[2] = strlen(text);
    return r;
}

static struct request read_request(int64_t fd, size_t size)
{
    struct request r = request(SYS_read);
    r.wire.args[0] = (uint64_t)fd;
    add_out(&r, 1, size);
    r.wire.args[2] = size;
    return r;
}

static int64_t call_plain(long number, uint64_t a, uint64_t b)
{
    struct request r = request(number);
    r.wire.args[0] = a;
    r.wire.args[1] = b;
    return call(&r);
}

static char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

/* --- what must hold --- */

static void writes_and_reads_a_file(void **state)
{
    (void)state;
    assert_int_equal(attach_at(1, 1), 0);
    int64_t fd = call_open(path_of("f"), O_RDWR | O_CREAT | O_TRUNC);
    assert_true(fd >= 0);
    struct request r = write_request(fd, "hello");
    assert_int_equal(call(&r), 5);
    assert_int_equal(call_plain(SYS_lseek, (uint64_t)fd, 1), 1);
    r = read_request(fd, 100);
    assert_int_equal(call(&r), 4);
    assert_int_equal(got.reply.out[1], 4);
    assert_memory_equal(got.out, "ello", 4);
}

static struct request all_values(int set, int command, const unsigned short *values, size_t size)
{
    struct request r = request(SYS_semctl);
    r.wire.args[0] = (uint64_t)set;
    r.wire.args[2] = (uint64_t)command;
    if (values)
        add_in(&r, 3, values, size);
    else
        add_out(&r, 3, size);
    return r;
}

/* No request makes the kernel write more than it has room for. */
static void values_of_semaphores(void **state)
{
    (void)state;
    unsigned short values[3] = {7, 8, 9};
    int set = semget(IPC_PRIVATE, 3, 0600);
    if (set < 0)
        skip();
    assert_int_equal(attach_at(1, 1), 0);
    struct request r = all_values(set, SETALL, values, sizeof values);
    assert_int_equal(call(&r), 0);
    assert_int_equal(semctl(set, 1, GETVAL), 8);
    r = all_values(set, GETALL, NULL, sizeof values);
    assert_int_equal(call(&r), 0);
    assert_int_equal(got.reply.out[3], sizeof values);
    assert_memory_equal(got.out, values, sizeof values);
    r = all_values(set, GETALL, NULL, 2);
    assert_int_equal(call(&r), -EINVAL);
    r = all_values(set, SETALL, values, 2);
    assert_int_equal(call(&r), -EINVAL);
    assert_int_equal(semctl(set, 0, GETVAL), 7);
    assert_int_equal(semctl(set, 0, IPC_RMID), 0);
    r = all_values(set, GETALL, NULL, sizeof values);
    assert_int_equal(call(&r), -EINVAL);
}

static void numbers_are_the_programs(void **state)
{
    int lowest = door; /* which was the lowest here, and is not the program's */
    (void)state;
    assert_int_equal(attach_at(1, 1), 0);
    assert_int_equal(call_open("/dev/null", O_RDONLY), lowest);
    assert_int_equal(call_plain(SYS_dup2, (uint64_t)lowest, 40), 40);
    assert_int_equal(call_plain(SYS_close, (uint64_t)lowest, 0), 0);
    assert_int_equal(call_plain(SYS_dup, 40, 0), lowest);
    assert_int_equal(call_plain(SYS_close, 41, 0), -EBADF);
}

static void its_own_descriptors_are_not_there(void **state)
{
    struct rlimit limit;
    (void)state;
    getrlimit(RLIMIT_NOFILE, &limit);
    assert_int_equal(attach_at(1, 1), 0);
    for (uint64_t fd = limit.rlim_cur - 70; fd < limit.rlim_cur + 70; fd++)
        assert_int_equal(call_plain(SYS_close, fd, 0), -EBADF);
    struct request r = request(SYS_close_range);
    r.wire.args[0] = 3;
    r.wire.args[1] = UINT32_MAX;
    assert_int_equal(call(&r), 0);
    assert_true(call_open("/dev/null", O_RDONLY) >= 3);
}

static void a_known_sequence_is_answered_again_not_executed(void **state)
{
    (void)state;
    assert_int_equal(attach_at(1, 1), 0);
    int64_t fd = call_open(path_of("once"), O_RDWR | O_CREAT | O_TRUNC);
    struct request r = write_request(fd, "once");
    for (int i = 0; i < 3; i++)
        assert_int_equal(call(&r), 4);
    assert_int_equal(attach_at(1, sequence), 0);
    assert_int_equal(call(&r), 4);
    assert_int_equal(attach_at(1, sequence + 1), 0);
    r = request(SYS_fstat);
    r.wire.args[0] = (uint64_t)fd;
    add_out(&r, 1, sizeof(struct stat));
    assert_int_equal(call(&r), 0);
    assert_int_equal(((struct stat *)got.out)->st_size, 4);
}

static void other_sequences_cost_the_connection_only(void **state)
{
    static const int wrong[] = {-2, -1, 2, 100};
    (void)state;
    assert_int_equal(attach_at(1, 5), 0);
    sequence = 4;
    for (int i = 0; i < 3; i++)
        assert_int_equal(call_plain(SYS_umask, 022, 0), 022);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint64_t last = sequence;
        struct request r = request(SYS_getuid);
        r.header.sequence = last + (uint64_t)wrong[i];
        send_request(&r);
        assert_false(receive_reply());
        assert_int_equal(shared->last_error, -EILSEQ);
        assert_int_equal(attach_at(1, last + 7), -EILSEQ);
        assert_int_equal(attach_at(1, last + 1), 0);
        sequence = last;
    }
    assert_int_equal(call_plain(SYS_getuid, 0, 0), getuid());
}

static void lose(struct request *r, int error)
{
    uint64_t last = sequence;
    send_request(r);
    assert_false(receive_reply());
    assert_int_equal(shared->last_error, error);
    sequence = last;
    assert_int_equal(attach_at(1, last + 1), 0);
}

static void broken_frames_are_named(void **state)
{
    (void)state;
    assert_int_equal(attach_at(1, 1), 0);
    struct request r = write_request(1, "text");
    r.header.magic ^= 1;
    lose(&r, -EPROTO);
    r = write_request(1, "text");
    r.header.version++;
    lose(&r, -EPROTONOSUPPORT);
    r = write_request(1, "text");
    r.header.session++;
    lose(&r, -ESTALE);
    r = write_request(1, "text");
    r.header.epoch--;
    lose(&r, -ESTALE);
    r = write_request(1, "text");
    r.header.channel++;
    lose(&r, -EILSEQ);
    r = write_request(1, "text");
    r.header.type = FRAME_STATUS;
    lose(&r, -ENOTSUP);
}

static void wrong_lengths_execute_nothing(void **state)
{
    (void)state;
    assert_int_equal(attach_at(1, 1), 0);
    struct request r = write_request(1, "text");
    r.wire.args[2] = 5; /* more than came */
    lose(&r, -EBADMSG);
    r = write_request(1, "text");
    r.wire.in[1] = 3; /* a byte too many */
    lose(&r, -EBADMSG);
    r = write_request(1, "text");
    r.wire.args[1] = 0x7fff0000; /* not a pointer that travels */
    lose(&r, -EBADMSG);
    r = read_request(0, 100);
    r.wire.args[2] = 101;
    lose(&r, -EBADMSG);
    r = read_request(0, WIRE_DATA + 1);
    lose(&r, -EBADMSG);
    r = request(SYS_openat);
    add_in(&r, 1, "no end", 6);
    lose(&r, -EBADMSG);
    r = request(SYS_openat);
    add_in(&r, 1, "two\0ends", 9);
    lose(&r, -EBADMSG);
    r = request(SYS_ppoll);
    r.wire.args[3] = 1; /* a mask stays with the program */
    lose(&r, -EBADMSG);
    assert_int_equal(shared->calls, 0);
}

static void what_has_no_row_is_refused(void **state)
{
    (void)state;
    assert_int_equal(attach_at(1, 1), 0);
    assert_int_equal(call_plain(100000, 0, 0), -ENOSYS);
    assert_int_equal(call_plain(SYS_fork, 0, 0), -ENOSYS);
    assert_int_equal(call_plain(SYS_exit_group, 1, 0), -ENOSYS);
}

static struct request poll_for_ever(int fd)
{
    struct request r = request(SYS_poll);
    struct pollfd polled = {fd, POLLIN, 0};
    add_in(&r, 0, &polled, sizeof polled);
    r.wire.out[0] = sizeof polled;
    r.wire.args[1] = 1;
    r.wire.args[2] = UINT32_MAX;
    return r;
}

static void cancel(uint64_t which)
{
    struct wire_cancel c = {.channel = 1, .sequence = which};
    ask_door(FRAME_CANCEL, &c, sizeof c, NULL);
}

/* Whether it comes before, at the beginning or during the call: it ends it. */
static void a_blocked_call_is_canceled(void **state)
{
    struct request r;
    int pair[2];
    (void)state;
    assert_int_equal(attach_at(1, 1), 0);
    r = request(SYS_pipe2);
    add_out(&r, 0, sizeof pair);
    assert_int_equal(call(&r), 0);
    memcpy(pair, got.out, sizeof pair);
    for (int i = 0; i < 300; i++) {
        r = i % 2 ? read_request(pair[0], 10) : poll_for_ever(pair[0]);
        if (i % 3 == 0)
            cancel(sequence + 1);
        send_request(&r);
        if (i % 3)
            cancel(sequence);
        assert_true(receive_reply());
        assert_int_equal(got.reply.result, -EINTR);
        assert_int_equal(got.reply.flags, WIRE_CANCELED);
    }
    cancel(sequence); /* too late */
    r = write_request(pair[1], "x");
    assert_int_equal(call(&r), 1);
    cancel(sequence - 1);
    r = read_request(pair[0], 10);
    assert_int_equal(call(&r), 1);
    assert_int_equal(got.reply.flags, 0);
}

static void a_blocked_call_outlives_its_stream(void **state)
{
    int pair[2];
    (void)state;
    assert_int_equal(attach_at(1, 1), 0);
    struct request r = request(SYS_pipe2);
    add_out(&r, 0, sizeof pair);
    assert_int_equal(call(&r), 0);
    memcpy(pair, got.out, sizeof pair);
    struct request reading = read_request(pair[0], 10);
    send_request(&reading);
    while (shared->calls < 1) /* the second one is being executed or comes */
        ;
    assert_int_equal(attach_at(1, sequence), 0);
    send_request(&reading);
    int first = stream;
    uint64_t blocked = sequence;
    stream = -1;
    struct wire_channel wire = {.channel = 2, .sequence = 1};
    int other[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, other), 0);
    assert_int_equal(ask_door(FRAME_CHANNEL, &wire, sizeof wire, &other[1]), 0);
    close(other[1]);
    stream = other[0];
    sequence = 0;
    r = write_request(pair[1], "late");
    r.header.channel = 2;
    assert_int_equal(call(&r), 4);
    close(stream);
    stream = first;
    assert_true(receive_reply());
    assert_int_equal(got.header.sequence, blocked);
    assert_int_equal(got.reply.result, 4);
    assert_memory_equal(got.out, "late", 4);
}

static void a_channel_ends_with_its_thread(void **state)
{
    struct wire_channel end = {.channel = 1};
    int pair[2];
    (void)state;
    for (int i = 0; i < 50; i++) {
        assert_int_equal(attach_at(1, 1), 0);
        sequence = 0;
        struct request r = request(SYS_pipe2);
        add_out(&r, 0, sizeof pair);
        assert_int_equal(call(&r), 0);
        memcpy(pair, got.out, sizeof pair);
        r = read_request(pair[0], 10);
        send_request(&r); /* waits for ever, or has not begun */
        assert_int_equal(ask_door(FRAME_CHANNEL, &end, sizeof end, NULL), 0);
        assert_int_equal(ask_door(FRAME_CHANNEL, &end, sizeof end, NULL), -ENOENT);
        assert_int_equal(shared->channels, 0);
    }
}

static void identity_is_the_programs(void **state)
{
    (void)state;
    assert_int_equal(attach_at(1, 1), 0);
    assert_int_equal(call_plain(SYS_getpgid, 0, 0), getpgrp());
    assert_int_equal(call_plain(SYS_getpgid, KNOWN, 0), getpgrp());
    assert_int_equal(call_plain(SYS_setpgid, 0, KNOWN), 0);
    assert_int_equal(call_plain(SYS_getpgid, 0, 0), KNOWN);
    struct request r = request(SYS_socketpair);
    int pair[2];
    r.wire.args[0] = AF_UNIX;
    r.wire.args[1] = SOCK_STREAM;
    add_out(&r, 3, sizeof pair);
    assert_int_equal(call(&r), 0);
    memcpy(pair, got.out, sizeof pair);
    r = request(SYS_getsockopt);
    uint32_t size = sizeof(struct ucred);
    r.wire.args[0] = (uint64_t)pair[0];
    r.wire.args[1] = SOL_SOCKET;
    r.wire.args[2] = SO_PEERCRED;
    add_out(&r, 3, size);
    add_in(&r, 4, &size, sizeof size);
    r.wire.out[4] = sizeof size;
    assert_int_equal(call(&r), 0);
    assert_int_equal(((struct ucred *)got.out)->pid, KNOWN);
}

static void large_transfers_are_whole(void **state)
{
    static struct {
        struct request r;
        char more[WIRE_DATA];
    } large;
    (void)state;
    assert_int_equal(attach_at(1, 1), 0);
    int64_t fd = call_open(path_of("large"), O_RDWR | O_CREAT | O_TRUNC);
    large.r = request(SYS_pwrite64);
    large.r.wire.args[0] = (uint64_t)fd;
    large.r.wire.args[1] = 1;
    large.r.wire.args[2] = large.r.wire.in[1] = WIRE_DATA;
    large.r.header.length = sizeof large.r.wire + WIRE_DATA;
    char *data = large.r.in;
    for (size_t i = 0; i < WIRE_DATA; i++)
        data[i] = (char)(i * 7 + i / 251);
    char *at = (char *)&large.r;
    for (size_t left = sizeof large.r.header + large.r.header.length; left;) {
        ssize_t sent = send(stream, at, left, MSG_NOSIGNAL);
        assert_true(sent > 0);
        at += sent;
        left -= (size_t)sent;
    }
    sequence++;
    assert_true(receive_reply());
    assert_int_equal(got.reply.result, WIRE_DATA);
    struct request r = request(SYS_pread64);
    r.wire.args[0] = (uint64_t)fd;
    add_out(&r, 1, WIRE_DATA);
    r.wire.args[2] = WIRE_DATA;
    r.wire.flags = WIRE_CLAMPED;
    assert_int_equal(call(&r), WIRE_DATA);
    assert_int_equal(got.reply.flags, WIRE_WHOLE);
    assert_memory_equal(got.out, data, WIRE_DATA);
}

static void messages_carry_descriptors(void **state)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct wire_msg m = {0, sizeof control, 3, 0}, *received = (void *)got.out;
    int pair[2];
    char bytes[sizeof m + sizeof control + 3];
    (void)state;
    assert_int_equal(attach_at(1, 1), 0);
    struct request r = request(SYS_socketpair);
    r.wire.args[0] = AF_UNIX;
    r.wire.args[1] = SOCK_STREAM;
    add_out(&r, 3, sizeof pair);
    assert_int_equal(call(&r), 0);
    memcpy(pair, got.out, sizeof pair);
    memcpy(CMSG_DATA(&control.header), &pair[1], sizeof(int));
    memcpy(bytes, &m, sizeof m);
    memcpy(bytes + sizeof m, &control, sizeof control);
    memcpy(bytes + sizeof m + sizeof control, "abc", 3);
    r = request(SYS_sendmsg);
    r.wire.args[0] = (uint64_t)pair[0];
    add_in(&r, 1, bytes, sizeof bytes);
    assert_int_equal(call(&r), 3);
    m.data = 100;
    r = request(SYS_recvmsg);
    r.wire.args[0] = (uint64_t)pair[1];
    add_in(&r, 1, &m, sizeof m);
    r.wire.out[1] = (uint32_t)(sizeof m + sizeof control + 100);
    assert_int_equal(call(&r), 3);
    assert_int_equal(received->data, 3);
    assert_int_equal(received->control, sizeof control);
    memcpy(&control, received + 1, sizeof control);
    assert_int_equal(control.header.cmsg_type, SCM_RIGHTS);
    assert_memory_equal((char *)(received + 1) + sizeof control, "abc", 3);
    int passed;
    memcpy(&passed, CMSG_DATA(&control.header), sizeof passed);
    assert_int_equal(passed, pair[1] + 1);
}

/* --- the connection is cut --- */

static uint32_t random_state = 12345;

static uint32_t at_random(uint32_t below)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % below;
}

/* Sends the first `size` bytes of a request, and reads so many of the reply; then the stream
 * breaks. What was sent in full is executed at the latest when the request comes again. */
static void cut(struct request *r, size_t size, size_t read)
{
    char bytes[256];
    r->header.length = (uint32_t)(sizeof r->wire + r->size);
    assert_int_equal(send(stream, r, size, MSG_NOSIGNAL), size);
    if (size == sizeof r->header + r->header.length && read)
        assert_int_equal(recv(stream, bytes, read, MSG_WAITALL), read);
    shutdown(stream, SHUT_RDWR);
    sequence = r->header.sequence;
}

/* One call whose stream breaks at up to three places. */
static int64_t call_with_cuts(struct request *r)
{
    size_t whole = sizeof r->header + sizeof r->wire + r->size;
    size_t reply = sizeof got.header + sizeof got.reply;
    for (uint32_t cuts = at_random(4); cuts; cuts--) {
        size_t size = at_random((uint32_t)(whole + reply));
        cut(r, size < whole ? size : whole, size < whole ? 0 : size - whole);
        assert_int_equal(attach_at(1, sequence), 0);
    }
    return call(r);
}

static void cut_anywhere_nothing_is_lost_or_doubled(void **state)
{
    int pair[2], next = 0;
    char record[16];
    (void)state;
    assert_int_equal(attach_at(1, 1), 0);
    int64_t fd = call_open(path_of("cut"), O_RDWR | O_CREAT | O_TRUNC | O_APPEND);
    struct request r = request(SYS_pipe2);
    add_out(&r, 0, sizeof pair);
    assert_int_equal(call(&r), 0);
    memcpy(pair, got.out, sizeof pair);
    for (int i = 0; i < 700; i++) {
        snprintf(record, sizeof record, "%08d\n", i);
        r = write_request(fd, record);
        assert_int_equal(call_with_cuts(&r), 9);
        r = write_request(pair[1], record);
        assert_int_equal(call_with_cuts(&r), 9);
        r = read_request(pair[0], 9);
        assert_int_equal(call_with_cuts(&r), 9);
        assert_int_equal(atoi(got.out), i);
    }
    FILE *file = fopen(path_of("cut"), "r");
    while (fgets(record, sizeof record, file))
        assert_int_equal(atoi(record), next++);
    fclose(file);
    assert_int_equal(next, 700);
}

/* --- signals and terminals --- */

/* A signal that is sent to the program's process, here the executor, is pending for a signalfd, and
 * whatever waits goes on waiting. */
static void signals_come_by_signalfd(void **state)
{
    uint64_t set = 1ULL << (SIGUSR1 - 1) | 1ULL << (SIGWINCH - 1);
    uint32_t signal_number;
    (void)state;
    assert_int_equal(attach_at(1, 1), 0);
    struct request r = request(SYS_signalfd4);
    r.wire.args[0] = (uint64_t)-1;
    add_in(&r, 1, &set, sizeof set);
    r.wire.args[2] = sizeof set;
    int64_t fd = call(&r);
    assert_true(fd >= 0);
    assert_int_equal(call_plain(SYS_kill, KNOWN, SIGWINCH), 0);
    r = read_request(fd, 128);
    assert_int_equal(call(&r), 128);
    memcpy(&signal_number, got.out, sizeof signal_number);
    assert_int_equal(signal_number, SIGWINCH);
}

/* A session of its own, whose terminal another group than ours is in the foreground of. Returns the
 * terminal; *foreground is that group. */
static int become_background(pid_t *foreground)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (setsid() < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
        _exit(2);
    int terminal = open(ptsname(master), O_RDWR);
    *foreground = fork();
    if (*foreground == 0) {
        setpgid(0, 0);
        pause();
        _exit(0);
    }
    setpgid(*foreground, *foreground);
    if (tcsetpgrp(terminal, *foreground) < 0)
        _exit(2);
    return terminal;
}

static int64_t call_flags(struct request *r, uint32_t flags)
{
    r->wire.flags = flags;
    r->header.sequence = sequence + 1;
    return call(r);
}

static void use_terminal(int terminal)
{
    struct termios modes;
    assert_int_equal(attach_at(1, 1), 0);
    struct request r = read_request(terminal, 10);
    assert_int_equal(call(&r), -SIGTTIN);
    assert_int_equal(got.reply.flags, WIRE_STOP);
    assert_int_equal(call_flags(&r, WIRE_NOSTOP), -EIO);
    r = write_request(terminal, "no TOSTOP");
    assert_int_equal(call(&r), 9);
    assert_int_equal(tcgetattr(terminal, &modes), 0);
    r = request(SYS_ioctl);
    r.wire.args[0] = (uint64_t)terminal;
    r.wire.args[1] = TCSBRK;
    r.wire.args[2] = 1;
    assert_int_equal(call(&r), -SIGTTOU);
    assert_int_equal(call_flags(&r, WIRE_NOSTOP), 0);
    modes.c_lflag |= TOSTOP;
    signal(SIGTTOU, SIG_IGN);
    assert_int_equal(tcsetattr(terminal, TCSANOW, &modes), 0);
    r = write_request(terminal, "TOSTOP");
    assert_int_equal(call(&r), -SIGTTOU);
    assert_int_equal(got.reply.flags, WIRE_STOP);
    tcsetpgrp(terminal, getpgrp());
    assert_int_equal(call_flags(&r, 0), 6);
    assert_int_equal(got.reply.flags, 0);
}

static void read_as_orphan(int terminal)
{
    assert_int_equal(attach_at(1, 1), 0);
    struct request r = read_request(terminal, 10);
    assert_int_equal(call(&r), -EIO);
    assert_int_equal(got.reply.flags, 0);
}

static void a_background_process_is_stopped_not_the_executor(void **state)
{
    int status;
    pid_t foreground, session = fork();
    if (session == 0) {
        int terminal = become_background(&foreground);
        signal(SIGTTIN, SIG_IGN);
        signal(SIGTTOU, SIG_IGN); /* as a shadow has them */
        start(state);
        use_terminal(terminal);
        finish(state);
        tcsetpgrp(terminal, foreground);
        application = getpid(); /* whose parent is in another session */
        start(state);
        read_as_orphan(terminal);
        kill(foreground, SIGKILL);
        _exit(finish(state));
    }
    assert_int_equal(waitpid(session, &status, 0), session);
    assert_int_equal(status, 0);
}

static void limits_are_the_programs(void **state)
{
    struct rlimit limit, lower;
    (void)state;
    getrlimit(RLIMIT_NOFILE, &limit);
    assert_int_equal(attach_at(1, 1), 0);
    lower = (struct rlimit){60, limit.rlim_max};
    struct request r = request(SYS_prlimit64);
    r.wire.args[1] = RLIMIT_NOFILE;
    add_in(&r, 2, &lower, sizeof lower);
    add_out(&r, 3, sizeof limit);
    assert_int_equal(call(&r), 0);
    assert_memory_equal(got.out, &limit, sizeof limit);
    assert_int_equal(call_plain(SYS_dup2, 0, 60), -EBADF);
    assert_int_equal(call_plain(SYS_dup2, 0, 59), 59);
    assert_int_equal(attach_at(1, sequence + 1), 0); /* ours are not limited */
    assert_int_equal(call_plain(SYS_close, 59, 0), 0);
}

static void its_own_descriptors_are_not_listed(void **state)
{
    int listed = 0;
    (void)state;
    assert_int_equal(attach_at(1, 1), 0);
    int64_t fd = call_open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
    struct request r = request(SYS_getdents64);
    r.wire.args[0] = (uint64_t)fd;
    add_out(&r, 1, 8192);
    r.wire.args[2] = 8192;
    int64_t size = call(&r);
    for (int64_t at = 0; at < size; at += *(uint16_t *)(got.out + at + 16)) {
        int number = atoi(got.out + at + 19);
        listed += got.out[at + 19] != '.';
        assert_in_range(number, 0, 260);
    }
    assert_true(listed > 2);
}

static void the_table_can_be_listed(void **state)
{
    struct frame_offer *offer = (void *)frame.payload;
    uint64_t image = 99;
    uint32_t from = 0, size;
    (void)state;
    assert_int_equal(attach_at(1, 1), 0);
    int64_t fd = call_open(path_of("listed"), O_RDWR | O_CREAT | O_TRUNC);
    assert_int_equal(ask_door(FRAME_LIST, &image, sizeof image, NULL), 0);
    assert_int_equal(offer->image, 99);
    size = offer->table;
    assert_int_equal(ask_door(FRAME_PIECE, &from, sizeof from, NULL), size);
    assert_true(fds_valid(frame.payload, frame.header.length));
    const struct fds_header *h = (const void *)frame.payload;
    const struct fds_entry *e = fds_entries(h);
    while (e->number != fd)
        assert_ptr_not_equal(++e, fds_entries(h) + h->count);
    assert_string_equal(fds_string(h, e->path), path_of("listed"));
    uint32_t files = 0;
    for (uint32_t i = 0; i < h->count; i++)
        files += fds_entries(h)[i].kind == FDS_REGULAR || fds_entries(h)[i].kind == FDS_DIRECTORY;
    assert_int_equal(kept.offer.image, 99);
    assert_int_equal(kept.offer.count, files);
    assert_int_equal(kept.handles, files);
    assert_int_equal(kept.table, size);
    assert_int_equal(kept.last.st_ino, e->inode); /* it was opened last */
}

/* Channels that are left stand above where others were. */
static void its_own_descriptors_are_not_in_the_table(void **state)
{
    enum { CHANNELS = 40 };
    int ends[CHANNELS + 1][2];
    uint64_t image = 99;
    uint32_t from = 0;
    (void)state;
    for (uint32_t i = 1; i <= CHANNELS; i++) {
        struct wire_channel wire = {.channel = i, .sequence = 1};
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends[i]), 0);
        assert_int_equal(ask_door(FRAME_CHANNEL, &wire, sizeof wire, &ends[i][1]), 0);
    }
    for (uint32_t i = 1; i < CHANNELS; i++) {
        struct wire_channel wire = {.channel = i};
        assert_int_equal(ask_door(FRAME_CHANNEL, &wire, sizeof wire, NULL), 0);
    }
    assert_int_equal(ask_door(FRAME_LIST, &image, sizeof image, NULL), 0);
    assert_true(ask_door(FRAME_PIECE, &from, sizeof from, NULL) > 0);
    const struct fds_header *h = (const void *)frame.payload;
    for (uint32_t i = 0; i < h->count; i++)
        assert_true(fcntl(fds_entries(h)[i].number, F_GETFD) >= 0);
    for (uint32_t i = 1; i <= CHANNELS; i++)
        close(ends[i][0]), close(ends[i][1]);
}

static int make_directory(void **state)
{
    (void)state;
    return !mkdtemp(directory);
}

static int remove_directory(void **state)
{
    static const char *const names[] = {"f", "once", "large", "listed", "cut"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(path_of(names[i]));
    return rmdir(directory);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(writes_and_reads_a_file),
        TEST(values_of_semaphores),
        TEST(numbers_are_the_programs),
        TEST(its_own_descriptors_are_not_there),
        TEST(a_known_sequence_is_answered_again_not_executed),
        TEST(other_sequences_cost_the_connection_only),
        TEST(broken_frames_are_named),
        TEST(wrong_lengths_execute_nothing),
        TEST(what_has_no_row_is_refused),
        TEST(a_blocked_call_is_canceled),
        TEST(a_blocked_call_outlives_its_stream),
        TEST(a_channel_ends_with_its_thread),
        TEST(identity_is_the_programs),
        TEST(large_transfers_are_whole),
        TEST(messages_carry_descriptors),
        TEST(cut_anywhere_nothing_is_lost_or_doubled),
        TEST(signals_come_by_signalfd),
        cmocka_unit_test(a_background_process_is_stopped_not_the_executor),
        TEST(limits_are_the_programs),
        TEST(its_own_descriptors_are_not_listed),
        TEST(the_table_can_be_listed),
        TEST(its_own_descriptors_are_not_in_the_table),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
