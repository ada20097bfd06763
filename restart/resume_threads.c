/* resume_threads.c - see resume_threads.h. */
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/rseq.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/uio.h>

#include "restart/ckpt_arch.h"
#include "restart/ckpt_rendezvous.h"
#include "restart/resume.h"
#include "restart/resume_arch.h"
#include "restart/resume_threads.h"
#include "stubs/agent.h"
#include "stubs/entry.h"
#include "stubs/mem.h"
#include "stubs/net.h"
#include "stubs/owners.h"
#include "stubs/owners_look.h"
#include "stubs/raw.h"
#include "stubs/remote.h"
#include "stubs/thread.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

#define FLAGS      (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)
#define ROBUST_MAX 4096 /* more than the kernel itself looks at (ROBUST_LIST_LIMIT) */
#define FAILED     3

#define WAITER_STACK    512
#define CONDITION_STACK 1024
#define CONDITION       48 /* bytes of a pthread_cond_t, glibc's and musl's */

static const struct image_process *const p = &resume_process;
static uint32_t keep_ids, capabilities[6]; /* of the handover */
static int placed;                         /* each new thread may know who it is */

static struct image_thread *thread(unsigned i)
{
    return resume_state(rendezvous_thread(i));
}

/* --- thread ids --- */

int resume_peek(uint64_t address, void *to, size_t size)
{
    struct iovec here = {to, size}, there = {(void *)address, size};
    return raw(SYS_process_vm_readv, raw(SYS_getpid), &here, 1, &there, 1, 0) == (long)size;
}

/* As owners_change(), of a word that may not be there. */
static int change_id(uint64_t address, int32_t then, int32_t now)
{
    uint32_t word;
    return resume_peek(address, &word, sizeof word) && owners_change(address, then, now);
}

/* A mutex of the robust list: its lock word, and glibc's __owner two words behind. */
static void change_owner(uint64_t entry, int64_t offset, const struct image_thread *t)
{
    uint64_t lock = (entry & ~1ULL) + (uint64_t)offset; /* bit 0: a priority inheriting one */
    if (change_id(lock, t->tid, t->now))
        change_id(lock + 8, t->tid, t->now);
}

static void change_robust(const struct image_thread *t)
{
    struct robust_list_head head;
    uint64_t at, next;
    if (!t->robust_list || !resume_peek(t->robust_list, &head, sizeof head))
        return;
    at = (uintptr_t)head.list.next;
    for (int n = 0; n < ROBUST_MAX && (at & ~1ULL) != t->robust_list; n++, at = next) {
        if (!resume_peek(at & ~1ULL, &next, sizeof next))
            return;
        change_owner(at, head.futex_offset, t);
    }
    if (head.list_op_pending)
        change_owner((uintptr_t)head.list_op_pending, head.futex_offset, t);
}

static bool has_id(uint64_t address, int32_t id)
{
    int32_t word;
    return resume_peek(address, &word, sizeof word) && word == id;
}

/* musl's struct pthread begins with its own address, as glibc's does, and has the id at a place of
 * its own. */
static bool is_musl(const struct image_thread *t, int32_t id)
{
    uint64_t self;
    return t->fs_base && resume_peek(t->fs_base, &self, sizeof self) && self == t->fs_base &&
           has_id(t->fs_base + RESUME_ARCH_MUSL_TID, id);
}

/* glibc keeps the id where the kernel clears it at the thread's end; with musl what the kernel
 * clears is a lock, with the id of who holds it. */
static void change_record(const struct image_thread *t)
{
    if (t->tid_address)
        change_id(t->tid_address, t->tid, t->now);
    if (is_musl(t, t->tid))
        change_id(t->fs_base + RESUME_ARCH_MUSL_TID, t->tid, t->now);
}

/* Where the program itself stands: a checkpoint may have found it in a call that the net makes
 * here.
 */
static ucontext_t *program_frame(const struct image_thread *t)
{
    static const size_t most = 65536; /* of our own frames, and the extended state in theirs */
    ucontext_t *frame = (ucontext_t *)t->frame, *net = remote_thread_frame(t->fs_base);
    uint64_t at = (uintptr_t)net, state;
    return net_is_ours(frame) && at > t->frame && at - t->frame < most &&
                   resume_peek(at + net_frame_size - sizeof state, &state, sizeof state)
               ? net
               : frame;
}

