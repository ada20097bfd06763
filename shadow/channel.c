/*
 * channel.c - one thread of the program and its worker: requests come over a stream, each is
 * executed once, the reply to the last is kept. See execute.h and stubs/wire.h.
 */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shadow/execute.h"
#include "shadow/trace.h"
#include "execute_arch.h"

#define REQUEST_SIZE (sizeof(struct frame_header) + WIRE_MAX_PAYLOAD)
#define ARENA_AT     ((REQUEST_SIZE + 4095) & ~(size_t)4095)
#define MAPPED       (ARENA_AT + DECODE_ARENA)
#define STACK        65536
#define LARGE        32768 /* bytes: more is given back when it is idle, or a call is small */
#define IDLE_MS      50    /* is idle */
#define QUICK        4     /* requests that came within EXECUTOR_SPIN_NS before it does so */
#define VAIN         4096  /* at most, after spinning in vain */
#define MOST         4096  /* channels */
#define BLOCK_ROUNDS 100
#define CANCEL       32 /* signal; glibc keeps it for itself, so no program can name it */

/* --- cancellation (arch/ARCH/execute_call.S) --- */

extern const char execute_call_begin[], execute_call_end[], execute_call_canceled[];
void execute_sigreturn(void);

/* As the kernel has it; glibc's sigaction() refuses signal 32. */
struct kernel_action {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

/* The thread's channel's `blocked`, or the main thread's. */
static _Thread_local _Atomic uint64_t *own_blocked = &executor.main_blocked;

/* A return from the handler puts its frame's mask in force. */
static void block_more(ucontext_t *u)
{
    uint64_t mask, more = executor.blocked;
    memcpy(&mask, &u->uc_sigmask, sizeof mask);
    mask |= more;
    memcpy(&u->uc_sigmask, &mask, sizeof mask);
    *own_blocked = more;
}

static void on_cancel(int signal_number, siginfo_t *info, void *context)
{
    uintptr_t pc = execute_pc(context);
    (void)signal_number, (void)info;
    block_more(context);
    if (pc >= (uintptr_t)execute_call_begin && pc < (uintptr_t)execute_call_end)
        execute_set_pc(context, (uintptr_t)execute_call_canceled);
}

static int unblock_cancel(void)
{
    uint64_t set = 1ULL << (CANCEL - 1);
    return syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, NULL, sizeof set) < 0 ? -errno : 0;
}

int channel_prepare(void)
{
    struct kernel_action action = {on_cancel, SA_SIGINFO | 0x04000000 /* SA_RESTORER */,
                                   execute_sigreturn, 0};
    if (syscall(SYS_rt_sigaction, CANCEL, &action, NULL, sizeof action.mask) < 0)
        return -errno;
    return unblock_cancel();
}

bool channel_rouse(int *timer)
{
    const struct itimerspec often = {{0, 1000000}, {0, 1000000}};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = CANCEL};
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, timer) < 0)
        return false;
    return syscall(SYS_timer_settime, *timer, 0, &often, NULL) == 0;
}

void channel_calm(int timer)
{
    syscall(SYS_timer_delete, timer);
}

/* Interrupts a thread so that its mask changes, and waits for that. What it waits in goes on. */
static void block_in(struct executor *x, _Atomic uint64_t *blocked, pid_t tid)
{
    if (tid == syscall(SYS_gettid) || *blocked == x->blocked)
        return;
    syscall(SYS_tgkill, x->pid, tid, CANCEL);
    for (int i = 0; *blocked != x->blocked && i < BLOCK_ROUNDS; i++)
        poll(NULL, 0, i > 10); /* longer only for a thread that no signal reaches, as one of a dead
                                  file server */
}

void channel_block(struct executor *x, uint64_t signals)
{
    pthread_mutex_lock(&x->list);
    x->blocked |= signals;
    block_in(x, &x->main_blocked, x->pid);
    for (struct channel *c = x->channels; c; c = c->next_channel)
        block_in(x, &c->blocked, c->tid);
    pthread_mutex_unlock(&x->list);
    syscall(SYS_tgkill, x->pid, syscall(SYS_gettid), CANCEL);
}

