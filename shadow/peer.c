/* peer.c - connections of the shadow's peers: who is let in, what is said to them, their end. See
 * shadow.h. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shadow/message.h"

/* --- frames to them --- */

int peer_tell(struct shadow *s, struct peer *p, unsigned type, const void *payload, size_t size)
{
    struct frame_header header;
    if (!p || p->fd < 0)
        return -EPIPE;
    frame_header(&header, type, s->session, p->sequence, size);
    header.epoch = s->epoch;
    /* A peer that does not read it has itself to blame. */
    return message_send(p->fd, &header, payload, NULL, 0, MSG_DONTWAIT);
}

void peer_reply(struct shadow *s, struct peer *p, unsigned type, uint64_t sequence, int status,
                const void *payload, size_t size, const int *fds, uint32_t fd_count)
{
    struct frame_header header;
    frame_header(&header, type | FRAME_REPLY, s->session, sequence, size);
    header.epoch = s->epoch;
    header.status = status;
    message_send(p->fd, &header, payload, fds, fd_count, MSG_DONTWAIT);
}

/* --- the end --- */

void peer_drop(struct shadow *s, struct peer *p)
{
    session_peer_gone(s, p);
    close(p->fd);
    *p = (struct peer){.fd = -1};
    remote_trace(s);
}

/* A connection that ends is no offence; anything else is told to whoever looks (FRAME_STATUS). */
void peer_refuse(struct shadow *s, struct peer *p, int error)
{
    if (error != -EPIPE && error != -ECONNRESET) {
        s->refused++;
        s->last_error = error;
    }
    peer_drop(s, p);
}

/* --- the beginning --- */

static struct peer *free_slot(struct shadow *s, pid_t pid)
{
    struct peer *found = NULL;
    int left = s->application >= 0 && pid != s->start.pid ? -SHADOW_KEPT : 0;
    for (int i = 0; i < SHADOW_PEERS; i++)
        if (s->peers[i].fd < 0) {
            found = found ? found : &s->peers[i];
            left++;
        }
    return left > 0 ? found : NULL;
}

/* In place of the oldest connection that has not said who it is. */
static struct peer *make_slot(struct shadow *s)
{
    struct peer *oldest = NULL;
    for (struct peer *p = s->peers; p < s->peers + SHADOW_PEERS; p++)
        if (p->fd >= 0 && !p->role && (!oldest || p->serial < oldest->serial))
            oldest = p;
    if (oldest)
        peer_refuse(s, oldest, -EUSERS);
    return oldest;
}

/* Our own user, root, or the application even if it has changed its user since. */
static bool welcome(const struct shadow *s, const struct ucred *peer)
{
    return peer->uid == geteuid() || peer->uid == 0 ||
           (s->application >= 0 && peer->pid == s->start.pid);
}

void peer_accept(struct shadow *s)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    bool welcomed = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && welcome(s, &peer);
    struct peer *slot = welcomed ? free_slot(s, peer.pid) : NULL;
    if (welcomed && !slot)
        slot = make_slot(s);
    if (!slot) {
        s->refused++;
        s->last_error = welcomed ? -EUSERS : -EACCES;
        close(fd);
        return;
    }
    *slot = (struct peer){.fd = fd, .pid = peer.pid, .serial = ++s->serial};
}
