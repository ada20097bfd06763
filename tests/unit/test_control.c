/* The control socket: the runtime directory is private or refused; a shadow's table of questions,
 * over a socket pair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "shadow/control.h"
#include "shadow/shadow.h"

static char base[64];

static int setup(void **state)
{
    (void)state;
    strcpy(base, "/tmp/test_control.XXXXXX");
    return mkdtemp(base) && setenv("XDG_RUNTIME_DIR", base, 1) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    char path[96];
    (void)state;
    snprintf(path, sizeof path, "%s/gdb-hijack", base);
    unlink(path);
    rmdir(path);
    return rmdir(base);
}

static int directory(char *out, char *why)
{
    return control_runtime_directory(geteuid(), getegid(), out, 108, why, 256);
}

static void makes_a_private_directory(void **state)
{
    (void)state;
    char path[108], why[256], wanted[96];
    struct stat st;
    assert_int_equal(directory(path, why), 0);
    snprintf(wanted, sizeof wanted, "%s/gdb-hijack", base);
    assert_string_equal(path, wanted);
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(directory(path, why), 0); /* and finds it again */
}

static void does_not_follow_a_symbolic_link(void **state)
{
    (void)state;
    char path[108], why[256], link_name[96];
    snprintf(link_name, sizeof link_name, "%s/gdb-hijack", base);
    assert_int_equal(symlink("/tmp", link_name), 0);
    if (directory(path, why) == 0) /* another candidate may serve */
        assert_string_not_equal(path, link_name);
    else
        assert_non_null(strstr(why, "gdb-hijack"));
}

static void does_not_trust_an_open_directory(void **state)
{
    (void)state;
    char path[108], why[256], name[96];
    snprintf(name, sizeof name, "%s/gdb-hijack", base);
    assert_int_equal(mkdir(name, 0700), 0);
    assert_int_equal(chmod(name, 0770), 0);
    if (directory(path, why) == 0)
        assert_string_not_equal(path, name);
}

static void names_the_socket_by_the_session(void **state)
{
    (void)state;
    uint8_t key[FRAME_KEY] = {1, 2, 3};
    char one[CONTROL_SOCKET], two[CONTROL_SOCKET], why[256], name[32];
    assert_int_equal(control_socket_path(geteuid(), getegid(), key, one, why, sizeof why), 0);
    assert_int_equal(control_socket_path(geteuid(), getegid(), key, two, why, sizeof why), 0);
    assert_string_equal(one, two);
    snprintf(name, sizeof name, "/%016llx.sock", (unsigned long long)frame_session(key));
    assert_string_equal(one + strlen(one) - strlen(name), name);
}

static void knows_itself(void **state)
{
    (void)state;
    struct control_process self;
    assert_int_equal(control_process(getpid(), &self), 0);
    assert_int_equal(self.uid, geteuid());
    assert_int_equal(self.innermost, getpid());
    assert_true(self.start_time > 0);
    assert_int_equal(self.threads, 1);
    assert_int_equal(control_process(0x3fffffff, &self), -ESRCH);
}

static void writes_json(void **state)
{
    (void)state;
    char out[128];
    assert_string_equal(control_json(out, sizeof out, "a\"b\\c\n"), "\"a\\\"b\\\\c\\u000a\"");
    assert_string_equal(control_json(out, sizeof out, "\xc3\xa4\xff"), "\"\xc3\xa4\\ufffd\"");
}

/* --- the shadow's side --- */

static struct shadow *new_shadow(int *client)
{
    static struct shadow s;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    s = (struct shadow){.listener = -1, .application = -1};
    remote_clear(&s.remote);
    for (int i = 0; i < SHADOW_PEERS; i++)
        s.peers[i].fd = -1;
    memset(s.start.key, 7, sizeof s.start.key);
    s.start.pid = getpid();
    s.session = frame_session(s.start.key);
    s.peers[0] = (struct peer){.fd = pair[0], .pid = getpid()};
    *client = pair[1];
    return &s;
}

static uint64_t sequence;

/* Sends one frame and returns the status of its answer; -ECONNRESET when the connection was ended
 * instead. */
static int say(struct shadow *s, int client, unsigned type, const void *payload, size_t size)
{
    static char message[sizeof(struct frame_header) + FRAME_MAX_PAYLOAD];
    struct frame_header *h = (void *)message;
    uint64_t session = s->peers[0].role == FRAME_TOOL ? 0 : s->session;
    frame_header(h, type, session, ++sequence, size);
    if (size)
        memcpy(h + 1, payload, size);
    assert_int_equal(send(client, message, sizeof *h + size, 0), (ssize_t)(sizeof *h + size));
    serve_peer(s, &s->peers[0]);
    ssize_t got = recv(client, message, sizeof message, 0);
    return got > 0 ? h->status : -ECONNRESET;
}