void channel_cancel(struct executor *x, const struct wire_cancel *cancel)
{
    struct channel *c = x->channels;
    while (c && c->number != cancel->channel)
        c = c->next_channel;
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    if (cancel->sequence > c->canceled)
        c->canceled = cancel->sequence;
    if (c->running && c->running == cancel->sequence) {
        c->cancel = 1;
        syscall(SYS_tgkill, x->pid, c->tid, CANCEL);
    }
    pthread_mutex_unlock(&c->lock);
}

/* --- the stream --- */

/* The next stream when this one has ended: waits for it. False: the channel ends. */
static bool change_stream(struct channel *c)
{
    int old = c->stream;
    pthread_mutex_lock(&c->lock);
    c->stream = -1;
    if (old >= 0)
        close(old);
    while (c->replacement < 0 && !c->end)
        pthread_cond_wait(&c->changed, &c->lock);
    if (c->end && c->replacement >= 0) { /* one that came, and was never looked at */
        close(c->replacement);
        c->replacement = -1;
    }
    c->stream = c->replacement;
    c->replacement = -1;
    pthread_mutex_unlock(&c->lock);
    c->have = 0; /* bytes of a frame that was cut */
    return c->stream >= 0;
}

static ssize_t receive_some(struct channel *c, int flags)
{
    ssize_t got = recv(c->stream, c->request + c->have, REQUEST_SIZE - c->have, flags);
    return got < 0 ? -errno : got ? got : -EPIPE;
}

/* A program that makes one call after the other sends the next one within microseconds; two
 * wake-ups across processors would cost ten times that. */
static ssize_t receive_spinning(struct channel *c)
{
    uint64_t end = executor_now() + EXECUTOR_SPIN_NS;
    ssize_t got;
    while ((got = receive_some(c, MSG_DONTWAIT)) == -EAGAIN && executor_now() < end)
        ;
    if (got > 0 && c->patience > QUICK)
        c->patience--;
    else if (got == -EAGAIN) { /* in vain, as always where both share one processor */
        c->quick = 0;
        c->patience = c->patience < VAIN ? 2 * c->patience : VAIN;
    }
    return got;
}

/* Not between large requests that come one after the other. */
static void give_back_memory(struct channel *c)
{
    struct pollfd polled = {c->stream, POLLIN, 0};
    if (!c->request_large || c->have || poll(&polled, 1, IDLE_MS) != 0)
        return;
    madvise(c->request, ARENA_AT, MADV_DONTNEED);
    c->request_large = false;
}

/* Waits for bytes; learns whether they come soon, so that it may be worth to spin. */
static ssize_t receive_waiting(struct channel *c)
{
    uint64_t begin = executor_now();
    give_back_memory(c);
    ssize_t got = receive_some(c, 0);
    if (got > 0)
        c->quick = executor_now() - begin < EXECUTOR_SPIN_NS ? c->quick + 1 : 0;
    return got;
}

static int receive_more(struct channel *c)
{
    ssize_t got = -EAGAIN;
    if (c->quick >= c->patience)
        got = receive_spinning(c);
    if (got == -EAGAIN)
        got = receive_waiting(c);
    if (got == -EINTR || got == -EAGAIN)
        return 0;
    if (got > 0)
        c->have += (size_t)got;
    return got < 0 ? (int)got : 0;
}

/* The next whole frame at the beginning of the buffer: its size, or -errno. */
static ssize_t receive_frame(struct channel *c)
{
    struct frame_header *h = (void *)c->request;
    for (;;) {
        int error = c->have < sizeof *h ? 0 : wire_check(h);
        if (error)
            return error;
        if (c->have >= sizeof *h && c->have >= sizeof *h + h->length)
            return (ssize_t)(sizeof *h + h->length);
        error = receive_more(c);
        if (error)
            return error;
    }
}

