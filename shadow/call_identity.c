/* call_identity.c - the program's process id and the executor's, and whose identity set*id changes:
 * see call.h. */
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "shadow/call.h"

static bool is_program(uint64_t pid)
{
    return (pid_t)pid == executor.start.known;
}

/* A group of the program's number exists where the program led one before it became remote;
 * otherwise the executor leads it. */
static pid_t group_of(pid_t group)
{
    return is_program((uint64_t)group) && kill(-group, 0) < 0 && errno == ESRCH ? executor.pid
                                                                                : group;
}

static void replace_int(char *at, int from, int to)
{
    int value;
    memcpy(&value, at, sizeof value);
    if (value == from)
        memcpy(at, &to, sizeof to);
}

/* The owner gets SIGIO and SIGURG: the program itself. */
static void translate_fcntl(struct plan *p)
{
    if (p->args[1] == F_SETOWN && is_program(p->args[2]))
        p->args[2] = (uint64_t)executor.application;
    if (p->args[1] == F_SETOWN_EX && decode_has(p, 2))
        replace_int(p->in[2] + offsetof(struct f_owner_ex, pid), executor.start.known,
                    executor.application);
}

static void translate_ioctl(struct plan *p)
{
    int value;
    if (!p->args[2] || p->request.in[2] != sizeof value)
        return;
    memcpy(&value, p->in[2], sizeof value);
    if ((unsigned)p->args[1] == TIOCSPGRP)
        value = group_of(value);
    else if (((unsigned)p->args[1] == SIOCSPGRP || (unsigned)p->args[1] == FIOSETOWN) &&
             is_program((uint64_t)value))
        value = executor.application;
    memcpy(p->in[2], &value, sizeof value);
}

/* Capabilities are a thread's: those of the one that executes this thread's calls. */
static void translate_capabilities(struct plan *p, int from, int to)
{
    const size_t pid = offsetof(struct __user_cap_header_struct, pid);
    if (decode_has(p, 0))
        replace_int(p->out[0] + pid, from, to);
}

static struct ucred *credentials(struct cmsghdr *m)
{
    return m->cmsg_level == SOL_SOCKET && m->cmsg_type == SCM_CREDENTIALS &&
                   m->cmsg_len == CMSG_LEN(sizeof(struct ucred))
               ? (struct ucred *)CMSG_DATA(m)
               : NULL;
}

static void translate_message(struct msghdr *message, pid_t from, pid_t to)
{
    for (struct cmsghdr *m = CMSG_FIRSTHDR(message); m; m = CMSG_NXTHDR(message, m))
        if (credentials(m) && credentials(m)->pid == from)
            credentials(m)->pid = to;
}

/* The leader of a session stays in its group (setpgid(2)); the executor leads none. */
static int translate_group(struct plan *p)
{
    if (is_program(p->args[0]))
        p->args[0] = 0;
    if (!p->args[0] && (pid_t)p->args[1] >= 0 && getsid(0) == executor.start.known)
        return -EPERM;
    p->args[1] = (uint64_t)group_of((pid_t)p->args[1]);
    return 0;
}

int call_translate(struct plan *p)
{
    switch (p->request.number) {
    case SYS_getpgid:
    case SYS_getsid:
        p->args[0] = is_program(p->args[0]) ? 0 : p->args[0];
        return 0;
    case SYS_setpgid:
        return translate_group(p);
    case SYS_setsid: /* who leads a group may not; the executor itself leads none */
        executor.terminal = true;
        return getpgrp() == executor.start.known ? -EPERM : 0;
    case SYS_rt_sigqueueinfo: /* a kill() passed on: as one, only for the caller's own thread id, by
                                 which the process is meant all the same */
        p->args[0] = is_program(p->args[0]) ? (uint64_t)gettid() : p->args[0];
        return 0;
    case SYS_ioprio_get: /* of a thread: of the one that executes this thread's calls */
    case SYS_ioprio_set:
        p->args[1] = is_program(p->args[1]) ? 0 : p->args[1];
        return 0;
    case SYS_fcntl:
        translate_fcntl(p);
        return 0;
    case SYS_ioctl:
        translate_ioctl(p);
        return 0;
    case SYS_sendmsg:
        if (p->args[1] && p->message.msg_control)
            translate_message(&p->message, executor.start.known, executor.pid);
        return 0;
    case SYS_capget:
    case SYS_capset:
        translate_capabilities(p, executor.start.known, gettid());
        return 0;
    case SYS_timerfd_settime:
        call_clocks(p);
        return 0;
    case SYS_getsockopt: /* the kernel takes the size of this one for a count */
        return p->args[1] == SOL_SOCKET && p->args[2] == SO_GET_FILTER ? -ENOPROTOOPT : 0;
    }
    for (int i = 0; i < CALL_ARGS; i++)
        if (p->kinds[i].kind == ARG_PID && is_program(p->args[i]))
            p->args[i] = (uint64_t)executor.pid;
    return 0;
}

