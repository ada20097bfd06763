/*
 * fuzz_frame.c - whatever is sent to a shadow, it neither crashes nor keeps a descriptor it should
 * not.
 *
 * Input: a role, then messages, each a length (2 bytes) and its bytes. A message of 3 bytes or more
 * whose first is even gets a good header: type and sequence right, the rest is payload; others go
 * out as they are.
 *
 * scripts/fuzz.sh builds and runs it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shadow/execute.h"
#include "shadow/shadow.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct shadow shadow;
static uint64_t sequence;

/* The executor is fuzzed elsewhere (fuzz_decode.c). */
_Noreturn void execute_main(const struct execute_start *start)
{
    (void)start;
    _exit(0);
}

static int begin(uint32_t role)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        abort();
    shadow =
        (struct shadow){.listener = -1, .application = role == FRAME_APPLICATION ? dup(0) : -1};
    for (int i = 0; i < SHADOW_PEERS; i++)
        shadow.peers[i].fd = -1;
    remote_clear(&shadow.remote);
    shadow.state = role == FRAME_STARTER ? SHADOW_HELD : SHADOW_HOME;
    shadow.start.pid = getpid();
    shadow.peers[0] = (struct peer){.fd = pair[0], .pid = getpid(), .role = role};
    sequence = 0;
    return pair[1];
}

static void send_message(int client, const uint8_t *data, size_t size)
{
    static char message[sizeof(struct frame_header) + FRAME_MAX_PAYLOAD];
    struct frame_header *h = (void *)message;
    if (size >= 3 && data[0] % 2 == 0) {
        /* The rest of a struct is zeros: a whole request is longer than a fuzzer likes to write. */
        size_t length = data[2] % 4 ? size - 3 : sizeof(struct frame_request);
        memset(h + 1, 0, length);
        memcpy(h + 1, data + 3, size - 3 < length ? size - 3 : length);
        frame_header(h, data[1] % 24, 0, ++sequence, length);
        send(client, message, sizeof *h + length, MSG_NOSIGNAL);
    } else {
        send(client, data, size, MSG_NOSIGNAL);
    }
}

static void finish(int client)
{
    close(client);
    for (int i = 0; i < SHADOW_PEERS; i++)
        if (shadow.peers[i].fd >= 0)
            peer_drop(&shadow, &shadow.peers[i]);
    hold_drop(&shadow.offered);
    hold_drop(&shadow.held);
    if (shadow.remote.pidfd >= 0)
        remote_ended(&shadow);
    if (shadow.application >= 0)
        close(shadow.application);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char answer[sizeof(struct frame_header) + FRAME_MAX_PAYLOAD];
    if (size < 1)
        return 0;
    int client = begin(data[0] % 4);
    for (size_t at = 1; at + 2 <= size && shadow.peers[0].fd >= 0;) {
        size_t length = (size_t)(data[at] | data[at + 1] << 8);
        at += 2;
        if (length > size - at)
            length = size - at;
        send_message(client, data + at, length);
        serve_peer(&shadow, &shadow.peers[0]);
        while (recv(client, answer, sizeof answer, 0) > 0)
            ;
        at += length;
    }
    finish(client);
    int probe = dup(0);
    if (probe > 64)
        abort(); /* descriptors are left behind */
    close(probe);
    return 0;
}