static void advance(struct iovec **pieces, int *count, size_t size)
{
    while (*count && size >= (*pieces)->iov_len) {
        size -= (*pieces)->iov_len;
        ++*pieces;
        --*count;
    }
    if (*count) {
        (*pieces)->iov_base = (char *)(*pieces)->iov_base + size;
        (*pieces)->iov_len -= size;
    }
}

/* Sends the kept reply. A stream that broke is no error of ours: it ends at the next receive. */
static void send_reply(struct channel *c)
{
    struct iovec copy[DECODE_PIECES], *pieces = copy;
    int count = c->piece_count;
    memcpy(copy, c->pieces, sizeof copy);
    while (count) {
        struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
        ssize_t sent = sendmsg(c->stream, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            return;
        advance(&pieces, &count, sent < 0 ? 0 : (size_t)sent);
    }
}

/* --- requests --- */

static void begin_call(struct channel *c, uint64_t sequence)
{
    pthread_mutex_lock(&c->lock);
    c->running = sequence;
    c->cancel = c->end || c->canceled == sequence;
    pthread_mutex_unlock(&c->lock);
}

static void end_call(struct channel *c)
{
    pthread_mutex_lock(&c->lock);
    c->running = 0;
    pthread_mutex_unlock(&c->lock);
}

static void prepare_arena(struct channel *c)
{
    decode_lay(&c->plan, c->request + ARENA_AT);
    if (c->arena_large && c->plan.used <= LARGE)
        madvise(c->request + ARENA_AT + LARGE, DECODE_ARENA - LARGE, MADV_DONTNEED);
    c->arena_large = c->plan.used > LARGE;
}

static void keep_reply(struct channel *c, int64_t result, uint32_t flags, uint64_t sequence)
{
    size_t size = sizeof c->reply;
    c->piece_count = 2 + decode_reply(&c->plan, result, &c->reply, c->pieces + 2);
    c->reply.flags = flags;
    c->pieces[0] = (struct iovec){&c->header, sizeof c->header};
    c->pieces[1] = (struct iovec){&c->reply, sizeof c->reply};
    for (int i = 2; i < c->piece_count; i++)
        size += c->pieces[i].iov_len;
    frame_header(&c->header, FRAME_CALL | FRAME_REPLY, executor.start.session, sequence, size);
    c->header.epoch = executor.epoch;
    c->header.channel = c->number;
    c->last = sequence;
}

static int execute(struct channel *c, const struct frame_header *h)
{
    uint32_t flags = 0;
    struct trace trace;
    int error = decode_check(&c->plan, c->request + sizeof *h, h->length);
    if (error)
        return error;
    int64_t result = c->plan.refused;
    trace_begin(&trace);
    if (!result) {
        prepare_arena(c);
        ring_drain();
        begin_call(c, h->sequence);
        result = call_execute(c, &flags);
        end_call(c);
    }
    keep_reply(c, result, flags, h->sequence);
    trace_end(&trace, c);
    executor.shared->calls++;
    return 0;
}

static int check_order(const struct channel *c, const struct frame_header *h)
{
    if (h->type != FRAME_CALL)
        return -ENOTSUP;
    if (h->session != executor.start.session || h->epoch != executor.epoch)
        return -ESTALE;
    if (h->channel != c->number)
        return -EILSEQ;
    return h->sequence == c->last + 1 || (h->sequence == c->last && c->piece_count) ? 0 : -EILSEQ;
}

/* One request. -errno costs the connection. */
static int serve(struct channel *c)
{
    ssize_t size = receive_frame(c);
    struct frame_header h;
    if (size < 0)
        return (int)size;
    memcpy(&h, c->request, sizeof h);
    int error = check_order(c, &h);
    if (!error && h.sequence != c->last)
        error = execute(c, &h);
    if (error)
        return error;
    c->request_large |= size > LARGE;
    c->have -= (size_t)size;
    memmove(c->request, c->request + size, c->have);
    /* A new stream while the call was blocked: the request comes again on that one. */
    if (c->replacement >= 0)
        return -EPIPE;
    send_reply(c);
    return 0;
}

/* Anything but the end of the stream is an offence, and told to whoever looks at the shadow. */
static void note_error(int error)
{
    if (error == -EPIPE || error == -ECONNRESET)
        return;
    executor.shared->refused++;
    executor.shared->last_error = error;
}

static void *work(void *argument)
{
    struct channel *c = argument;
    own_blocked = &c->blocked;
    c->tid = (pid_t)syscall(SYS_gettid);
    unblock_cancel();
    syscall(SYS_tgkill, executor.pid, c->tid, CANCEL); /* for its mask */
    while (change_stream(c)) {
        int error;
        while ((error = serve(c)) == 0)
            ;
        note_error(error);
    }
    return NULL;
}

/* --- channels come and go --- */

static void free_channel(struct channel *c)
{
    if (c->request && c->request != MAP_FAILED)
        munmap(c->request, MAPPED);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->changed);
    free(c);
}