static void set_id(struct image_thread *t)
{
    t->now = (int32_t)raw(SYS_gettid);
    if (t->now == t->tid)
        return;
    change_record(t);
    change_robust(t);
}

int32_t resume_thread_now(int32_t then)
{
    for (unsigned i = 0; i < p->thread_count; i++)
        if (thread(i)->tid == then)
            return thread(i)->now;
    return 0;
}

/* A thread that waits for a condition takes the mutex back without coming by a stub. glibc's
 * pthread_cond_wait.c has both on the stack: struct _condvar_cleanup_buffer, its second and third
 * word. */
static void settle_condition(uint64_t word, uint64_t stack)
{
    uint64_t pair[2];
    for (uint64_t at = stack; at < stack + CONDITION_STACK; at += sizeof *pair)
        if (resume_peek(at, pair, sizeof pair) && word - pair[0] < CONDITION)
            owners_settle(pair[1]);
}

/* How many are there, among the registers and in the words up the stack? */
static unsigned count_of(const ucontext_t *frame, int32_t id)
{
    const uint64_t stack = resume_arch_stack(frame);
    unsigned count = resume_arch_count_registers(frame, id);
    uint32_t word;
    for (uint64_t at = stack; at < stack + WAITER_STACK; at += sizeof word)
        count += resume_peek(at, &word, sizeof word) && (int32_t)word == id;
    return count;
}

static void change_frame(ucontext_t *frame, int32_t then, int32_t now)
{
    const uint64_t stack = resume_arch_stack(frame);
    uint32_t word;
    resume_arch_change_registers(frame, then, now);
    for (uint64_t at = stack; at < stack + WAITER_STACK; at += sizeof word)
        if (resume_peek(at, &word, sizeof word) && (int32_t)word == then)
            *(volatile uint32_t *)at = (uint32_t)now;
}

/* Does it wait in a function of glibc's that has read its id before, and writes it into the mutex
 * when it gets that: pthread_mutex_lock() of a robust or priority inheriting one, and
 * pthread_mutex_timedlock() also of the others whose owner is asked for? */
static bool has_read_id(const struct resume_wait *wait, uint32_t kind)
{
    const uint32_t type = kind & OWNERS_TYPE;
    if (kind & ~OWNERS_KINDS)
        return false;
    if (kind & OWNERS_INHERIT)
        return wait->lock;
    if (kind & OWNERS_ROBUST)
        return wait->value & FUTEX_WAITERS;
    return wait->limited && wait->value == OWNERS_CONTENDED &&
           (type == OWNERS_RECURSIVE || type == OWNERS_CHECKED);
}

/* Then the id lies in that function's frame, some words up the stack, or in a register. Where just
 * one word there is that number, this is it, and changed. Where there are more - a variable of the
 * program's can be the same number - none may be: the owner is put right when the mutex is used
 * next. */
static void settle_waiter(const struct image_thread *t, ucontext_t *frame,
                          const struct resume_wait *wait)
{
    uint32_t kind;
    if (is_musl(t, t->now) || !entry_is_lock(ckpt_arch_counter(frame)) ||
        !resume_peek(wait->word + OWNERS_MUTEX_KIND * sizeof kind, &kind, sizeof kind) ||
        !has_read_id(wait, kind))
        return;
    if (wait->lock && wait->over)
        change_id(wait->word, t->tid, t->now); /* the kernel has made it the owner */
    if (owners_awaited(wait->word, t->now))
        return;
    if (count_of(frame, t->tid) == 1 || !entry_has_locks())
        change_frame(frame, t->tid, t->now);
    else
        owners_await(wait->word, kind, t->tid, t->now);
}

/* What a thread waits at in the kernel is a lock, if it was taken for one; and the kernel reads who
 * owns a priority inheriting one. */
static void settle_thread(const struct image_thread *t)
{
    ucontext_t *frame = program_frame(t);
    struct resume_wait wait;
    if (!resume_arch_waits(frame, &wait))
        return;
    if (owners.count) {
        owners_settle(wait.word);
        settle_condition(wait.word, resume_arch_stack(frame));
    }
    if (t->now != t->tid)
        settle_waiter(t, frame, &wait);
}

