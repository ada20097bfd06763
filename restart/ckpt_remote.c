/* ckpt_remote.c - see ckpt_remote.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "restart/ckpt.h"
#include "restart/ckpt_remote.h"
#include "restart/ckpt_rendezvous.h"
#include "restart/fds.h"
#include "restart/resume.h"
#include "stubs/actions.h"
#include "stubs/agent.h"
#include "stubs/behind.h"
#include "stubs/channel.h"
#include "stubs/entry.h"
#include "stubs/local.h"
#include "stubs/mem.h"
#include "stubs/net.h"
#include "stubs/policy.h"
#include "stubs/raw.h"
#include "stubs/remote.h"
#include "stubs/shared.h"
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

/* A record lock is the process's: the other one can take it when this one has let go. 0 or
 * -errno. */
static long lock(const struct fds_header *h, int take)
{
    long result = 0;
    for (uint32_t i = 0; i < h->locks; i++) {
        const struct fds_lock *l = fds_locks(h) + i;
        struct flock f = fds_flock(l, take);
        if (l->kind == FDS_POSIX && !result)
            result = raw(SYS_fcntl, l->number, F_SETLK, &f);
    }
    return result;
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
        if (!(fds_entries(h)[i].flags & FDS_HERE))
            raw(SYS_close, fds_entries(h)[i].number);
}

/* A file that another descriptor shares the offset of is never buffered. */
static void adopt_files(const struct fds_header *h)
{
    const struct fds_entry *e = fds_entries(h);
    for (uint32_t i = 0; i < h->count; i++)
        if (e[i].kind == FDS_REGULAR && fds_is_alone(h, i) &&
            policy_of(hijack_params.policy, fds_string(h, e[i].path)) == POLICY_BUFFER)
            behind_adopt(e[i].number, e[i].dev, e[i].inode);
}

/* --- the way of calls --- */

/* With REMOTE_OFF stubs and net make the calls here: so they can be put in place, and taken out,
 * before and after anything else. */
static long divert(unsigned threads)
{
    long result = net_arm();
    if (result)
        return ckpt_fail(result, "the net under the jumps (syscall user dispatch)", "");
    actions_open();
    remote.threaded = threads > 1;
    result = entry_switch(remote.threaded ? ENTRY_STUBS_THREADED : ENTRY_STUBS);
    if (!result)
        return 0;
    actions_restore();
    net_disarm();
    return ckpt_fail(result, "the jumps' island", "");
}

static void undivert(void)
{
    entry_switch(ENTRY_HOME);
    actions_restore();
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
    result = divert(rendezvous_count());
    if (!result && (result = hand_over(link, &table)))
        undivert();
    if (!result) {
        close_all(table.data);
        remote.pid = hijack_params.pid;
        remote.parent = (int32_t)raw(SYS_getppid);
        remote.signalfds = 0;
        mem_copy_string(hijack_params.policy, policy, sizeof hijack_params.policy);
        remote.mode = REMOTE_HOME;
        behind_reset();
        adopt_files(table.data);
    }
    fds_free(&table);
    return result;
}

/* What was said and known of files at home was so of descriptors there. */
static void come_home(void)
{
    shared_come_home();
    behind_reset();
    local_forget();
    *hijack_params.policy = '\0';
}

/* --- what the shadow tells --- */

void remote_settle(void)
{
    uint64_t mask = REMOTE_ALL;
    struct remote_call call = {.mask = &mask};
    if (remote.mode == REMOTE_OFF)
        return;
    shared_write_back(&call, 0, SIZE_MAX);
    behind_settle(&call);
}

/* A call of ours in the program's place. All signals are blocked: nothing can interrupt it. */
static long at_home(long number, long a, long b, long c)
{
    uint64_t mask = REMOTE_ALL;
    struct remote_call call = {.number = number, .mask = &mask};
    const long args[CALL_ARGS] = {a, b, c};
    return remote_forward(&call, number, args);
}

static long read_pieces(struct link *link, void *to, size_t total)
{
    size_t size;
    for (size_t done = 0; done < total; done += size) {
        uint32_t from = (uint32_t)done;
        long result = link_ask(link, FRAME_PIECE, &from, sizeof from, NULL, 0);
        const void *piece = link_answer(&size);
        if (result < 0 || !size || size > total - done)
            return result < 0 ? result : -EBADMSG;
        memcpy((char *)to + done, piece, size);
    }
    return fds_valid(to, total) ? 0 : -EBADMSG;
}

