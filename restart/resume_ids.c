/* resume_ids.c - see resume_ids.h. */
#include <linux/futex.h>
#include <sys/uio.h>

#include "restart/ckpt_arch.h"
#include "restart/resume.h"
#include "restart/resume_arch.h"
#include "restart/resume_ids.h"
#include "stubs/entry.h"
#include "stubs/mem.h"
#include "stubs/net.h"
#include "stubs/owners.h"
#include "stubs/owners_look.h"
#include "stubs/raw.h"
#include "stubs/thread.h"

#define ROBUST_MAX      4096 /* more than the kernel itself looks at (ROBUST_LIST_LIMIT) */
#define WAITER_STACK    512
#define CONDITION_STACK 1024
#define CONDITION       48 /* bytes of a pthread_cond_t, glibc's and musl's */

static const struct image_process *const p = &resume_process;

/* --- what is known to be an id --- */

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

void resume_set_id(struct image_thread *t)
{
    t->now = (int32_t)raw(SYS_gettid);
    if (t->now == t->tid)
        return;
    change_record(t);
}

int32_t resume_thread_now(int32_t then)
{
    for (unsigned i = 0; i < p->thread_count; i++)
        if (resume_thread_at(i)->tid == then)
            return resume_thread_at(i)->now;
    return 0;
}

/* --- what a thread stands at --- */

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

/* How many such words are there, among the registers and up the stack? Puts `now` into each. */
static unsigned change_frame(ucontext_t *frame, int32_t then, int32_t now)
{
    const uint64_t stack = resume_arch_stack(frame);
    unsigned count = resume_arch_change_registers(frame, then, now);
    uint32_t word;
    for (uint64_t at = stack; at < stack + WAITER_STACK; at += sizeof word)
        if (resume_peek(at, &word, sizeof word) && (int32_t)word == then) {
            count++;
            *(volatile uint32_t *)at = (uint32_t)now;
        }
    return count;
}

static unsigned count_of(ucontext_t *frame, int32_t id)
{
    return change_frame(frame, id, id);
}

/* Does it wait in a function of glibc's that has read its id before, and writes it into the mutex
 * when it gets that: pthread_mutex_lock() of a robust or priority inheriting one, and
 * pthread_mutex_timedlock() also of the others whose owner is asked for? */
static bool has_read_id(const struct resume_futex *futex, uint32_t kind)
{
    const uint32_t type = kind & OWNERS_TYPE;
    if (kind & ~OWNERS_KINDS)
        return false;
    if (kind & OWNERS_INHERIT)
        return futex->inherits;
    if (kind & OWNERS_ROBUST)
        return futex->value & FUTEX_WAITERS;
    return futex->limited && futex->value == OWNERS_CONTENDED &&
           (type == OWNERS_RECURSIVE || type == OWNERS_CHECKED);
}

/* Then the id lies in that function's frame, some words up the stack, or in a register. Where just
 * one word there is that number, this is it, and changed. Where there are more - a variable of the
 * program's can be the same number - none may be: the owner is put right when the mutex is used
 * next. */
static void settle_waiter(const struct image_thread *t, ucontext_t *frame,
                          const struct resume_futex *futex)
{
    uint32_t kind;
    if (is_musl(t, t->now) || !entry_is_lock(ckpt_arch_counter(frame)) ||
        !resume_peek(futex->word + OWNERS_MUTEX_KIND * sizeof kind, &kind, sizeof kind) ||
        !has_read_id(futex, kind) || owners_awaited(futex->word, t->now))
        return;
    if (count_of(frame, t->tid) == 1 || !entry_has_locks())
        change_frame(frame, t->tid, t->now);
    else
        owners_await(futex->word, kind, t->tid, t->now);
}

/* What a thread waits at in the kernel is a lock, if it was taken for one. */
static void settle_thread(const struct image_thread *t)
{
    ucontext_t *frame = program_frame(t);
    struct resume_futex futex;
    if (!resume_arch_futex(frame, &futex))
        return;
    if (owners.count)
        owners_settle(futex.word);
    if (owners.count && futex.waits)
        settle_condition(futex.word, resume_arch_stack(frame));
    if (t->now != t->tid && futex.waits)
        settle_waiter(t, frame, &futex);
}

/* --- all of them --- */

/* Where a lock function of libc's could not be given its jump, changing what looks like a lock is
 * all that can be done; and where there are too many. */
static void note(uint64_t object, uint32_t offset, int32_t then, int32_t now)
{
    if (now && now != then && (!entry_has_locks() || owners_note(object, offset, then, now)))
        change_id(object + offset, then, now);
}

/* The word of a priority inheriting lock is the kernel's own. A thread in a call on it that the
 * word names has been given the lock, and its libc does not know yet, or is about to give it away.
 */
static void note_inherited(const struct image_thread *t)
{
    const ucontext_t *frame = program_frame(t);
    struct resume_futex futex;
    uint32_t word;
    if (resume_arch_futex(frame, &futex) && futex.inherits &&
        (futex.certain || entry_is_lock(ckpt_arch_counter(frame))) &&
        resume_peek(futex.word, &word, sizeof word) && (int32_t)(word & FUTEX_TID_MASK) == t->tid)
        note(futex.word, 0, t->tid, t->now);
}

/* First all is noted, as long as there is room, and no lock changed: the main thread's new id may
 * be another thread's old one. */
void resume_owners(const struct resume_owner *found, uint64_t count)
{
    owners_renumber(resume_thread_now);
    for (unsigned i = 0; i < p->thread_count; i++)
        note_inherited(resume_thread_at(i));
    for (const struct resume_owner *o = found; o < found + count; o++)
        note(o->address - o->offset, o->offset, o->then, resume_thread_now(o->then));
    owners_drop();
    for (unsigned i = 0; i < p->thread_count; i++)
        if (resume_thread_at(i)->now != resume_thread_at(i)->tid)
            change_robust(resume_thread_at(i));
    for (unsigned i = 0; i < p->thread_count; i++)
        settle_thread(resume_thread_at(i));
    if (owners.count)
        entry_refresh();
}
