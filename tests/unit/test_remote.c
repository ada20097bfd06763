/* The shadow with an executor, as the application, a starter and a tool see it: the whole way from
 * FRAME_REMOTE over leaving and coming back to the end. Children of the test are the application,
 * since the shadow follows its life. */
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "restart/fds.h"
#include "shadow/message.h"
#include "shadow/shadow.h"
#include "stubs/wire.h"

static const uint8_t key[FRAME_KEY] = "a key of a test";
static char directory[] = "/tmp/remote.XXXXXX", socket_path[64], file[64];

static uint32_t offered;

struct client {
    int fd, stream;
    uint64_t sequence, call; /* of the connection, of the channel */
    uint32_t epoch;
    struct frame answer;
};

/* In children the test's asserts cannot be used. */
#define CHECK(x)                                                                                   \
    do                                                                                             \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                \
            _exit(1);                                                                              \
        }                                                                                          \
    while (0)

/* --- the connection --- */

static int ask_with(struct client *c, unsigned type, const void *payload, size_t size,
                    const int *fds, uint32_t count)
{
    struct frame_header h;
    frame_header(&h, type, frame_session(key), ++c->sequence, size);
    h.epoch = c->epoch;
    int error = message_send(c->fd, &h, payload, fds, count, 0);
    if (!error)
        error = message_receive(c->fd, &c->answer, 0);
    if (!error && c->answer.header.sequence != c->sequence)
        error = -EILSEQ;
    return error ? error : c->answer.header.status;
}

static int ask(struct client *c, unsigned type, const void *payload, size_t size)
{
    return ask_with(c, type, payload, size, NULL, 0);
}

static struct client *connect_as(uint32_t role)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct frame_hello hello = {.role = role};
    struct client *c = calloc(1, sizeof *c);
    strcpy(address.sun_path, socket_path);
    memcpy(hello.key, key, sizeof hello.key);
    c->stream = -1;
    c->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    CHECK(connect(c->fd, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(ask(c, FRAME_HELLO, &hello, sizeof hello) == 0);
    c->epoch = c->answer.header.epoch;
    return c;
}

/* --- the application --- */

/* Beside this program's directory; a static program, so `make check-san` has none. */
static char *find_shadow(void)
{
    static char program[4096];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 32);
    CHECK(length > 0);
    program[length] = 0;
    return strcat(dirname(program), "/../hijack-shadow");
}

static void spawn_shadow(void)
{
    static struct {
        struct frame_header header;
        struct frame_start start;
    } frame;
    const char *program = find_shadow();
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    if (vfork() == 0) {
        dup2(pair[1], 0);
        execl(program, "hijack-shadow", socket_path, NULL);
        _exit(127);
    }
    close(pair[1]);
    frame_header(&frame.header, FRAME_START, frame_session(key), 1, sizeof frame.start);
    memcpy(frame.start.key, key, sizeof frame.start.key);
    frame.start.pid = getpid();
    frame.start.dumpable = 1;
    strcpy(frame.start.directory, directory);
    CHECK(send(pair[0], &frame, sizeof frame, 0) == sizeof frame);
    CHECK(recv(pair[0], &frame, sizeof frame, 0) == sizeof frame.header);
    CHECK(frame.header.status == 0);
    close(pair[0]);
}

/* Offers all descriptors, the connection excepted. */
static const struct fds_header *offer(struct client *c)
{
    static struct fds_table table;
    static int fds[FRAME_BATCH];
    CHECK(fds_collect(&table, &c->fd, 1) == 0);
    struct fds_header *h = table.data;
    struct frame_offer o = {.image = h->image, .count = h->count, .table = (uint32_t)table.size};
    struct frame_batch batch = {0, h->count};
    for (uint32_t i = 0; i < h->count; i++)
        fds[i] = fds_entries(h)[i].number;
    for (uint32_t i = 0; i < h->count; i++)
        ((struct fds_entry *)fds_entries(h))[i].flags |= FDS_TAKEN;
    CHECK(ask(c, FRAME_OFFER, &o, sizeof o) == 0);
    CHECK(ask(c, FRAME_TABLE, h, table.size) == 0);
    CHECK(ask_with(c, FRAME_DESCRIPTORS, &batch, sizeof batch, fds, batch.count) == 0);
    return h;
}

static void close_offered(const struct fds_header *h)
{
    for (uint32_t i = 0; i < h->count; i++)
        if (fds_entries(h)[i].number > 2)
            close(fds_entries(h)[i].number);
}