static int64_t known_id(int64_t id)
{
    return id == executor.pid || id == executor.application ? executor.start.known : id;
}

static void translate_out(struct plan *p, int i, size_t at)
{
    if (!p->out[i] || p->request.out[i] < at + sizeof(int))
        return;
    replace_int(p->out[i] + at, executor.pid, executor.start.known);
    replace_int(p->out[i] + at, executor.application, executor.start.known);
}

int64_t call_translate_result(struct plan *p, int64_t result)
{
    if (p->request.number == SYS_capget || p->request.number == SYS_capset)
        translate_capabilities(p, gettid(), executor.start.known);
    if (result < 0)
        return result;
    switch (p->request.number) {
    case SYS_getpgid:
    case SYS_getpgrp:
    case SYS_getsid:
    case SYS_setsid:
        return known_id(result);
    case SYS_fcntl:
        if (p->args[1] == F_GETOWN_EX && p->args[2])
            translate_out(p, 2, offsetof(struct f_owner_ex, pid));
        if (p->args[1] == F_GETLK || p->args[1] == F_OFD_GETLK)
            translate_out(p, 2, offsetof(struct flock, l_pid));
        return p->args[1] == F_GETOWN ? known_id(result) : result;
    case SYS_ioctl:
        if (p->args[2] && ((unsigned)p->args[1] == TIOCGPGRP || (unsigned)p->args[1] == TIOCGSID ||
                           (unsigned)p->args[1] == FIOGETOWN || (unsigned)p->args[1] == SIOCGPGRP))
            translate_out(p, 2, 0);
        return result;
    case SYS_getsockopt:
        if (p->args[1] == SOL_SOCKET && p->args[2] == SO_PEERCRED && p->args[3])
            translate_out(p, 3, offsetof(struct ucred, pid));
        return result;
    case SYS_semctl:
        return p->args[2] == GETPID ? known_id(result) : result;
    case SYS_msgctl:
        translate_out(p, 2, offsetof(struct msqid_ds, msg_lspid));
        translate_out(p, 2, offsetof(struct msqid_ds, msg_lrpid));
        return result;
    case SYS_recvmsg:
        if (p->args[1] && p->message.msg_control)
            translate_message(&p->message, executor.pid, executor.start.known);
        return result;
    default:
        return result;
    }
}

/* The kernel changes one thread; the C library, all. */
static int set_identity(uint32_t number, const uint64_t *args)
{
    unsigned a = (unsigned)args[0], b = (unsigned)args[1], c = (unsigned)args[2];
    switch (number) {
    case SYS_setuid:
        return setuid(a);
    case SYS_setgid:
        return setgid(a);
    case SYS_setreuid:
        return setreuid(a, b);
    case SYS_setregid:
        return setregid(a, b);
    case SYS_setresuid:
        return setresuid(a, b, c);
    case SYS_setresgid:
        return setresgid(a, b, c);
    case SYS_setgroups:
        return setgroups(args[0], (const gid_t *)args[1]);
    default:
        return 1;
    }
}

bool call_set_identity(const struct plan *p, int64_t *result)
{
    int done = set_identity(p->request.number, p->args);
    *result = done < 0 ? -errno : done;
    return done <= 0;
}
