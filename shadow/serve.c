/*
 * serve.c - the one table of what may be asked of the shadow: by whom, with how much payload.
 *
 * An answer_*() returns the status of the reply (>= 0 or -errno) and may leave a payload in `out`.
 * A payload of another size than its type's row allows never reaches it, nor do descriptors that
 * nobody asked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "stubs/fds.h"
#include "stubs/wire.h"
#include "shadow/message.h"

struct answer {
    char payload[sizeof(struct frame_status) + FRAME_IMAGES * sizeof(struct frame_image)];
    size_t size;
    const int *fds; /* sent along; ours */
    uint32_t fd_count;
};

static struct frame in;
static struct answer out;

static int answer_hello(struct shadow *s, struct peer *p)
{
    const struct frame_hello *hello = (const void *)in.payload;
    bool key = !memcmp(hello->key, s->start.key, sizeof hello->key);
    if (p->role)
        return -EPROTO;
    if (hello->role == FRAME_APPLICATION && (!key || p->pid != s->start.pid || s->application < 0))
        return -EACCES;
    if (hello->role == FRAME_STARTER && !key)
        return -EACCES;
    if (hello->role < FRAME_TOOL || hello->role > FRAME_STARTER)
        return -EPROTO;
    p->role = hello->role;
    return 0;
}

static int is_busy(const struct shadow *s)
{
    return s->request_state == REQUEST_PENDING || s->request_state == REQUEST_TAKEN;
}

static int answer_status(struct shadow *s, struct peer *p)
{
    struct frame_status *status = (void *)out.payload;
    (void)p;
    session_name(s);
    *status = (struct frame_status){
        .start_time = s->start.start_time,
        .held_image = s->held.image,
        .pid = s->application < 0 ? 0
               : s->own           ? s->own
                                  : s->start.pid,
        .seen = s->application < 0 ? 0 : s->start.pid,
        .away = s->away,
        .signal = s->start.signal,
        .held = s->held.count,
        .lost_locks = s->held.lost_locks,
        .epoch = s->epoch,
        .refused = s->refused,
        .last_error = s->last_error,
        .busy = (uint32_t)is_busy(s),
        .images = s->image_count,
    };
    remote_status(s, status);
    memcpy(status->name, s->name, sizeof status->name);
    memcpy(status->directory, s->start.directory, sizeof status->directory);
    memcpy(status + 1, s->images, s->image_count * sizeof *s->images);
    out.size = sizeof *status + s->image_count * sizeof *s->images;
    return 0;
}

static int answer_request(struct shadow *s, struct peer *p)
{
    const struct frame_request *request = (const void *)in.payload;
    if (frame_check_text(request->path, sizeof request->path))
        return -EBADMSG;
    if (s->state != SHADOW_HOME)
        return -ESRCH;
    if (is_busy(s))
        return -EBUSY;
    s->request = *request;
    s->request_state = REQUEST_PENDING;
    s->requester = p;
    return 0;
}

static int answer_take(struct shadow *s, struct peer *p)
{
    if (s->request_state == REQUEST_CANCELED) {
        s->request_state = REQUEST_NONE;
        return -ECANCELED;
    }
    if (s->request_state != REQUEST_PENDING)
        return 0;
    s->request_state = REQUEST_TAKEN;
    s->taker = p;
    memcpy(out.payload, &s->request, sizeof s->request);
    out.size = sizeof s->request;
    peer_tell(s, s->requester, FRAME_TAKEN, NULL, 0);
    return 1;
}

static int answer_offer(struct shadow *s, struct peer *p)
{
    if (s->state != SHADOW_HOME || remote_alive(s))
        return -EBUSY;
    s->giver = p;
    return hold_offer(&s->offered, (const void *)in.payload);
}

static int answer_table(struct shadow *s, struct peer *p)
{
    (void)p;
    return hold_table(&s->offered, in.payload, in.header.length);
}

static int take_batch(struct shadow *s)
{
    const struct frame_batch *batch = (const void *)in.payload;
    if (batch->count != in.fd_count)
        return -EBADMSG;
    int error = hold_receive(&s->offered, batch, in.fds);
    if (!error)
        in.fd_count = 0; /* the hold owns them now */
    return error;
}