long remote_table(struct link *link, uint64_t image, void *to, size_t room)
{
    size_t size;
    uint32_t total = 0;
    long result = link_ask(link, FRAME_LIST, &image, sizeof image, NULL, 0);
    const void *told = link_answer(&size);
    if (result < 0 || size != sizeof total)
        return result < 0 ? result : -EBADMSG;
    memcpy(&total, told, sizeof total);
    result = total > room ? -E2BIG : read_pieces(link, to, total);
    return result ? result : total;
}

/* The shadow has changed its root directory when the program did so. */
static long check_root(void)
{
    static char root[256];
    long n = at_home(SYS_readlink, (long)"/proc/self/root", (long)root, sizeof root - 1);
    if (n <= 0 || (n == 1 && root[0] == '/'))
        return 0;
    root[n] = '\0';
    return ckpt_refused(CKPT_ROW_root_directory, root);
}

static uint32_t umask_at_home(void)
{
    uint32_t mask = (uint32_t)at_home(SYS_umask, 077, 0, 0);
    at_home(SYS_umask, mask, 0, 0);
    return mask;
}

long remote_identity(struct image_process *p)
{
    p->uid = (uint32_t)at_home(SYS_geteuid, 0, 0, 0);
    p->gid = (uint32_t)at_home(SYS_getegid, 0, 0, 0);
    p->umask = umask_at_home();
    long n = at_home(SYS_getcwd, (long)p->cwd, sizeof p->cwd, 0);
    return n < 0 ? ckpt_fail(n, "cannot name the working directory at home", "") : check_root();
}

/* --- descriptors come home --- */

/* Under way; the program is remote until all of it is done. */
static struct {
    struct fds_table table;
    int directory; /* the number, at home and here, of the working directory; -1: none */
    uint32_t umask;
} back;

/* A user that the program has changed to at home would have to be changed to here. */
static long check_user(void)
{
    unsigned there[6] = {0}, here[6];
    at_home(SYS_getresuid, (long)&there[0], (long)&there[1], (long)&there[2]);
    at_home(SYS_getresgid, (long)&there[3], (long)&there[4], (long)&there[5]);
    raw(SYS_getresuid, &here[0], &here[1], &here[2]);
    raw(SYS_getresgid, &here[3], &here[4], &here[5]);
    if (memcmp(there, here, sizeof here) == 0)
        return 0;
    return ckpt_fail(-EPERM, "it has changed its user or group at home, where calls are made", "");
}

