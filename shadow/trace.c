/* trace.c - see trace.h. */
#include <string.h>
#include <time.h>

#include "shadow/message.h"
#include "shadow/trace.h"

/* A record with what was read and written, as far as it is shown. */
struct record {
    struct wire_traced traced;
    char bytes[2 * CALL_ARGS * WIRE_PATH_SAMPLE];
    size_t size;
};

static uint64_t now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void trace_begin(struct trace *t)
{
    t->began = executor.shared->traced ? now(CLOCK_REALTIME) : 0;
    t->clock = t->began ? now(CLOCK_MONOTONIC) : 0;
}

static uint32_t sample(const struct plan *p, int i, uint32_t size)
{
    uint32_t most = p->kinds[i].kind == ARG_PATH ? WIRE_PATH_SAMPLE : WIRE_SAMPLE;
    return size < most ? size : most;
}

static void add(struct record *r, const void *from, size_t size)
{
    memcpy(r->bytes + r->size, from, size);
    r->size += size;
}

static void add_ins(struct record *r, const struct plan *p)
{
    for (int i = 0; i < CALL_ARGS; i++) {
        r->traced.in[i] = sample(p, i, p->request.in[i]);
        add(r, p->in[i], r->traced.in[i]);
    }
}

/* What an argument got stands in one piece of the reply or, a message, in several. */
static void add_outs(struct record *r, const struct channel *c)
{
    const struct iovec *piece = c->pieces + 2;
    for (int i = 0; i < CALL_ARGS; i++) {
        uint32_t left = c->reply.out[i], wanted = sample(&c->plan, i, left);
        r->traced.out[i] = wanted;
        while (left) {
            uint32_t size = (uint32_t)piece->iov_len, part = size < wanted ? size : wanted;
            add(r, piece->iov_base, part);
            wanted -= part;
            left -= size;
            piece++;
        }
    }
}

void trace_end(const struct trace *t, const struct channel *c)
{
    static _Atomic uint32_t lost;
    struct frame_header h;
    struct record r;
    if (!t->began)
        return;
    r.size = 0;
    r.traced = (struct wire_traced){.began = t->began,
                                    .took = now(CLOCK_MONOTONIC) - t->clock,
                                    .channel = c->number,
                                    .request = c->plan.request,
                                    .reply = c->reply};
    if (!c->plan.refused)
        add_ins(&r, &c->plan);
    add_outs(&r, c);
    r.traced.lost = atomic_exchange(&lost, 0);
    frame_header(&h, FRAME_TRACED, 0, 0, sizeof r.traced + r.size);
    if (message_send(executor.door, &h, &r, NULL, 0, MSG_DONTWAIT))
        lost += r.traced.lost + 1;
}