static void attach(struct client *c)
{
    int pair[2];
    struct wire_channel wire = {.channel = 1, .sequence = c->call + 1};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK(ask_with(c, FRAME_CHANNEL, &wire, sizeof wire, &pair[1], 1) == 0);
    close(pair[1]);
    c->stream = pair[0];
}

/* A call; `data` that the kernel reads may stand for argument 2, its size is argument 3. */
static int64_t call(struct client *c, long number, uint64_t a, const void *data, uint64_t b,
                    uint64_t size)
{
    struct {
        struct frame_header header;
        struct wire_request wire;
        char in[256];
    } r = {.wire = {.number = (uint32_t)number, .args = {a, data ? 1 : b, size}}};
    struct {
        struct frame_header header;
        struct wire_reply reply;
    } got;
    r.wire.in[1] = data ? (uint32_t)size : 0;
    memcpy(r.in, data ? data : "", r.wire.in[1]);
    frame_header(&r.header, FRAME_CALL, frame_session(key), ++c->call,
                 sizeof r.wire + r.wire.in[1]);
    r.header.epoch = c->epoch;
    r.header.channel = 1;
    CHECK(send(c->stream, &r, sizeof r.header + r.header.length, 0) > 0);
    return recv(c->stream, &got, sizeof got, MSG_WAITALL) == sizeof got ? got.reply.result : -EPIPE;
}

static int64_t write_file(struct client *c, const char *text)
{
    return call(c, SYS_write, 50, text, 0, strlen(text));
}

/* Our copy of descriptor 50, among all that are given. */
static int take_file(struct client *c, const struct frame_offer *o)
{
    uint32_t from = 0, index = 0;
    CHECK(ask(c, FRAME_PIECE, &from, sizeof from) == (int)o->table);
    CHECK(fds_valid(c->answer.payload, c->answer.header.length));
    const struct fds_entry *e = fds_entries((const void *)c->answer.payload);
    for (; e->number != 50; e++)
        index += (uint32_t)fds_travels(e);
    struct frame_batch batch = {0, o->count};
    CHECK(ask(c, FRAME_DESCRIPTORS, &batch, sizeof batch) == (int)o->count);
    CHECK(c->answer.fd_count == o->count);
    return c->answer.fds[index];
}

/* Becomes remote with `file` open as descriptor 50. */
static struct client *become_remote(void)
{
    spawn_shadow();
    int fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(dup2(fd, 50) == 50);
    close(fd);
    struct client *c = connect_as(FRAME_APPLICATION);
    const struct fds_header *h = offer(c);
    offered = h->count;
    CHECK(ask(c, FRAME_REMOTE, NULL, 0) == 0);
    close_offered(h);
    attach(c);
    return c;
}