/* What of the program is not a descriptor. The directory comes as one. */
static long prepare_return(void)
{
    long result = check_user();
    if (result || (result = check_root()))
        return result;
    back.umask = umask_at_home();
    result = at_home(SYS_open, (long)".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (result < 0)
        return ckpt_fail(result, "cannot open the working directory at home", "");
    back.directory = (int)result;
    return 0;
}

/* Files of this host never were anywhere else. */
static void mark_local(struct fds_header *h)
{
    struct fds_entry *e = (struct fds_entry *)fds_entries(h);
    for (uint32_t i = 0; i < h->count; i++)
        if (local_has(e[i].number))
            e[i].flags |= FDS_HERE;
}

static long recall(struct link *link)
{
    struct frame_offer offer;
    size_t size;
    long result = link_ask(link, FRAME_RECALL, NULL, 0, NULL, 0);
    const void *told = link_answer(&size);
    if (result < 0 || size != sizeof offer)
        return result < 0 ? result : -EBADMSG;
    memcpy(&offer, told, sizeof offer);
    long at =
        raw(SYS_mmap, 0, offer.table, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (raw_failed(at))
        return at;
    back.table = (struct fds_table){(void *)at, offer.table, offer.table};
    return read_pieces(link, back.table.data, offer.table);
}

static void close_thread(struct remote_thread *t)
{
    channel_close(&t->channel);
}

/* Nothing of ours stands among the program's numbers any more. */
static long make_way(struct link *link)
{
    const struct fds_header *h = back.table.data;
    int highest = h->count ? fds_entries(h)[h->count - 1].number : 0;
    struct rlimit limit = ckpt.descriptors;
    limit.rlim_cur = limit.rlim_max;
    raw(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, NULL); /* the caller puts it back */
    remote_thread_each(close_thread);
    channel_close_line();
    long up = raw(SYS_fcntl, link->fd, F_DUPFD_CLOEXEC, highest + 1);
    if (raw_failed(up))
        return up;
    raw(SYS_close, link->fd);
    link->fd = (int)up;
    return 0;
}

/* Locks come last: closing any descriptor of its file drops a lock. */
static long settle(struct link *link)
{
    long result = raw(SYS_fchdir, back.directory);
    if (result)
        return ckpt_fail(result, "cannot enter the working directory", "");
    raw(SYS_close, back.directory);
    result = link_ask(link, FRAME_UNLOCK, NULL, 0, NULL, 0);
    if (result < 0)
        return result;
    return (result = lock(back.table.data, 1))
               ? ckpt_fail(result, "another process has taken a record lock meanwhile", "")
               : 0;
}

static long take_back(struct link *link)
{
    long result = recall(link);
    if (!result)
        mark_local(back.table.data);
    if (!result && !(result = make_way(link)) &&
        (result = link_take_descriptors(link, &back.table)))
        close_all(back.table.data);
    if (!result && (result = settle(link)))
        close_all(back.table.data);
    return result;
}

/* Until FRAME_DONE the shadow has all, from the last lock on the program has all; so whoever is
 * killed meanwhile takes nothing along, and what the answer is does not matter. */
static void go_home(struct link *link)
{
    link_ask(link, FRAME_DONE, NULL, 0, NULL, 0);
    raw(SYS_umask, back.umask);
    remote.mode = REMOTE_OFF;
    undivert();
    come_home();
}

long remote_end(struct link *link)
{
    back.directory = -1;
    back.table = (struct fds_table){0};
    if (remote.mode != REMOTE_HOME)
        return ckpt_fail(-EINVAL,
                         remote.mode == REMOTE_OFF
                             ? "its I/O is not remote"
                             : "this is not its home: checkpoint it with --exit, restart it there",
                         "");
    remote_settle();
    long result = prepare_return();
    if (!result && (result = take_back(link)))
        ckpt_fail(result, "the shadow cannot give the descriptors back", "");
    if (!result)
        go_home(link);
    else if (back.directory >= 0)
        at_home(SYS_close, back.directory, 0, 0);
    fds_free(&back.table);
    return result;
}

/* --- limits --- */

static void raise_limit(void)
{
    struct rlimit limit;
    if (raw(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    raw(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, NULL);
}

void remote_limit(const struct rlimit *files)
{
    if (remote.mode == REMOTE_OFF) {
        raw(SYS_prlimit64, 0, RLIMIT_NOFILE, remote.files.rlim_max ? &remote.files : files, NULL);
        remote.files.rlim_max = 0;
        return;
    }
    if (!remote.files.rlim_max)
        remote.files = *files;
    raise_limit();
}

/* --- a restart --- */

static void forget(struct remote_thread *t)
{
    channel_forget(&t->channel);
}

/* What the restart command said of files; else what holds in the image goes on. */
static void follow_policy(void)
{
    static struct stat st;
    if (!hijack_params.follow)
        return;
    behind_forget();
    for (long fd = 0; fd < HIJACK_BUFFERED; fd++)
        if (hijack_params.buffered[fd / 64] >> fd % 64 & 1 &&
            at_home(SYS_fstat, fd, (long)&st, 0) == 0)
            behind_adopt(fd, st.st_dev, st.st_ino);
}

/* Files that were mapped at home, and of which only this program is a user. */
static void write_back_mapped(void)
{
    static struct stat st;
    for (uint32_t i = 0; i < hijack_params.mapped_count; i++) {
        const struct hijack_mapped *m = &hijack_params.mapped[i];
        uint64_t mask = REMOTE_ALL;
        struct remote_call call = {.mask = &mask};
        long fd =
            at_home(SYS_open, (long)(hijack_params.mapped_paths + m->path), O_RDWR | O_CLOEXEC, 0);
        const struct shared_file file = {.dev = m->dev,
                                         .inode = m->inode,
                                         .fd = fd,
                                         .sole = (m->flags & HIJACK_MAPPED_SOLE) != 0,
                                         .written = (m->flags & HIJACK_MAPPED_WRITTEN) != 0,
                                         .one_memory = 1};
        if (fd < 0)
            continue;
        if (at_home(SYS_fstat, fd, (long)&st, 0) == 0 && st.st_dev == m->dev &&
            st.st_ino == m->inode)
            shared_add(&call, m->start, m->length, &file, (long)m->offset, m->protection);
        at_home(SYS_close, fd, 0, 0);
    }
    hijack_params.mapped_count = 0;
}

void remote_resume(void)
{
    int32_t known = remote.mode == REMOTE_OFF ? resume_process.pid : remote.pid;
    remote_thread_each(forget);
    channel_forget_line();
    if (hijack_params.remote == REMOTE_OFF && remote.mode == REMOTE_OFF)
        return;
    remote.mode = REMOTE_OFF;
    remote.files.rlim_max = 0;
    undivert();
    if (hijack_params.remote == REMOTE_OFF) {
        come_home();
        return;
    }
    if (divert(resume_process.thread_count) != 0)
        return;
    remote.pid = known;
    remote.parent = resume_process.parent;
    remote.mode = hijack_params.remote;
    remote_limit(&resume_process.limits[RLIMIT_NOFILE]);
    follow_policy();
    write_back_mapped();
}