/* Where a lock function of libc's could not be given its jump, changing what looks like a lock is
 * all that can be done; and where there are too many. */
void resume_owners(const struct resume_owner *found, uint64_t count)
{
    const bool locks = entry_has_locks();
    owners_renumber(resume_thread_now);
    for (const struct resume_owner *o = found; o < found + count; o++) {
        int32_t now = resume_thread_now(o->then);
        if (now && now != o->then &&
            (!locks || owners_note(o->address - o->offset, o->offset, o->then, now)))
            change_id(o->address, o->then, now);
    }
    owners_drop();
    for (unsigned i = 0; i < p->thread_count; i++)
        settle_thread(thread(i));
    if (owners.count)
        entry_refresh();
}

/* --- a thread's state --- */

/* Without this, libc's rseq area would never be written again, and sched_getcpu() would be wrong
 * without a word. A thread that has just begun, or unregistered it, registers it itself: libc ends
 * the program when that fails. */
static void set_rseq(const struct image_thread *t)
{
    struct rseq *area = (struct rseq *)(t->fs_base + (uint64_t)hijack_params.rseq_offset);
    if (t->rseq) {
        area->rseq_cs = 0; /* the signal has ended any critical section */
        if (raw(SYS_rseq, area, hijack_params.rseq_size, 0, hijack_params.rseq_signature) == 0)
            return;
    }
    if (hijack_params.rseq_size && (int32_t)area->cpu_id >= 0) /* it is not what it says any more */
        area->cpu_id = (uint32_t)RSEQ_CPU_ID_REGISTRATION_FAILED;
}

static void set_addresses(const struct image_thread *t)
{
    resume_arch_thread(t);
    raw(SYS_set_tid_address, t->tid_address);
    raw(SYS_set_robust_list, t->robust_list, t->robust_size);
    set_rseq(t);
}

static void set_attributes(const struct image_thread *t)
{
    raw(SYS_prctl, PR_SET_NAME, t->comm);
    raw(SYS_prctl, PR_SET_PDEATHSIG, t->death_signal);
    if (t->no_new_privs)
        raw(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    raw(SYS_prctl, PR_SET_TIMERSLACK, t->timer_slack);
    raw(SYS_personality, t->personality);
    raw(SYS_prctl, PR_MCE_KILL, PR_MCE_KILL_SET, t->mce_kill, 0, 0);
    if (t->io_flusher)
        raw(SYS_prctl, PR_SET_IO_FLUSHER, 1, 0, 0, 0);
}

static void set_scheduling(const struct image_thread *t)
{
    raw(SYS_setpriority, 0, 0, t->nice);
    raw(SYS_sched_setscheduler, 0, t->policy, &t->priority);
    raw(SYS_ioprio_set, 1, 0, t->io_priority);
    if (t->cpus_size)
        raw(SYS_sched_setaffinity, 0, t->cpus_size, t->cpus);
}

/* Those that choosing an id took go with it. */
static void set_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    if (keep_ids)
        raw(SYS_capset, &header, capabilities);
}

static void set_state(struct image_thread *t)
{
    set_addresses(t);
    set_id(t);
    set_attributes(t);
    set_scheduling(t);
    set_capabilities();
    resume_arch_state(t);
    resume_queue_pending(t->tid, hijack_params.signal);
}

static struct image_thread *who_becomes(const struct image_thread *place)
{
    unsigned i = 0;
    while (!__atomic_load_n(&placed, __ATOMIC_ACQUIRE))
        handler_wait(&placed, 0, 0);
    while (thread(i)->place < 0 || thread((unsigned)thread(i)->place) != place)
        i++;
    return thread(i);
}

uint64_t resume_thread(const struct image_thread *place)
{
    struct image_thread *t = who_becomes(place);
    set_state(t);
    __atomic_add_fetch(&handler_arrived, 1, __ATOMIC_ACQ_REL);
    handler_wake(&handler_arrived, 1);
    while (__atomic_load_n(&handler_round, __ATOMIC_ACQUIRE) == HANDLER_WAIT)
        handler_wait(&handler_round, HANDLER_WAIT, 0);
    if (remote.mode != REMOTE_OFF)
        net_settle(1);
    handler_keep_net_signal((ucontext_t *)t->frame);
    return t->frame;
}