/* Runs `application` in a child, whose exit status must be 0. */
static void run(void (*application)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        application();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static bool gone(void)
{
    struct stat st;
    return stat(socket_path, &st) < 0;
}

static void wait_for_the_end(void)
{
    for (int i = 0; i < 2000 && !gone(); i++)
        usleep(5000);
    assert_true(gone());
}

static void assert_file(const char *expected)
{
    char text[256] = "";
    int fd = open(file, O_RDONLY);
    assert_true(read(fd, text, sizeof text - 1) >= 0);
    close(fd);
    assert_string_equal(text, expected);
}

/* --- what must hold --- */

static void writes_and_ends(void)
{
    struct client *c = become_remote();
    CHECK(write_file(c, "remote") == 6);
    CHECK(ask(c, FRAME_QUIT, NULL, 0) == 0);
}

static void a_remote_program_writes_at_home(void **state)
{
    (void)state;
    run(writes_and_ends);
    assert_file("remote");
    wait_for_the_end();
}

/* The reader sees the end of file as soon as the answer to FRAME_QUIT is there. */
static void closes_are_seen(void)
{
    int pair[2];
    char byte;
    CHECK(pipe2(pair, O_CLOEXEC) == 0);
    pid_t reader = fork();
    if (reader == 0) {
        close(pair[1]);
        _exit(read(pair[0], &byte, 1) != 0);
    }
    close(pair[0]);
    struct client *c = become_remote();
    int status;
    CHECK(waitpid(reader, &status, WNOHANG) == 0);
    CHECK(call(c, SYS_close, (uint64_t)pair[1], NULL, 0, 0) == 0);
    CHECK(waitpid(reader, &status, 0) == reader && status == 0);
}

static void a_close_closes_everywhere(void **state)
{
    (void)state;
    run(closes_are_seen);
    wait_for_the_end();
}

/* Without a word: its descriptors go with it, and so does the shadow. */
static void dies(void)
{
    struct client *c = become_remote();
    CHECK(call(c, SYS_flock, 50, NULL, LOCK_EX, 0) == 0);
}

static void the_end_of_the_program_is_the_end_of_its_descriptors(void **state)
{
    (void)state;
    run(dies);
    wait_for_the_end();
    int fd = open(file, O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    close(fd);
}

#define IMAGE 1234567ULL

static void leaves(void)
{
    uint64_t image = IMAGE;
    struct client *c = become_remote();
    CHECK(write_file(c, "away") == 4);
    CHECK(ask(c, FRAME_LIST, &image, sizeof image) == 0);
    CHECK(c->answer.header.length == sizeof(uint32_t));
    CHECK(ask(c, FRAME_COMMIT, NULL, 0) == 0);
}

/* A starter once the program's end is known. */
static struct client *fetch(struct frame_offer *o)
{
    struct frame_offer asked = {.image = IMAGE};
    struct client *c = connect_as(FRAME_STARTER);
    int error;
    while ((error = ask(c, FRAME_FETCH, &asked, sizeof asked)) == -EAGAIN)
        usleep(1000);
    CHECK(error == 0);
    memcpy(o, c->answer.payload, sizeof *o);
    CHECK(ask(c, FRAME_ADOPT, NULL, 0) == 0);
    return c;
}

static void goes_on_remote(void)
{
    struct frame_offer o;
    struct client *starter = fetch(&o);
    CHECK(ask(starter, FRAME_REMOTE, NULL, 0) == 0);
    CHECK(ask(starter, FRAME_DONE, NULL, 0) == 0);
    struct client *c = connect_as(FRAME_APPLICATION);
    CHECK(c->epoch == 1);
    c->call = 1;
    attach(c);
    CHECK(write_file(c, " and on") == 7);
    CHECK(ask(c, FRAME_QUIT, NULL, 0) == 0);
}

static void a_program_comes_back_to_the_executor_it_left(void **state)
{
    (void)state;
    run(leaves);
    run(goes_on_remote);
    assert_file("away and on");
    wait_for_the_end();
}

static void goes_on_at_home(void)
{
    struct frame_offer o;
    struct client *starter = fetch(&o);
    CHECK(ask(starter, FRAME_UNLOCK, NULL, 0) == 0);
    int fd = take_file(starter, &o);
    CHECK(ask(starter, FRAME_DONE, NULL, 0) == 0);
    CHECK(write(fd, " and home", 9) == 9);
}

static void a_program_comes_home_from_the_executor(void **state)
{
    (void)state;
    run(leaves);
    run(goes_on_at_home);
    assert_file("away and home");
    wait_for_the_end();
}

/* The starter gives up: another one finds all as it was. */
static void gives_up(void)
{
    struct frame_offer o;
    struct client *c = fetch(&o);
    CHECK(ask(c, FRAME_REMOTE, NULL, 0) == 0);
}

static void a_starter_that_gives_up_leaves_all_as_it_was(void **state)
{
    (void)state;
    run(leaves);
    run(gives_up);
    run(goes_on_remote);
    assert_file("away and on");
    wait_for_the_end();
}

static int look(struct client *c, const char *path, struct frame_looked *looked)
{
    static struct frame_look asked;
    snprintf(asked.path, sizeof asked.path, "%s", path);
    int status = ask(c, FRAME_LOOK, &asked, sizeof asked);
    CHECK(c->answer.header.length == (status ? 0 : sizeof *looked));
    memcpy(looked, c->answer.payload, status ? 0 : sizeof *looked);
    return status;
}

static void looks(void)
{
    struct client *c = connect_as(FRAME_STARTER);
    struct frame_looked now;
    struct stat st;
    CHECK(look(c, file, &now) == 0);
    CHECK(stat(file, &st) == 0);
    CHECK(now.dev == st.st_dev && now.inode == st.st_ino && now.mode == st.st_mode);
    CHECK(now.size == (uint64_t)st.st_size && now.mtime == st.st_mtim.tv_sec);
    CHECK(now.mtime_nsec == st.st_mtim.tv_nsec);
    CHECK(look(c, "/no/such/file", &now) == -ENOENT);
    CHECK(look(c, "relative", &now) == -EINVAL);
    CHECK(ask(connect_as(FRAME_TOOL), FRAME_LOOK, &now, sizeof now) == -EACCES);
}

static void a_starter_looks_at_a_file_at_home(void **state)
{
    (void)state;
    run(leaves);
    run(looks);
    run(goes_on_at_home);
    wait_for_the_end();
}

static void takes_home(void)
{
    struct frame_offer o;
    struct client *c = become_remote();
    CHECK(write_file(c, "still remote") == 12);
    CHECK(ask(c, FRAME_RECALL, NULL, 0) == 0);
    memcpy(&o, c->answer.payload, sizeof o);
    CHECK(o.count == offered);
    int fd = take_file(c, &o);
    CHECK(ask(c, FRAME_DONE, NULL, 0) == 0);
    CHECK(write(fd, ", now home", 10) == 10);
}

static void a_program_takes_its_descriptors_home(void **state)
{
    (void)state;
    run(takes_home);
    assert_file("still remote, now home");
    wait_for_the_end();
}

static void is_traced(void)
{
    struct client *c = become_remote(), *tool = connect_as(FRAME_TOOL);
    const struct wire_traced *t = (const void *)tool->answer.payload;
    CHECK(write_file(c, "unseen") == 6);
    CHECK(ask(tool, FRAME_TRACE, NULL, 0) == 0);
    CHECK(write_file(c, "seen") == 4);
    CHECK(message_receive(tool->fd, &tool->answer, 0) == 0);
    CHECK(tool->answer.header.type == FRAME_TRACED);
    CHECK(tool->answer.header.length == sizeof *t + 4);
    CHECK(t->request.number == SYS_write && t->request.args[0] == 50 && t->reply.result == 4);
    CHECK(t->channel == 1 && t->lost == 0 && t->in[1] == 4 && !memcmp(t + 1, "seen", 4));
    /* A tool that does not read delays nobody, and is told what it missed. */
    for (int i = 0; i < 2000; i++)
        CHECK(call(c, SYS_lseek, 50, NULL, 0, SEEK_SET) == 0);
    uint32_t seen = 0, lost = 0;
    while (message_receive(tool->fd, &tool->answer, MSG_DONTWAIT) == 0)
        seen++, lost += t->lost;
    CHECK(seen < 2000);
    CHECK(call(c, SYS_getuid, 0, NULL, 0, 0) == getuid());
    CHECK(message_receive(tool->fd, &tool->answer, 0) == 0);
    while (t->request.number != SYS_getuid) {
        seen++, lost += t->lost;
        CHECK(message_receive(tool->fd, &tool->answer, 0) == 0);
    }
    CHECK(seen + lost + t->lost == 2000);
}

static void calls_are_told_to_a_tool(void **state)
{
    (void)state;
    run(is_traced);
    wait_for_the_end();
}

static void is_counted(void)
{
    struct client *c = become_remote(), *tool = connect_as(FRAME_TOOL);
    const struct frame_status *s = (const void *)tool->answer.payload;
    CHECK(ask(tool, FRAME_STATUS, NULL, 0) == 0);
    CHECK(s->remote == 1 && s->calls == 0 && s->channels == 1 && s->refused == 0);
    CHECK(write_file(c, "1") == 1);
    c->epoch = 7; /* as one that was left behind by a restart */
    CHECK(write_file(c, "2") == -EPIPE);
    CHECK(ask(tool, FRAME_STATUS, NULL, 0) == 0);
    CHECK(s->calls == 1 && s->refused == 1 && s->last_error == -ESTALE);
    CHECK(ask(c, FRAME_QUIT, NULL, 0) < 0); /* the other connection is as strict */
    CHECK(ask(tool, FRAME_STATUS, NULL, 0) == 0);
    CHECK(s->calls == 1 && s->refused == 2);
}

static void status_counts_calls_and_refusals(void **state)
{
    (void)state;
    run(is_counted);
    assert_file("1");
    wait_for_the_end();
}

static int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return 1;
    snprintf(socket_path, sizeof socket_path, "%s/a.sock", directory);
    snprintf(file, sizeof file, "%s/file", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    unlink(file);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_remote_program_writes_at_home),
        cmocka_unit_test(a_close_closes_everywhere),
        cmocka_unit_test(the_end_of_the_program_is_the_end_of_its_descriptors),
        cmocka_unit_test(a_program_comes_back_to_the_executor_it_left),
        cmocka_unit_test(a_program_comes_home_from_the_executor),
        cmocka_unit_test(a_starter_that_gives_up_leaves_all_as_it_was),
        cmocka_unit_test(a_starter_looks_at_a_file_at_home),
        cmocka_unit_test(a_program_takes_its_descriptors_home),
        cmocka_unit_test(calls_are_told_to_a_tool),
        cmocka_unit_test(status_counts_calls_and_refusals),
    };
    if (access(find_shadow(), X_OK) < 0) {
        puts("1..0 # SKIP hijack-shadow is not built here");
        return 0;
    }
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