static int give_batch(struct shadow *s)
{
    const struct frame_batch *batch = (const void *)in.payload;
    if (!s->held.image)
        return -ENOENT;
    if (batch->first > s->held.count || batch->count > s->held.count - batch->first ||
        batch->count > FRAME_BATCH)
        return -EBADMSG;
    out.fds = s->held.fds + batch->first;
    out.fd_count = batch->count;
    return (int)batch->count;
}

/* A batch comes from a program that leaves or becomes remote; it goes to a starter, or to a program
 * that takes its descriptors home. */
static int answer_descriptors(struct shadow *s, struct peer *p)
{
    bool returning = s->adopter == p || s->remote.recaller == p;
    if (p->role == FRAME_APPLICATION && !remote_alive(s))
        return take_batch(s);
    if (!returning || in.fd_count)
        return -EPROTO;
    return remote_alive(s) ? remote_forward(s, p, &in) : give_batch(s);
}

/* A remote program's descriptors are with the executor already; what it listed is its image's. */
static int commit_remote(struct shadow *s)
{
    if (!s->remote.listed.image)
        return -EPROTO;
    s->remote.left = s->remote.listed;
    s->state = SHADOW_LEAVING;
    return 0;
}

static int answer_commit(struct shadow *s, struct peer *p)
{
    if (remote_alive(s))
        return commit_remote(s);
    if (s->giver != p || !hold_complete(&s->offered))
        return -EPROTO;
    hold_drop(&s->held);
    s->held = s->offered;
    s->offered = (struct hold){0};
    s->giver = NULL;
    session_limits(s);
    s->state = SHADOW_LEAVING;
    return 0;
}

static int answer_report(struct shadow *s, struct peer *p)
{
    const struct frame_report *report = (const void *)in.payload;
    (void)p;
    if (frame_check_text(report->step, sizeof report->step) ||
        frame_check_text(report->text, sizeof report->text) ||
        frame_check_text(report->path, sizeof report->path))
        return -EBADMSG;
    session_report(s, report);
    return 0;
}

static int answer_fetch(struct shadow *s, struct peer *p)
{
    const struct frame_offer *asked = (const void *)in.payload;
    struct frame_offer *offer = (void *)out.payload;
    struct frame_offer here = {.image = s->held.image,
                               .count = s->held.count,
                               .table = s->held.table_size,
                               .kept = s->held.kept};
    (void)p;
    if (remote_alive(s))
        here = s->remote.left;
    if (!here.image || here.image != asked->image)
        return -ENOENT;
    if (s->state == SHADOW_LEAVING)
        return -EAGAIN;
    if (s->state == SHADOW_RETURNING && s->adopter != p)
        return -EBUSY;
    *offer = here;
    out.size = sizeof *offer;
    return 0;
}

/* The starter knows the table from the image; of what was kept of a program that went on, more is
 * told here. */
static int answer_piece(struct shadow *s, struct peer *p)
{
    uint32_t from, size = s->held.table_size;
    if (remote_alive(s))
        return remote_forward(s, p, &in);
    memcpy(&from, in.payload, sizeof from);
    if (s->adopter != p || from >= size)
        return -EINVAL;
    _Static_assert(sizeof out.payload <= FRAME_MAX_PAYLOAD, "it fits a frame");
    out.size = size - from < sizeof out.payload ? size - from : sizeof out.payload;
    memcpy(out.payload, s->held.table + from, out.size);
    return 0;
}

static int answer_unlock(struct shadow *s, struct peer *p)
{
    if (s->adopter != p && s->remote.recaller != p)
        return -EPROTO;
    if (remote_alive(s))
        return remote_forward(s, p, &in);
    hold_unlock(&s->held);
    return 0;
}

/* With what rights the program would open it, the shadow looks. */
static int answer_look(struct shadow *s, struct peer *p)
{
    const struct frame_look *look = (const void *)in.payload;
    struct frame_looked *looked = (void *)out.payload;
    struct stat st;
    struct statfs fs;
    (void)s, (void)p;
    if (frame_check_text(look->path, sizeof look->path))
        return -EBADMSG;
    if (look->path[0] != '/')
        return -EINVAL;
    if (stat(look->path, &st) || statfs(look->path, &fs) || access(look->path, R_OK | W_OK))
        return -errno;
    *looked = (struct frame_looked){.dev = st.st_dev,
                                    .inode = st.st_ino,
                                    .size = (uint64_t)st.st_size,
                                    .mtime = st.st_mtim.tv_sec,
                                    .mtime_nsec = st.st_mtim.tv_nsec,
                                    .file_system = (uint64_t)fs.f_type,
                                    .mode = st.st_mode};
    out.size = sizeof *looked;
    return 0;
}