static int start_thread(struct channel *c)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    int error = pthread_create(&c->thread, &attributes, work, c);
    pthread_attr_destroy(&attributes);
    return -error;
}

static struct channel *new_channel(struct executor *x, const struct wire_channel *wire, int *error)
{
    struct channel *c = calloc(1, sizeof *c);
    *error = -ENOMEM;
    if (!c)
        return NULL;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    c->number = wire->channel;
    c->patience = QUICK;
    c->stream = -1;
    c->replacement = -1;
    c->last = wire->sequence - 1;
    c->request = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *error = c->request == MAP_FAILED ? -ENOMEM : start_thread(c);
    if (*error) {
        free_channel(c);
        return NULL;
    }
    pthread_mutex_lock(&x->list);
    c->next_channel = x->channels;
    x->channels = c;
    pthread_mutex_unlock(&x->list);
    x->shared->channels++;
    return c;
}

static struct channel **find_channel(struct executor *x, uint32_t number)
{
    struct channel **at = &x->channels;
    while (*at && (*at)->number != number)
        at = &(*at)->next_channel;
    return at;
}

/* The worker may wait for bytes of the old stream: shutting that down wakes it. */
static void replace_stream(struct channel *c, int stream)
{
    pthread_mutex_lock(&c->lock);
    if (c->replacement >= 0)
        close(c->replacement);
    c->replacement = stream;
    if (c->stream >= 0)
        shutdown(c->stream, SHUT_RDWR);
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

/* The program sends the request that was being executed again, or the one after it. */
static int check_sequence(struct channel *c, uint64_t sequence)
{
    pthread_mutex_lock(&c->lock);
    uint64_t last = c->running ? c->running : c->last;
    pthread_mutex_unlock(&c->lock);
    return sequence == last || sequence == last + 1 ? 0 : -EILSEQ;
}

int channel_attach(struct executor *x, const struct wire_channel *wire, int stream)
{
    struct channel *c = *find_channel(x, wire->channel);
    int error = wire->channel && wire->sequence ? 0 : -EBADMSG;
    if (!error && c)
        error = check_sequence(c, wire->sequence);
    else if (!error && x->shared->channels >= MOST)
        error = -EAGAIN;
    else if (!error)
        c = new_channel(x, wire, &error);
    if (error)
        close(stream);
    else
        replace_stream(c, stream);
    return error;
}

int channel_end(struct executor *x, uint32_t number)
{
    struct channel **at = find_channel(x, number), *c = *at;
    if (!c)
        return -ENOENT;
    pthread_mutex_lock(&c->lock);
    c->end = true;
    uint64_t running = c->running;
    if (c->stream >= 0)
        shutdown(c->stream, SHUT_RDWR);
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
    channel_cancel(x, &(struct wire_cancel){.channel = number, .sequence = running});
    pthread_join(c->thread, NULL);
    pthread_mutex_lock(&x->list);
    *at = c->next_channel;
    pthread_mutex_unlock(&x->list);
    x->shared->channels--;
    free_channel(c);
    return 0;
}
