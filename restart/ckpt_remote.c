/* ckpt_remote.c - see ckpt_remote.h. */
#include <errno.h>
#include <fcntl.h>

#include "restart/ckpt.h"
#include "restart/ckpt_remote.h"
#include "restart/fds.h"
#include "restart/resume.h"
#include "stubs/agent.h"
#include "stubs/behind.h"
#include "stubs/channel.h"
#include "stubs/entry.h"
#include "stubs/mem.h"
#include "stubs/net.h"
#include "stubs/raw.h"
#include "stubs/remote.h"
#include "stubs/thread.h"

/* --- descriptors go to the shadow --- */

/* With remote I/O the program's terminal is the shadow's to talk to, as any other descriptor. */
static void take_terminals(struct fds_header *h)
{
    struct fds_entry *e = (struct fds_entry *)fds_entries(h);
    for (uint32_t i = 0; i < h->count; i++)
        if (e[i].kind == FDS_TERMINAL)
            e[i].flags |= FDS_TAKEN;
}

/* A record lock is the process's: the shadow can take it when we have let go. */
static void lock(const struct fds_header *h, int take)
{
    for (uint32_t i = 0; i < h->locks; i++) {
        const struct fds_lock *l = fds_locks(h) + i;
        struct flock f = {.l_type = !take      ? F_UNLCK
                                    : l->write ? F_WRLCK
                                               : F_RDLCK,
                          .l_whence = 0,
                          .l_start = l->start,
                          .l_len = l->end == INT64_MAX ? 0 : l->end - l->start + 1};
        if (l->kind == FDS_POSIX)
            raw(SYS_fcntl, l->number, F_SETLK, &f);
    }
}

static long hand_over(struct link *link, const struct fds_table *table)
{
    static char why[512];
    const struct fds_header *h = table->data;
    long result = fds_check_leaving(table, why, sizeof why);
    if (result) {
        text_add(&ckpt_why, why);
        return result;
    }
    if ((result = link_give_descriptors(link, table)) < 0)
        return ckpt_fail(result, "the shadow did not take the descriptors", "");
    lock(h, 0);
    result = link_ask(link, FRAME_REMOTE, NULL, 0, NULL, 0);
    if (result >= 0)
        return 0;
    lock(h, 1);
    return ckpt_fail(result, "the shadow cannot make calls for the program", "");
}

static void close_all(const struct fds_header *h)
{
    for (uint32_t i = 0; i < h->count; i++)
        raw(SYS_close, fds_entries(h)[i].number);
}

/* A file that another descriptor shares the offset of is never buffered. */
static void adopt_files(const struct fds_header *h)
{
    const struct fds_entry *e = fds_entries(h);
    for (uint32_t i = 0; i < h->count; i++) {
        int shared = e[i].shares != e[i].number || h->flags & FDS_SHARING_UNKNOWN;
        for (uint32_t k = i + 1; k < h->count; k++)
            shared |= e[k].shares == e[i].number;
        if (e[i].kind == FDS_REGULAR && !shared)
            behind_adopt(e[i].number, fds_string(h, e[i].path));
    }
}

/* --- the way of calls --- */

/* With REMOTE_OFF stubs and net make the calls here: so they can be put in place, and taken out,
 * before and after anything else. */
static long divert(void)
{
    long result = net_arm();
    if (result)
        return ckpt_fail(result, "the net under the jumps (syscall user dispatch)", "");
    result = entry_switch(1);
    if (!result)
        return 0;
    net_disarm();
    return ckpt_fail(result, "the jumps' island", "");
}

static void undivert(void)
{
    entry_switch(0);
    net_disarm();
}

long remote_begin(struct link *link, const char *policy)
{
    struct fds_table table = {0};
    if (remote.mode != REMOTE_OFF)
        return ckpt_fail(-EALREADY, "its I/O is remote already", "");
    long result = fds_collect(&table, &link->fd, 1);
    if (result)
        return ckpt_fail(result, "cannot list the descriptors", "");
    take_terminals(table.data);
    result = divert();
    if (!result && (result = hand_over(link, &table)))
        undivert();
    if (!result) {
        close_all(table.data);
        remote.pid = hijack_params.pid;
        remote.parent = (int32_t)raw(SYS_getppid);
        remote.signalfds = 0;
        mem_copy_string(remote.policy, policy, sizeof remote.policy);
        remote.mode = REMOTE_HOME;
        adopt_files(table.data);
    }
    fds_free(&table);
    return result;
}

/* --- descriptors come home --- */

long remote_end(struct link *link)
{
    (void)link;
    return ckpt_fail(-ENOSYS, "not written yet", "");
}

/* --- a checkpoint while I/O is remote --- */

void remote_settle(void)
{
    uint64_t mask = REMOTE_ALL;
    struct remote_call call = {.mask = &mask};
    if (remote.mode != REMOTE_OFF)
        behind_settle(&call);
}

long remote_table(struct link *link, uint64_t image, void *to, size_t room)
{
    size_t size, done = 0;
    long total = link_ask(link, FRAME_LIST, &image, sizeof image, NULL, 0);
    if (total < 0 || (size_t)total > room)
        return total < 0 ? total : -E2BIG;
    while (done < (size_t)total) {
        uint32_t from = (uint32_t)done;
        long result = link_ask(link, FRAME_PIECE, &from, sizeof from, NULL, 0);
        const void *piece = link_answer(&size);
        if (result < 0 || !size || size > (size_t)total - done)
            return result < 0 ? result : -EBADMSG;
        memcpy((char *)to + done, piece, size);
        done += size;
    }
    return fds_valid(to, done) ? total : -EBADMSG;
}

/* A call of ours in the program's place. All signals are blocked: nothing can interrupt it. */
static long at_home(long number, long a, long b)
{
    uint64_t mask = REMOTE_ALL;
    struct remote_call call = {.number = number, .mask = &mask};
    const long args[CALL_ARGS] = {a, b};
    return remote_forward(&call, number, args);
}

long remote_identity(struct image_process *p)
{
    p->uid = (uint32_t)at_home(SYS_geteuid, 0, 0);
    p->gid = (uint32_t)at_home(SYS_getegid, 0, 0);
    p->umask = (uint32_t)at_home(SYS_umask, 077, 0);
    at_home(SYS_umask, (long)p->umask, 0);
    long n = at_home(SYS_getcwd, (long)p->cwd, sizeof p->cwd);
    return n < 0 ? ckpt_fail(n, "cannot name the working directory at home", "") : 0;
}

/* --- after a restart --- */

static void forget(struct remote_thread *t)
{
    channel_forget(&t->channel);
}

void remote_resume(void)
{
    int32_t known = remote.mode == REMOTE_OFF ? resume_process.pid : remote.pid;
    remote_thread_each(forget);
    channel_forget_line();
    if (hijack_params.remote == REMOTE_OFF && remote.mode == REMOTE_OFF)
        return;
    remote.mode = REMOTE_OFF;
    undivert();
    if (hijack_params.remote == REMOTE_OFF || divert() != 0)
        return;
    remote.pid = known;
    remote.parent = resume_process.parent;
    remote.mode = hijack_params.remote;
}