static int hello(struct shadow *s, int client, uint32_t role, int key)
{
    struct frame_hello hello = {.role = role};
    sequence = 0;
    memset(hello.key, key, sizeof hello.key);
    return say(s, client, FRAME_HELLO, &hello, sizeof hello);
}

static void a_tool_needs_no_key_but_may_not_do_all(void **state)
{
    (void)state;
    int client;
    struct shadow *s = new_shadow(&client);
    assert_int_equal(hello(s, client, FRAME_TOOL, 0), 0);
    assert_int_equal(say(s, client, FRAME_STATUS, NULL, 0), 0);
    assert_int_equal(say(s, client, FRAME_TAKE, NULL, 0), -EACCES);
    assert_int_equal(s->peers[0].fd, -1); /* it cost the connection */
    close(client);
}

static void a_starter_needs_the_key(void **state)
{
    (void)state;
    int client;
    struct shadow *s = new_shadow(&client);
    assert_int_equal(hello(s, client, FRAME_STARTER, 8), -EACCES);
    close(client);
    s = new_shadow(&client);
    assert_int_equal(hello(s, client, FRAME_STARTER, 7), 0);
    assert_int_equal(say(s, client, FRAME_ADOPT, NULL, 0), -ENOENT); /* nothing is held */
    close(client);
}

static void nothing_before_hello(void **state)
{
    (void)state;
    int client;
    struct shadow *s = new_shadow(&client);
    sequence = 0;
    assert_int_equal(say(s, client, FRAME_STATUS, NULL, 0), -EACCES);
    close(client);
}

static void only_the_application_is_the_application(void **state)
{
    (void)state;
    int client;
    struct shadow *s = new_shadow(&client);
    s->application = 0; /* any descriptor: alive */
    s->peers[0].pid = getpid() + 1;
    assert_int_equal(hello(s, client, FRAME_APPLICATION, 7), -EACCES);
    close(client);
}

static void a_wrong_length_costs_the_connection_not_the_session(void **state)
{
    (void)state;
    int client;
    struct shadow *s = new_shadow(&client);
    assert_int_equal(hello(s, client, FRAME_TOOL, 0), 0);
    assert_int_equal(say(s, client, FRAME_REQUEST, "short", 5), -EBADMSG);
    assert_int_equal(s->peers[0].fd, -1);
    assert_false(s->end);
    close(client);
}

static void remote_calls_are_not_known_yet(void **state)
{
    (void)state;
    int client;
    struct shadow *s = new_shadow(&client);
    assert_int_equal(hello(s, client, FRAME_TOOL, 0), 0);
    assert_int_equal(say(s, client, FRAME_CALL, NULL, 0), -ENOTSUP);
    close(client);
}

static void descriptors_without_a_commit_are_dropped(void **state)
{
    (void)state;
    int client;
    struct frame_offer offer = {.image = 5, .count = 1, .table = 4096};
    struct shadow *s = new_shadow(&client);
    s->application = 0;
    assert_int_equal(hello(s, client, FRAME_APPLICATION, 7), 0);
    assert_int_equal(say(s, client, FRAME_OFFER, &offer, sizeof offer), 0);
    assert_true(s->offered.image == 5);
    assert_int_equal(say(s, client, FRAME_COMMIT, NULL, 0), -EPROTO); /* not complete */
    assert_true(s->offered.image == 0 && s->held.image == 0);
    assert_int_equal(s->state, SHADOW_HOME);
    close(client);
}

static void a_canceled_request_is_not_carried_out(void **state)
{
    (void)state;
    static struct frame_request request;
    int client;
    struct shadow *s = new_shadow(&client);
    assert_int_equal(hello(s, client, FRAME_TOOL, 0), 0);
    assert_int_equal(say(s, client, FRAME_REQUEST, &request, sizeof request), 0);
    assert_int_equal(say(s, client, FRAME_REQUEST, &request, sizeof request), -EBUSY);
    close(client);
    serve_peer(s, &s->peers[0]); /* end of file */
    assert_int_equal(s->request_state, REQUEST_CANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(makes_a_private_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(does_not_follow_a_symbolic_link, setup, teardown),
        cmocka_unit_test_setup_teardown(does_not_trust_an_open_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(names_the_socket_by_the_session, setup, teardown),
        cmocka_unit_test(knows_itself),
        cmocka_unit_test(writes_json),
        cmocka_unit_test(a_tool_needs_no_key_but_may_not_do_all),
        cmocka_unit_test(a_starter_needs_the_key),
        cmocka_unit_test(nothing_before_hello),
        cmocka_unit_test(only_the_application_is_the_application),
        cmocka_unit_test(a_wrong_length_costs_the_connection_not_the_session),
        cmocka_unit_test(remote_calls_are_not_known_yet),
        cmocka_unit_test(descriptors_without_a_commit_are_dropped),
        cmocka_unit_test(a_canceled_request_is_not_carried_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