/* --- remote calls --- */

static int answer_remote(struct shadow *s, struct peer *p)
{
    const struct frame_remote *whose = (const void *)in.payload;
    if (in.header.length && (in.header.length != sizeof *whose ||
                             frame_check_text(whose->directory, sizeof whose->directory)))
        return -EBADMSG;
    if (p->role == FRAME_STARTER)
        return s->adopter == p ? session_remote(s, p, &in) : -EPROTO;
    if (s->giver != p || !hold_complete(&s->offered))
        return -EPROTO;
    s->giver = NULL;
    return remote_start(s, p, &in, &s->offered);
}

/* Descriptors of the starter's take their place among the program's. */
static int answer_place(struct shadow *s, struct peer *p)
{
    const struct frame_place *place = (const void *)in.payload;
    if (s->adopter != p || place->count > FRAME_BATCH || place->count != in.fd_count)
        return -EPROTO;
    return remote_forward(s, p, &in);
}

static int answer_done(struct shadow *s, struct peer *p)
{
    return session_done(s, p, &in);
}

static int answer_forwarded(struct shadow *s, struct peer *p)
{
    return remote_forward(s, p, &in);
}

/* Even one that comes too late has no answer. */
static int answer_cancel(struct shadow *s, struct peer *p)
{
    remote_forward(s, p, &in);
    return SERVE_LATER;
}

static int answer_trace(struct shadow *s, struct peer *p)
{
    p->traces = true;
    remote_trace(s);
    return 0;
}

static int answer_quit(struct shadow *s, struct peer *p)
{
    return remote_end_for(s, p, &in);
}

static int answer_end(struct shadow *s, struct peer *p)
{
    (void)p;
    s->end = true;
    return 0;
}

#define BY(role) (1u << (role))
#define TOOL     BY(FRAME_TOOL)
#define PROGRAM  BY(FRAME_APPLICATION)
#define STARTER  BY(FRAME_STARTER)

static const struct {
    unsigned type, roles; /* roles 0: before FRAME_HELLO */
    size_t least, most;   /* bytes of payload */
    int (*answer)(struct shadow *s, struct peer *p);
} questions[] = {
    {FRAME_HELLO, 0, sizeof(struct frame_hello), sizeof(struct frame_hello), answer_hello},
    {FRAME_STATUS, TOOL | STARTER, 0, 0, answer_status},
    {FRAME_REQUEST, TOOL, sizeof(struct frame_request), sizeof(struct frame_request),
     answer_request},
    {FRAME_TAKE, PROGRAM, 0, 0, answer_take},
    {FRAME_OFFER, PROGRAM, sizeof(struct frame_offer), sizeof(struct frame_offer), answer_offer},
    {FRAME_TABLE, PROGRAM, 1, FRAME_MAX_PAYLOAD, answer_table},
    {FRAME_DESCRIPTORS, PROGRAM | STARTER, sizeof(struct frame_batch), sizeof(struct frame_batch),
     answer_descriptors},
    {FRAME_COMMIT, PROGRAM, 0, 0, answer_commit},
    {FRAME_REPORT, PROGRAM, sizeof(struct frame_report), sizeof(struct frame_report),
     answer_report},
    {FRAME_FETCH, STARTER, sizeof(struct frame_offer), sizeof(struct frame_offer), answer_fetch},
    {FRAME_ADOPT, STARTER, 0, 0, session_adopt},
    {FRAME_UNLOCK, PROGRAM | STARTER, 0, 0, answer_unlock},
    {FRAME_LOOK, STARTER, sizeof(struct frame_look), sizeof(struct frame_look), answer_look},
    {FRAME_DONE, PROGRAM | STARTER, 0, 0, answer_done},
    {FRAME_REMOTE, PROGRAM | STARTER, 0, sizeof(struct frame_remote), answer_remote},
    {FRAME_PLACE, STARTER, sizeof(struct frame_place), sizeof(struct frame_place), answer_place},
    {FRAME_CHANNEL, PROGRAM, sizeof(struct wire_channel), sizeof(struct wire_channel),
     answer_forwarded},
    {FRAME_CANCEL, PROGRAM, sizeof(struct wire_cancel), sizeof(struct wire_cancel), answer_cancel},
    {FRAME_RING, PROGRAM, sizeof(uint32_t), sizeof(uint32_t), answer_forwarded},
    {FRAME_LIST, PROGRAM, sizeof(uint64_t), sizeof(uint64_t), answer_forwarded},
    {FRAME_PIECE, PROGRAM | STARTER, sizeof(uint32_t), sizeof(uint32_t), answer_piece},
    {FRAME_RECALL, PROGRAM, 0, 0, answer_forwarded},
    {FRAME_QUIT, PROGRAM, 0, 0, answer_quit},
    {FRAME_TRACE, TOOL, 0, 0, answer_trace},
    {FRAME_END, TOOL | STARTER, 0, 0, answer_end},
};

