/*
 * remote.c - the shadow's side of the executor: starts it, passes frames on to it and its answers
 * back, ends it. See execute.h for what it is, shadow.h for who asks.
 *
 * A frame that is passed on keeps its sequence number; `channel` and `session` of its header name
 * the connection (slot and serial) that the answer is for. Nothing here blocks: the executor's main
 * thread always comes back to its door, and what it answers is small.
 */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shadow/execute.h"
#include "shadow/kept.h"
#include "shadow/message.h"

static struct frame in;

void remote_clear(struct remote *r)
{
    if (r->shared)
        munmap(r->shared, sizeof *r->shared);
    *r = (struct remote){.fd = -1, .pidfd = -1};
}

bool remote_alive(const struct shadow *s)
{
    return s->remote.fd >= 0 && !s->remote.ends;
}

/* What the executor counts is added to what the shadow does. */
void remote_status(const struct shadow *s, struct frame_status *status)
{
    const struct execute_shared *shared = s->remote.shared;
    if (!shared)
        return;
    status->remote = remote_alive(s);
    status->channels = shared->channels;
    status->held += s->remote.left.count;
    status->calls = shared->calls;
    status->lost_locks += shared->lost_locks;
    status->refused += shared->refused;
    if (shared->last_error)
        status->last_error = shared->last_error;
}

static struct peer *find_peer(struct shadow *s, const struct frame_header *h)
{
    struct peer *p = h->channel < SHADOW_PEERS ? &s->peers[h->channel] : NULL;
    return p && p->fd >= 0 && p->serial == h->session ? p : NULL;
}

/* --- the start --- */

