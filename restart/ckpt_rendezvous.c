/* ckpt_rendezvous.c - see ckpt_rendezvous.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "restart/ckpt.h"
#include "restart/ckpt_arch.h"
#include "restart/ckpt_rendezvous.h"
#include "restart/resume_arch.h"
#include "stubs/agent.h"
#include "stubs/entry.h"
#include "stubs/mem.h"
#include "stubs/raw.h"
#include "stubs/remote.h"

#define MILLISECOND 1000000ULL
#define LOOK        (2 * MILLISECOND)    /* how often to look for threads that have come or gone */
#define STALL       (50 * MILLISECOND)   /* nobody comes for so long: let all go */
#define PAUSE       (5 * MILLISECOND)    /* the first pause before the next attempt */
#define PATIENCE    (5000 * MILLISECOND) /* for all attempts together */
#define LOCK_PAUSE  (MILLISECOND / 10)   /* for a thread to leave a lock function ... */
#define LOCK_LIMIT  (200 * MILLISECOND)  /* ... for so long */
#define FULL        0x40000000u          /* beyond any slot: the gate is closed */
#define ALL         0x7fffffff
#define NAMED_MAX   4 /* threads that a refusal names */

static unsigned joined; /* slots taken, once the gate is closed */
static int main_ended;
static int32_t *called;       /* threads that have got the signal ... */
static unsigned called_count; /* ... in the order of /proc/self/task, more or less */
static uint64_t began,
    interval;            /* of the first attempt, and after the last; 0: none is under way */
static int32_t timer;    /* while one is: the timer that will raise the signal */
static uint64_t waiting; /* since when a thread is waited for to stand well; 0: none is */
static struct {          /* the main thread at the first attempt */
    uint64_t switches, counter;
} first;

/* --- what /proc says --- */

/* Its threads, those counted that are about to vanish, and a main thread that has ended. */
static unsigned thread_count(void)
{
    struct stat st;
    long result = raw(SYS_newfstatat, -100, "/proc/self/task", &st, 0);
    return result < 0 ? 0 : (unsigned)st.st_nlink - 2;
}

static void thread_path(char *to, size_t size, int32_t tid, const char *file)
{
    struct text t = {to, size, 0};
    text_add(&t, "/proc/self/task/");
    text_number(&t, tid);
    text_add(&t, file);
}

/* R, S, D ...; X when it has gone. */
static char state_of(int32_t tid)
{
    char path[64], text[128];
    thread_path(path, sizeof path, tid, "/stat");
    long n = text_file(path, text, sizeof text);
    for (long i = n - 1; i >= 0; i--)
        if (text[i] == ')' && i + 2 < n)
            return text[i + 2];
    return 'X';
}

static int has_ended(char state)
{
    return state == 'Z' || state == 'X';
}

/* Would the program be given the signal, as the result of sigwait? Its mask does not say so: the
 * kernel unblocks, for as long as a thread waits, what it waits for. */
static int awaits_signal(int32_t tid)
{
    char path[64], text[256];
    thread_path(path, sizeof path, tid, "/syscall"); /* "128 0x7ffe..." */
    long n = text_file(path, text, sizeof text);
    const char *at = text;
    uint64_t set;
    if (n <= 0 || text_parse(&at, 10) != SYS_rt_sigtimedwait || strncmp(at, " 0x", 3) != 0)
        return 0;
    at += 3;
    return !remote_read(&set, (const void *)text_parse(&at, 16), sizeof set) &&
           set >> (hijack_params.signal - 1) & 1;
}

/* --- calling --- */

/* The threads come in the order of the last time: look there first. */
static int is_called(int32_t tid, unsigned *cursor)
{
    if (*cursor < called_count && called[*cursor] == tid)
        return ++*cursor, 1;
    for (unsigned i = 0; i < called_count; i++)
        if (called[i] == tid)
            return *cursor = i + 1, 1;
    return 0;
}