static bool brings_descriptors(unsigned type)
{
    return type == FRAME_DESCRIPTORS || type == FRAME_REMOTE || type == FRAME_PLACE ||
           type == FRAME_CHANNEL || type == FRAME_RING;
}

/* The row that answers the frame in `in`, or -errno. */
static int find_question(const struct peer *p)
{
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        if (questions[i].type != in.header.type)
            continue;
        if (questions[i].roles && !(questions[i].roles & BY(p->role)))
            return -EACCES;
        if (in.header.length < questions[i].least || in.header.length > questions[i].most)
            return -EBADMSG;
        if (in.fd_count && !brings_descriptors(in.header.type))
            return -EBADF;
        return (int)i;
    }
    return -ENOTSUP;
}

static int reply(struct shadow *s, struct peer *p, int status)
{
    struct frame_header header;
    frame_header(&header, in.header.type | FRAME_REPLY, s->session, in.header.sequence, out.size);
    header.epoch = s->epoch;
    header.status = status;
    return message_send(p->fd, &header, out.payload, out.fds, out.fd_count, MSG_DONTWAIT);
}

static int reply_empty(struct shadow *s, struct peer *p, int status)
{
    out.size = 0;
    out.fds = NULL;
    out.fd_count = 0;
    return reply(s, p, status);
}

/* One message into `in`: 0, or the -errno that costs the connection. */
static int receive(struct shadow *s, struct peer *p)
{
    int error = message_receive(p->fd, &in, MSG_DONTWAIT);
    if (error && error != -EMFILE)
        return error;
    int order = frame_check_order(&in.header, s->session, ++p->sequence);
    if (!order && (in.header.channel || in.header.type & FRAME_REPLY))
        order = -EILSEQ; /* not of the door */
    return order ? order : error;
}

/* A tool need not know the session, only the program knows the epoch. */
static bool belongs(const struct shadow *s, const struct peer *p)
{
    if (p->role == FRAME_APPLICATION)
        return in.header.session == s->session && in.header.epoch == s->epoch;
    return p->role != FRAME_STARTER || in.header.session == s->session;
}

/* Answers the frame in `in`; -errno when the peer broke the protocol. */
static int answer(struct shadow *s, struct peer *p)
{
    int row = find_question(p);
    out.size = 0;
    out.fds = NULL;
    out.fd_count = 0;
    if (row < 0) {
        reply_empty(s, p, row);
        return row;
    }
    if (!belongs(s, p))
        return -ESTALE;
    int status = questions[row].answer(s, p);
    if (status == SERVE_LATER)
        return 0;
    if (status < 0)
        out.size = 0;
    int error = reply(s, p, status);
    return status == -EBADMSG || status == -EPROTO || status == -EACCES ? status : error;
}

void serve_peer(struct shadow *s, struct peer *p)
{
    int error = receive(s, p);
    if (error == -EAGAIN || error == -EINTR)
        return;
    if (error == -EMFILE) /* no fault of the peer's: it goes on, and can say why it stays */
        error = reply_empty(s, p, error);
    else if (!error)
        error = answer(s, p);
    message_close_descriptors(&in);
    if (error)
        peer_refuse(s, p, error);
}
