/*
 * execute.c - the executor's start and its main thread, which serves the door: see execute.h.
 *
 * The door passes on the frames of the application and of a starter, checked as to who may send
 * them; each is answered, FRAME_CANCEL excepted. The end of the door is the end of the executor.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shadow/execute.h"
#include "shadow/kept.h"
#include "shadow/message.h"
#include "shadow/table.h"

struct executor executor;
static struct frame in;

/* --- answers --- */

static void answer_with(const struct frame_header *asked, int status, const void *payload,
                        size_t size, const int *fds, uint32_t fd_count)
{
    struct frame_header h = *asked;
    h.type |= FRAME_REPLY;
    h.status = status;
    h.length = (uint32_t)size;
    if (message_send(executor.door, &h, payload, fds, fd_count, 0) == -EPIPE)
        _exit(1);
}

static void answer(int status)
{
    answer_with(&in.header, status, NULL, 0, NULL, 0);
}

static void answer_channel(void)
{
    const struct wire_channel *wire = (const void *)in.payload;
    if (!in.fd_count) {
        answer(channel_end(&executor, wire->channel));
        return;
    }
    int stream = in.fds[0];
    in.fd_count = 0;
    answer(stream < 0 ? stream : channel_attach(&executor, wire, stream));
}

static void answer_ring(void)
{
    uint32_t size;
    memcpy(&size, in.payload, sizeof size);
    answer(in.fd_count && in.fds[0] >= 0 ? ring_map(in.fds[0], size) : -EBADMSG);
}

static void answer_list(void)
{
    uint64_t image = 0;
    struct frame_offer offer = {0};
    memcpy(&image, in.payload, in.header.length);
    int error = table_make(&executor, image, &offer);
    if (!error && image)
        kept_send(&executor, table_data(), offer.table);
    answer_with(&in.header, error, &offer, error ? 0 : sizeof offer, NULL, 0);
}

static void answer_piece(void)
{
    uint32_t from;
    const char *piece;
    memcpy(&from, in.payload, sizeof from);
    int size = table_piece(from, &piece);
    answer_with(&in.header, size, piece, size < 0 ? 0 : (size_t)size, NULL, 0);
}

static void answer_descriptors(void)
{
    const struct frame_batch *batch = (const void *)in.payload;
    int fds[FRAME_BATCH];
    int count = table_batch(batch, fds);
    answer_with(&in.header, count, NULL, 0, fds, count < 0 ? 0 : (uint32_t)count);
}

static void answer_unlock(void)
{
    executor.shared->lost_locks = table_lock(in.header.status);
    answer(0);
}

/* Descriptors from elsewhere take the place of the program's. */
static void answer_place(void)
{
    const struct frame_place *place = (const void *)in.payload;
    int error = 0;
    for (uint32_t i = 0; i < in.fd_count && !error; i++)
        error = in.fds[i] < 0 ? in.fds[i]
                              : place_foreign(&executor, in.fds[i], place->at[i].number,
                                              (int)place->at[i].flags & O_CLOEXEC);
    answer(error);
}

/* From now on frames have this epoch, and the program is that process. */
static void answer_adopted(void)
{
    const struct frame_status *now = (const void *)in.payload;
    executor.epoch = now->epoch;
    executor.application = now->pid;
    answer(0);
}

static const struct {
    unsigned type;
    size_t size; /* of the payload */
    void (*answer)(void);
} questions[] = {
    {FRAME_CHANNEL, sizeof(struct wire_channel), answer_channel},
    {FRAME_RING, sizeof(uint32_t), answer_ring},
    {FRAME_LIST, sizeof(uint64_t), answer_list},
    {FRAME_RECALL, 0, answer_list},
    {FRAME_PIECE, sizeof(uint32_t), answer_piece},
    {FRAME_DESCRIPTORS, sizeof(struct frame_batch), answer_descriptors},
    {FRAME_START, sizeof(struct frame_status), answer_adopted},
    {FRAME_UNLOCK, 0, answer_unlock},
    {FRAME_PLACE, sizeof(struct frame_place), answer_place},
};