/* --- all threads --- */

/* The leader's state lies in no slot; one more than were taken is there for it. */
static uintptr_t stack_of(unsigned i)
{
    return (uintptr_t)handler_slot(i ? i - 1 : p->thread_count - 1);
}

static long make_with_id(struct image_thread *place, uintptr_t stack, int chosen)
{
    const uintptr_t base = stack + HANDLER_THREAD_SIZE - (1UL << HANDLER_SLOT_SHIFT);
    struct clone_args args = {.flags = FLAGS, .stack = base, .stack_size = stack - base};
    int32_t id = place->tid;
    if (chosen)
        args.set_tid = (uintptr_t)&id, args.set_tid_size = 1;
    return resume_clone((uintptr_t)&args, sizeof args, place, SYS_clone3);
}

static void make(unsigned i)
{
    static const char why[] = "gdb-hijack: cannot make a thread (clone); the restart has failed\n";
    long tid = make_with_id(thread(i), stack_of(i), 1);
    if (raw_failed(tid) && !keep_ids)
        tid = make_with_id(thread(i), stack_of(i), 0);
    if (raw_failed(tid) && !keep_ids) /* no clone3 here, or a filter forbids it */
        tid = resume_clone(FLAGS, stack_of(i), thread(i), SYS_clone);
    thread(i)->now = (int32_t)tid;
    if (!raw_failed(tid))
        return;
    raw(SYS_write, 2, why, sizeof why - 1);
    raw(SYS_exit_group, FAILED);
}

/* Whose id the new thread of this place has got; -1: nobody's, or the main thread's. */
static int had_before(unsigned place, unsigned own)
{
    const int32_t id = thread(place)->now;
    if (thread(place)->tid == id)
        return (int)place;
    for (unsigned i = 0; i < p->thread_count; i++)
        if (i != own && thread(i)->tid == id)
            return (int)i;
    return -1;
}

/* Old ids are in the program's memory. None of them must be another thread's now, as they easily
 * are where ids are small: who gets an old id becomes the thread that had it. */
static void place_all(unsigned own)
{
    unsigned next = 0;
    for (unsigned i = 0; i < p->thread_count; i++)
        thread(i)->place = -1;
    for (unsigned i = 0; i < p->thread_count; i++)
        if (i != own && had_before(i, own) >= 0)
            thread((unsigned)had_before(i, own))->place = (int32_t)i;
    for (unsigned i = 0; i < p->thread_count; i++)
        if (i != own && had_before(i, own) < 0) {
            while (next == own || thread(next)->place >= 0)
                next++;
            thread(next)->place = (int32_t)i;
        }
    __atomic_store_n(&placed, 1, __ATOMIC_RELEASE);
    handler_wake(&placed, 0x7fffffff);
}

/* The program's main thread, which this one becomes. */
static unsigned main_thread(void)
{
    unsigned i = 0;
    while (i + 1 < p->thread_count && thread(i)->tid != p->pid)
        i++;
    return i;
}

static void await(int count)
{
    int now;
    while ((now = __atomic_load_n(&handler_arrived, __ATOMIC_ACQUIRE)) < count)
        handler_wait(&handler_arrived, now, 0);
}

/* The main thread comes last: the others inherit, and may not raise what it has lowered. */
uint64_t resume_threads(const struct resume_handover *handover)
{
    const unsigned own = main_thread();
    keep_ids = handover->keep_ids;
    memcpy(capabilities, handover->capabilities, sizeof capabilities);
    handler_arrived = placed = 0;
    handler_round = HANDLER_WAIT;
    for (unsigned i = 0; i < p->thread_count; i++)
        if (i != own)
            make(i);
    place_all(own);
    await((int)p->thread_count - 1);
    set_state(thread(own));
    return thread(own)->frame;
}

void resume_threads_go(void)
{
    handler_inside = (int)p->thread_count;
    __atomic_store_n(&handler_round, HANDLER_LEAVE, __ATOMIC_RELEASE);
    handler_wake(&handler_round, 0x7fffffff);
}