static struct execute_shared *map_shared(void)
{
    void *at = mmap(NULL, sizeof(struct execute_shared), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* Forks; the child does not return. Its pidfd, or -errno. */
static int fork_executor(const struct execute_start *start)
{
    pid_t pid = fork();
    if (pid == 0)
        execute_main(start);
    int pidfd = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
    int error = -errno;
    if (pid > 0 && pidfd < 0)
        kill(pid, SIGKILL);
    return pidfd < 0 ? error : pidfd;
}

static void ask_later(struct shadow *s, struct peer *p, unsigned type, uint64_t sequence)
{
    s->remote.asker = p;
    s->remote.asker_type = type;
    s->remote.asker_sequence = sequence;
}

static void answer_asker(struct shadow *s, int status)
{
    struct remote *r = &s->remote;
    if (r->asker)
        peer_reply(s, r->asker, r->asker_type, r->asker_sequence, status, NULL, 0, NULL, 0);
    r->asker = NULL;
}

static void close_door(struct remote *r)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
}

/* One that was killed a moment ago has all but ended. */
void remote_await(struct shadow *s)
{
    struct pollfd polled = {s->remote.pidfd, POLLIN, 0};
    if (s->remote.pidfd < 0)
        return;
    poll(&polled, 1, 1000);
    remote_ended(s);
}

int remote_start(struct shadow *s, struct peer *p, const struct frame *f, struct hold *with)
{
    int pair[2];
    struct remote *r = &s->remote;
    if (remote_alive(s))
        return -EBUSY;
    remote_await(s);
    r->shared = map_shared();
    if (!r->shared || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        remote_clear(r);
        return -ENOMEM;
    }
    struct execute_start start = {.door = pair[1], .hold = with, .shared = r->shared};
    start.terminals = f->fds;
    start.terminal_count = f->fd_count;
    start.session = s->session;
    start.epoch = s->epoch;
    start.known = s->own;
    start.application = s->start.pid;
    session_limits(s);
    start.files = s->files;
    start.size = s->size;
    start.at_home = s->application >= 0;
    if (f->header.length == sizeof *start.whose) {
        start.whose = (const void *)f->payload;
        start.known = start.whose->known;
    }
    r->pidfd = fork_executor(&start);
    close(pair[1]);
    r->fd = pair[0];
    if (r->pidfd < 0) {
        int error = r->pidfd;
        close(r->fd);
        remote_clear(r);
        return error;
    }
    remote_trace(s);
    ask_later(s, p, FRAME_REMOTE, f->header.sequence);
    return SERVE_LATER;
}

/* --- frames pass --- */

int remote_forward(struct shadow *s, struct peer *p, const struct frame *f)
{
    struct frame_header h = f->header;
    if (!remote_alive(s))
        return -ENOENT;
    h.channel = (uint32_t)(p - s->peers);
    h.session = p->serial;
    h.status = 0;
    /* One that has no answer and does not get through is told again. */
    int flags = h.type == FRAME_CANCEL ? MSG_DONTWAIT : 0;
    int error = message_send(s->remote.fd, &h, f->payload, f->fds, f->fd_count, flags);
    if (!error && h.type != FRAME_CANCEL)
        p->asked = h.type;
    return error ? error : SERVE_LATER;
}

static int tell(struct shadow *s, unsigned type, int status, const void *payload, size_t size)
{
    struct frame_header h;
    frame_header(&h, type, 0, 0, size);
    h.channel = SHADOW_PEERS;
    h.status = status;
    return remote_alive(s) ? message_send(s->remote.fd, &h, payload, NULL, 0, 0) : -ENOENT;
}

int remote_adopted(struct shadow *s)
{
    struct frame_status now = {.pid = s->start.pid, .epoch = s->epoch};
    s->remote.left = (struct frame_offer){0};
    return tell(s, FRAME_START, 0, &now, sizeof now);
}

void remote_lock(struct shadow *s, bool take)
{
    tell(s, FRAME_UNLOCK, take, NULL, 0);
}

/* --- what the executor says --- */

static void ready(struct shadow *s)
{
    s->remote.ready = in.header.status == 0;
    if (in.header.status == 0 && s->state == SHADOW_HOME)
        hold_drop(&s->offered); /* the executor has them */
    answer_asker(s, in.header.status);
}

/* A program is told only how large the table is. */
static void listed(struct shadow *s, struct peer *p)
{
    struct frame_offer *offer = &s->remote.listed;
    bool made = in.header.status == 0 && in.header.length == sizeof *offer;
    bool whole = in.header.type == (FRAME_RECALL | FRAME_REPLY);
    if (made)
        memcpy(offer, in.payload, sizeof *offer);
    if (made && whole)
        s->remote.recaller = p;
    if (p)
        peer_reply(s, p, in.header.type & ~FRAME_REPLY, in.header.sequence, in.header.status,
                   whole ? (const void *)offer : &offer->table,
                   !made   ? 0
                   : whole ? sizeof *offer
                           : sizeof offer->table,
                   NULL, 0);
}

void remote_trace(struct shadow *s)
{
    uint32_t listeners = 0;
    for (int i = 0; i < SHADOW_PEERS; i++)
        listeners += s->peers[i].fd >= 0 && s->peers[i].traces;
    if (s->remote.shared)
        s->remote.shared->traced = listeners;
}

/* A tool that does not read misses records, and is told how many by the next one. */
static void traced(struct shadow *s)
{
    struct wire_traced *record = (void *)in.payload;
    uint32_t lost = record->lost;
    if (in.header.length < sizeof *record)
        return;
    for (int i = 0; i < SHADOW_PEERS; i++) {
        struct peer *p = &s->peers[i];
        if (p->fd < 0 || !p->traces)
            continue;
        record->lost = lost + p->lost;
        p->lost = peer_tell(s, p, FRAME_TRACED, record, in.header.length) ? record->lost + 1 : 0;
    }
}

static void pass_back(struct shadow *s)
{
    struct peer *p = find_peer(s, &in.header);
    unsigned type = in.header.type & ~FRAME_REPLY;
    if (s->remote.ends && type != FRAME_TRACED)
        return;
    if (p && in.header.sequence == p->sequence)
        p->asked = 0;
    if (type == in.header.type && kept_receive(s, &in))
        return;
    if (type == FRAME_TRACED)
        traced(s);
    else if (type == FRAME_REMOTE)
        ready(s);
    else if (type == FRAME_LIST || type == FRAME_RECALL)
        listed(s, p);
    else if (p)
        peer_reply(s, p, type, in.header.sequence, in.header.status, in.payload, in.header.length,
                   in.fds, in.fd_count);
}

void remote_serve(struct shadow *s)
{
    int error = message_receive(s->remote.fd, &in, MSG_DONTWAIT);
    if (error == -EAGAIN || error == -EINTR)
        return;
    if (error) { /* its end: the pidfd tells when it is complete */
        close_door(&s->remote);
        return;
    }
    pass_back(s);
    message_close_descriptors(&in);
}

/* --- the end --- */

static void answer_unanswered(struct shadow *s)
{
    for (struct peer *p = s->peers; p < s->peers + SHADOW_PEERS; p++) {
        if (p->fd >= 0 && p->asked)
            peer_reply(s, p, p->asked, p->sequence, -EIO, NULL, 0, NULL, 0);
        p->asked = 0;
    }
}

void remote_ended(struct shadow *s)
{
    struct remote *r = &s->remote;
    answer_unanswered(s);
    answer_asker(s, r->asker_type == FRAME_REMOTE ? -EIO : 0);
    close(r->pidfd);
    close_door(r);
    remote_clear(r);
}

/* No frame reaches it any more. The end of its door is the executor's, once it has done the writes
 * that the program did not wait for; remote_ended() follows. What it has told of the program's last
 * calls is still read. */
void remote_end(struct shadow *s)
{
    if (s->remote.pidfd < 0)
        return;
    if (s->remote.fd >= 0)
        shutdown(s->remote.fd, SHUT_WR);
    s->remote.ends = true;
}

int remote_end_for(struct shadow *s, struct peer *p, const struct frame *f)
{
    kept_drop(s);
    if (s->remote.pidfd < 0)
        return 0;
    ask_later(s, p, f->header.type, f->header.sequence);
    remote_end(s);
    return SERVE_LATER;
}