static long call(int32_t tid)
{
    siginfo_t info = {.si_signo = hijack_params.signal, .si_code = SI_QUEUE};
    info.si_pid = hijack_params.pid;
    info.si_value = handler_mark();
    return raw(SYS_rt_tgsigqueueinfo, hijack_params.pid, tid, hijack_params.signal, &info);
}

/* One that cannot be called now (the queue of signals is full, it is ending) is looked at again.
 * One that must not be called does not come. */
static void call_new(int32_t tid, unsigned *cursor)
{
    if (tid == handler_leader.tid || is_called(tid, cursor) || called_count == handler_limit)
        return;
    if (tid == hijack_params.pid && has_ended(state_of(tid)))
        main_ended = 1;
    else if (awaits_signal(tid) || call(tid) == 0)
        called[called_count++] = tid;
}

struct entry { /* getdents64(2) */
    uint64_t inode, offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

static long call_all(void)
{
    static char entries[32768] __attribute__((aligned(8)));
    unsigned cursor = 0;
    long fd = raw(SYS_openat, -100, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n;
    if (fd < 0)
        return ckpt_fail(fd, "cannot list", "/proc/self/task");
    while ((n = raw(SYS_getdents64, fd, entries, sizeof entries)) > 0)
        for (long at = 0; at < n; at += ((struct entry *)(entries + at))->length) {
            const char *name = ((struct entry *)(entries + at))->name;
            if (*name >= '0' && *name <= '9')
                call_new((int32_t)text_parse(&name, 10), &cursor);
        }
    raw(SYS_close, fd);
    return n;
}

/* --- waiting --- */

static unsigned arrived(void)
{
    return (unsigned)__atomic_load_n(&handler_arrived, __ATOMIC_ACQUIRE);
}

static int all_here(void)
{
    return arrived() + 1 + (unsigned)main_ended == thread_count();
}

/* Until so many have come, or for a moment. */
static void wait_for(int *counter, unsigned expected)
{
    uint64_t end = handler_time() + LOOK, now;
    __atomic_store_n(&handler_expected, (int)expected, __ATOMIC_RELEASE);
    int n;
    while ((unsigned)(n = __atomic_load_n(counter, __ATOMIC_ACQUIRE)) < expected &&
           (now = handler_time()) < end)
        handler_wait(counter, n, end - now);
}

static int has_come(int32_t tid)
{
    unsigned taken = __atomic_load_n(&handler_next, __ATOMIC_ACQUIRE);
    for (unsigned i = 0; i < taken && i < handler_limit; i++)
        if (__atomic_load_n(&handler_slot(i)->tid, __ATOMIC_ACQUIRE) == tid)
            return 1;
    return 0;
}

/* Is there somebody to wait for who is about to come: who runs, and does not sleep? */
static int somebody_runs(void)
{
    for (unsigned i = 0; i < called_count; i++)
        if (!has_come(called[i]) && state_of(called[i]) == 'R')
            return 1;
    return 0;
}

/* 0, or -EAGAIN when they do not come. */
static long gather(void)
{
    uint64_t progress = handler_time();
    for (unsigned seen = 0;;) {
        long result = call_all();
        if (result < 0)
            return result;
        wait_for(&handler_arrived, called_count);
        if (all_here())
            return 0;
        uint64_t now = handler_time();
        if (seen != arrived())
            seen = arrived(), progress = now;
        else if (now - began > PATIENCE || (now - progress > STALL && !somebody_runs()))
            return -EAGAIN;
    }
}

/* --- the gate --- */

static size_t pages(size_t bytes)
{
    return (bytes + IMAGE_PAGE - 1) & ~(IMAGE_PAGE - 1);
}

/* A forked child that was made while the gate was open has no use for the slots. */
static long map_slots(unsigned threads)
{
    unsigned limit = threads + threads / 2 + 32;
    size_t table = pages(limit * sizeof *called);
    size_t size = table + ((size_t)(limit + 1) << HANDLER_SLOT_SHIFT);
    long at = raw(SYS_mmap, 0, size, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw_failed(at))
        return ckpt_fail(at, "no memory for the stacks of a checkpoint's threads", "");
    raw(SYS_madvise, at, size, MADV_DONTFORK);
    raw(SYS_madvise, at, size, MADV_NOHUGEPAGE);
    handler_region = (uintptr_t)at, handler_region_size = size;
    called = (void *)at;
    handler_slots = (unsigned char *)at + table;
    handler_limit = limit;
    return 0;
}

static void set_phase(int phase)
{
    __atomic_store_n(&handler_phase, phase, __ATOMIC_SEQ_CST);
    handler_wake(&handler_phase, ALL);
}

static long open_gate(void)
{
    long result = map_slots(thread_count());
    if (result)
        return result;
    called_count = 0;
    handler_arrived = handler_done = 0;
    __atomic_store_n(&handler_expected, ALL, __ATOMIC_RELEASE);
    __atomic_store_n(&handler_round, HANDLER_WAIT, __ATOMIC_RELEASE);
    __atomic_store_n(&handler_next, 0, __ATOMIC_RELEASE);
    set_phase(HANDLER_GATHERING);
    return 0;
}

/* Who has a slot by now will leave by handler_inside; nobody gets one any more. */
static void close_gate(void)
{
    joined = __atomic_fetch_add(&handler_next, FULL, __ATOMIC_ACQ_REL);
    joined = joined < handler_limit ? joined : handler_limit;
    handler_inside = (int)joined + 1;
    set_phase(HANDLER_CLOSED);
}

static void next_round(int round)
{
    __atomic_store_n(&handler_round, round, __ATOMIC_RELEASE);
    handler_wake(&handler_round, ALL);
}

/* --- trying again, and giving up --- */

/* The timer belongs to the program for as long as it runs: it must be gone before its timers are
 * listed. */
static void end_pause(void)
{
    if (began)
        raw(SYS_timer_delete, timer);
}

/* Will it? */
static int try_again(uint64_t pause)
{
    struct sigevent event = {.sigev_signo = hijack_params.signal, .sigev_notify = SIGEV_SIGNAL};
    event.sigev_value = handler_mark();
    if (raw(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer))
        return 0;
    const struct itimerspec in = {
        .it_value = {(time_t)(pause / 1000000000), (long)(pause % 1000000000)}};
    if (!raw(SYS_timer_settime, timer, 0, &in, NULL))
        return 1;
    raw(SYS_timer_delete, timer);
    return 0;
}

static int blocks_signal(int32_t tid)
{
    char path[64], text[2048];
    thread_path(path, sizeof path, tid, "/status");
    long n = text_file(path, text, sizeof text);
    for (long i = 0; i + 8 < n; i++)
        if (strncmp(text + i, "\nSigBlk:", 8) == 0) {
            const char *mask = text_skip(text + i + 1, 1);
            return text_parse(&mask, 16) >> (hijack_params.signal - 1) & 1;
        }
    return 0;
}

/* "thread 123 (worker): it blocks signal 63" */
static void name_thread(int32_t tid, char state)
{
    char path[64], comm[32];
    thread_path(path, sizeof path, tid, "/comm");
    long n = text_file(path, comm, sizeof comm);
    comm[n > 0 ? n - 1 : 0] = '\0';
    text_add(&ckpt_why, " thread ");
    text_number(&ckpt_why, tid);
    text_add(&ckpt_why, " (");
    text_add(&ckpt_why, comm);
    text_add(&ckpt_why, ") ");
    if (state == 'D')
        text_add(&ckpt_why, "waits in the kernel where it cannot be interrupted;");
    else if (state == 'T' || state == 't')
        text_add(&ckpt_why, "is stopped;");
    else if (awaits_signal(tid))
        text_add(&ckpt_why, "waits for the checkpoint signal (sigwait);");
    else
        text_add(&ckpt_why, blocks_signal(tid) ? "blocks the checkpoint signal;" : "does not run;");
}

static long refuse(void)
{
    unsigned named = 0;
    text_add(&ckpt_why, "not all threads could be brought to stand still:");
    for (unsigned i = 0; i < called_count && named < NAMED_MAX; i++) {
        char state = has_come(called[i]) ? 'X' : state_of(called[i]);
        if (!has_ended(state))
            name_thread(called[i], state), named++;
    }
    text_add(&ckpt_why, named ? " nothing was done"
                              : " threads come and go too fast, or /proc is of another pid "
                                "namespace; nothing was done");
    return -EBUSY;
}

/* --- the rendezvous --- */

static long meet(void)
{
    long result = open_gate();
    if (result)
        return result;
    result = gather();
    close_gate();
    if (!result && main_ended)
        return ckpt_refused(CKPT_ROW_main_thread, "");
    if (result != -EAGAIN)
        return result;
    if (handler_time() - began > PATIENCE || !try_again(interval))
        return refuse();
    interval *= 2;
    return -EAGAIN;
}

/* Has a thread begun to take or give a lock, and is in no call, to wait for it or whatever a
 * function nearby does? Or is it about to continue a call that only this kernel knows? */
static int stands_badly(const struct handler_thread *t)
{
    const uint64_t counter = ckpt_arch_counter(t->frame);
    return t->kind == REISSUE_LEAVING || entry_is_lock_stub(counter) ||
           (entry_is_lock(counter) && !resume_arch_is_in_call(t->frame));
}

int rendezvous_stands_badly(void)
{
    for (unsigned i = 0; i < rendezvous_count(); i++)
        if (stands_badly(rendezvous_thread(i)))
            return 1;
    return 0;
}

static long wait_for_place(void)
{
    const uint64_t now = handler_time();
    if (!rendezvous_stands_badly())
        return 0;
    waiting = waiting ? waiting : now;
    return now - waiting <= LOCK_LIMIT && try_again(LOCK_PAUSE) ? -EAGAIN : 0;
}

static struct handler_thread *main_thread(void)
{
    for (unsigned i = 0; i < rendezvous_count(); i++)
        if (rendezvous_thread(i)->tid == hijack_params.pid)
            return rendezvous_thread(i);
    return NULL;
}

static void note_first(void)
{
    const struct handler_thread *t = main_thread();
    if (t && !first.counter) {
        first.switches = t->switches;
        first.counter = ckpt_arch_counter(t->frame);
    }
}

struct handler_thread *rendezvous_waits_since(uint64_t switches)
{
    struct handler_thread *t = main_thread();
    bool still = t && ckpt_arch_counter(t->frame) == first.counter && first.switches == switches;
    return t && (still || t->switches == switches) ? t : NULL;
}

long rendezvous(const siginfo_t *info)
{
    joined = 0, main_ended = 0;
    if (handler_has_mark(info) && !began)
        return -EAGAIN; /* of a timer that has gone */
    end_pause();
    if (!began) {
        began = handler_time(), interval = PAUSE, waiting = 0;
        first.counter = 0;
    }
    long result = thread_count() == 1 ? 0 : meet();
    note_first();
    if (!result)
        result = wait_for_place();
    if (result != -EAGAIN)
        began = 0;
    return result;
}

void rendezvous_collect(void)
{
    next_round(HANDLER_COLLECT);
    while ((unsigned)__atomic_load_n(&handler_done, __ATOMIC_ACQUIRE) < joined)
        wait_for(&handler_done, joined);
    handler_collect(&handler_leader);
}

void rendezvous_end(void)
{
    handler_inside = (int)joined + 1;
    next_round(HANDLER_LEAVE);
}

unsigned rendezvous_count(void)
{
    return joined + 1;
}

struct handler_thread *rendezvous_thread(unsigned i)
{
    return i ? handler_slot(i - 1) : &handler_leader;
}