static void serve_frame(void)
{
    if (in.header.type == FRAME_CANCEL && in.header.length == sizeof(struct wire_cancel)) {
        channel_cancel(&executor, (const void *)in.payload);
        return;
    }
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++)
        if (questions[i].type == in.header.type && questions[i].size == in.header.length) {
            questions[i].answer();
            return;
        }
    answer(-ENOTSUP);
}

/* --- the door --- */

/* A descriptor that comes stands among the program's for a moment, and needs a number that the
 * program has not: nobody else may open or name one meanwhile. */
static int receive_descriptors(void)
{
    pthread_rwlock_wrlock(&executor.numbers);
    setrlimit(RLIMIT_NOFILE, &executor.open);
    int error = message_receive(executor.door, &in, 0);
    for (uint32_t i = 0; i < in.fd_count; i++)
        in.fds[i] = place_own(&executor, in.fds[i]);
    setrlimit(RLIMIT_NOFILE, &executor.closed);
    pthread_rwlock_unlock(&executor.numbers);
    return error;
}

static int receive(void)
{
    struct frame_header next;
    ssize_t got = recv(executor.door, &next, sizeof next, MSG_PEEK);
    if (got <= 0)
        return got < 0 ? -errno : -EPIPE;
    return next.type == FRAME_CHANNEL || next.type == FRAME_RING || next.type == FRAME_PLACE
               ? receive_descriptors()
               : message_receive(executor.door, &in, 0);
}

_Noreturn static void serve_door(void)
{
    for (;;) {
        int error = receive();
        if (error == -EINTR)
            continue;
        if (error) {
            ring_drain();
            _exit(0);
        }
        serve_frame();
        message_close_descriptors(&in);
    }
}

/* --- the start --- */

/* The program may have changed its directory and mask of modes since the shadow was made. */
static void share_context(pid_t program)
{
    char path[64], line[128];
    unsigned mask;
    snprintf(path, sizeof path, "/proc/%d/cwd", (int)program);
    if (chdir(path) < 0)
        return;
    snprintf(path, sizeof path, "/proc/%d/status", (int)program);
    FILE *status = fopen(path, "re");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "Umask: %o", &mask) == 1)
            umask(mask);
    if (status)
        fclose(status);
}

static int take_context(const struct frame_remote *whose)
{
    umask(whose->umask);
    return chdir(whose->directory) < 0 ? -errno : 0;
}

/* What the terminal or anybody sends to the whole group is for the program; the shadow ignores it,
 * and we with it. */
static int settle_process(struct executor *x)
{
    prctl(PR_SET_NAME, "hijack-executor");
    x->pid = getpid();
    if (x->start.at_home)
        share_context(x->application);
    setrlimit(RLIMIT_FSIZE, &x->start.size);
    int terminal = open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    x->terminal = terminal >= 0;
    if (terminal >= 0)
        close(terminal);
    int error = x->start.whose ? take_context(x->start.whose) : 0;
    return error ? error : channel_prepare();
}

void execute_main(const struct execute_start *start)
{
    struct executor *x = &executor;
    struct frame_header ready;
    *x = (struct executor){.start = *start, .shared = start->shared, .door = start->door};
    x->epoch = start->epoch;
    x->application = start->application;
    table_begin(start->hold);
    pthread_rwlock_init(&x->numbers, NULL);
    pthread_mutex_init(&x->list, NULL);
    int error = place_descriptors(x, start->hold);
    if (!error)
        error = settle_process(x);
    if (x->door < 0)
        _exit(1);
    if (!error)
        x->shared->lost_locks = table_lock(true); /* whoever had them has let go */
    frame_header(&ready, FRAME_REMOTE, 0, 0, 0);
    in.header = ready;
    answer(error);
    if (error)
        _exit(1);
    serve_door();
}
