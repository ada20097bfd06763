/*
 * starter_fds.c - see starter_fds.h: the two phases.
 *
 * RULE: a POSIX record lock goes when its process closes any descriptor of the file. So locks are
 * taken last, when every copy is closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

#include "restart/starter_fds_plan.h"
#include "stubs/remote.h"

#define SPARE 16 /* descriptors of our own above the program's */

int starter_fds_refuse(struct starter_fds *f, const struct fds_entry *e, const char *format, ...)
{
    size_t used = strlen(f->error);
    va_list arguments;
    f->failed = true;
    if (used + 2 > f->error_size)
        return -EINVAL;
    used +=
        (size_t)snprintf(f->error + used, f->error_size - used,
                         "%sdescriptor %d (%s): ", used ? "\n" : "", e->number, entry_path(f, e));
    if (used >= f->error_size)
        return -EINVAL;
    va_start(arguments, format);
    vsnprintf(f->error + used, f->error_size - used, format, arguments);
    va_end(arguments);
    return -EINVAL;
}

int starter_fds_fail(struct starter_fds *f, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->error, f->error_size, format, arguments);
    va_end(arguments);
    f->failed = true;
    return code;
}

int starter_fds_lift(const struct starter_fds *f, int fd)
{
    if (fd < 0)
        return -errno;
    if (fd >= f->floor)
        return fd;
    int lifted = fcntl(fd, F_DUPFD_CLOEXEC, f->floor);
    int error = errno;
    close(fd);
    return lifted < 0 ? -error : lifted;
}

long starter_fds_index(const struct starter_fds *f, int number)
{
    for (uint32_t i = 0; i < f->h->count; i++)
        if (entry_at(f, i)->number == number)
            return i;
    return -1;
}

/* --- check --- */

/* Room for the program's numbers and for a copy of each; the program's own limit is set when it is
 * back. */
static int raise_limit(struct starter_fds *f)
{
    struct rlimit limit;
    uint32_t count = f->h->count;
    f->floor = count && !f->o.remote ? entry_at(f, count - 1)->number + 1 : 0;
    if (f->floor < 3)
        f->floor = 3;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    limit.rlim_cur = limit.rlim_max;
    if ((rlim_t)f->floor + count + SPARE > limit.rlim_max || setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return starter_fds_fail(
            f, -EMFILE,
            "the image has %u descriptors up to number %d; the limit of %llu open files "
            "(ulimit -Hn) leaves no room to bring them back",
            count, f->floor - 1, (unsigned long long)limit.rlim_max);
    return 0;
}

static int copy_note(struct starter_fds *f, const void *note, size_t size)
{
    f->h = malloc(size ? size : 1);
    if (!f->h)
        return starter_fds_fail(f, -ENOMEM, "not enough memory for the descriptor table");
    memcpy(f->h, note, size);
    f->size = size;
    if (!fds_valid(f->h, size))
        return starter_fds_fail(f, -EBADMSG,
                                "the image's descriptor table is damaged or of another version");
    f->plans = calloc(f->h->count + 1, sizeof *f->plans);
    if (!f->plans)
        return starter_fds_fail(f, -ENOMEM, "not enough memory for %u descriptors", f->h->count);
    for (uint32_t i = 0; i < f->h->count; i++)
        f->plans[i].made = -1;
    return 0;
}

static int check(struct starter_fds *f, const void *note, size_t size)
{
    int error = copy_note(f, note, size);
    if (!error)
        error = raise_limit(f);
    if (error)
        return error;
    error = starter_fds_find_shadow(f);
    if (error)
        return error;
    starter_fds_plan(f);
    if (!f->failed && f->kept) {
        error = starter_fds_fetch(f);
        if (error)
            return error;
        starter_fds_check_kept(f);
    }
    if (!f->failed && (!f->with_shadow || f->kept))
        starter_fds_check_locks(f);
    return f->failed ? -EINVAL : 0;
}

int starter_fds_check(const struct starter_fds_options *o, const void *note, size_t size,
                      struct starter_fds **out, char *error, size_t error_size)
{
    struct starter_fds *f = calloc(1, sizeof *f);
    *out = NULL;
    *error = 0;
    if (!f)
        return -ENOMEM;
    f->o = *o;
    f->shadow.fd = -1;
    f->error = error;
    f->error_size = error_size;
    int result = check(f, note, size);
    if (result)
        starter_fds_free(f);
    else
        *out = f;
    return result;
}

void starter_fds_free(struct starter_fds *f)
{
    if (!f)
        return;
    for (uint32_t i = 0; f->plans && i < f->h->count; i++)
        if (f->plans[i].made >= 0)
            close(f->plans[i].made);
    control_close(&f->shadow);
    free(f->plans);
    free(f->h);
    free(f);
}

/* --- take --- */

/* Our own descriptors, and those of the restart command that the program gets, go above the floor.
 */
static int clear_the_way(struct starter_fds *f)
{
    for (size_t i = 0; i < f->o.keep_count; i++) {
        int fd = starter_fds_lift(f, *f->o.keep[i]);
        if (fd < 0)
            return starter_fds_fail(f, fd, "cannot move our own descriptor %d: %s", *f->o.keep[i],
                                    strerror(-fd));
        *f->o.keep[i] = fd;
    }
    for (uint32_t i = 0; i < f->h->count; i++) {
        struct plan *p = &f->plans[i];
        if (p->source != FROM_COMMAND)
            continue;
        p->made = fcntl(p->command, F_DUPFD_CLOEXEC, f->floor);
        if (p->made < 0)
            return starter_fds_refuse(f, entry_at(f, i),
                                      "cannot take descriptor %d of this command: %s", p->command,
                                      strerror(errno));
    }
    return 0;
}

/* What has been opened for the check is there; the rest is opened now. */
static int open_late(struct starter_fds *f, uint32_t i)
{
    const struct fds_entry *e = entry_at(f, i);
    struct plan *p = &f->plans[i];
    int flags = e->status & (O_ACCMODE | O_APPEND | O_NONBLOCK);
    if (p->source == FROM_GIVEN && (flags & O_ACCMODE) != O_RDONLY)
        flags |= O_CREAT;
    if (p->source == FROM_TERMINAL)
        p->made = starter_fds_lift(f, open("/dev/tty", flags | O_NOCTTY | O_CLOEXEC));
    else if (p->source == FROM_GIVEN)
        p->made = starter_fds_lift(f, open(p->path, flags | O_NOCTTY | O_CLOEXEC, 0666));
    else
        return p->source == FROM_MAKER && p->made < 0 ? starter_fds_make(f, i) : 0;
    if (p->made >= 0)
        return 0;
    return starter_fds_refuse(f, e, "cannot open '%s': %s",
                              p->source == FROM_GIVEN ? p->path : "/dev/tty", strerror(-p->made));
}

/* In the background, setting modes stops us (SIGTTOU) until the shell's fg, as it does any program.
 * So there only for modes that its input depends on: a job that never touched them runs on. */
static bool must_have_modes(const struct starter_fds *f, int fd, const unsigned char *modes)
{
    bool foreground = f->o.foreground ? *f->o.foreground : tcgetpgrp(fd) == getpgrp();
    const tcflag_t plain = ICANON | ECHO | ISIG;
    tcflag_t local;
    memcpy(&local, modes + 3 * sizeof local, sizeof local); /* the kernel's c_lflag */
    return foreground || (local & plain) != plain;
}

static bool has_other_size(int fd, const unsigned char *size)
{
    struct winsize now;
    return ioctl(fd, TIOCGWINSZ, &now) == 0 && memcmp(&now, size, FDS_WINDOW_BYTES) != 0;
}

static void restore_terminal(struct starter_fds *f, const struct fds_entry *e, int fd)
{
    unsigned char state[FDS_TERMINAL_BYTES];
    const char *digits = fds_string(f->h, e->extra);
    size_t bytes = e->kind == FDS_TERMINAL ? strlen(digits) / 2 : 0;
    if (bytes != FDS_TERMINAL_BYTES && bytes != FDS_TERMIOS_BYTES)
        return;
    for (size_t i = 0; i < bytes; i++)
        if (sscanf(digits + 2 * i, "%2hhx", &state[i]) != 1)
            return;
    if (must_have_modes(f, fd, state))
        ioctl(fd, TCSETS, state);
    if (bytes == FDS_TERMINAL_BYTES && has_other_size(fd, state + FDS_TERMIOS_BYTES))
        f->resized = true;
}

/* Offset and flags of the open file description; those from the shadow have kept theirs. */
static int adjust(struct starter_fds *f, uint32_t i)
{
    const struct fds_entry *e = entry_at(f, i);
    const struct plan *p = &f->plans[i];
    bool opened = p->source == FROM_FILE || p->source == FROM_GIVEN;
    if (opened && e->offset > 0 && (e->kind == FDS_REGULAR || e->kind == FDS_DIRECTORY) &&
        !(e->flags & FDS_PATH_ONLY) && lseek(p->made, e->offset, SEEK_SET) < 0 && errno != ESPIPE)
        return starter_fds_refuse(f, e, "cannot go to offset %lld: %s", (long long)e->offset,
                                  strerror(errno));
    if (p->source == FROM_COMMAND || p->source == FROM_TERMINAL)
        restore_terminal(f, e, p->made);
    if (p->source == FROM_COMMAND && e->status & O_NONBLOCK)
        fcntl(p->made, F_SETFL, fcntl(p->made, F_GETFL) | O_NONBLOCK);
    return 0;
}

static int place(struct starter_fds *f)
{
    for (uint32_t i = 0; i < f->h->count; i++) {
        const struct fds_entry *e = entry_at(f, i);
        long from = f->plans[i].source == FROM_LEADER ? starter_fds_index(f, e->shares) : (long)i;
        int cloexec = e->flags & FDS_CLOEXEC ? O_CLOEXEC : 0;
        if (from < 0 || dup3(f->plans[from].made, e->number, cloexec) < 0)
            return starter_fds_refuse(f, e, "cannot put it in its place: %s", strerror(errno));
        if (e->owner == f->o.params->pid)
            fcntl(e->number, F_SETOWN, getpid());
    }
    return 0;
}

/* What stays open: the program's descriptors, the starter's, and the connection to the shadow. */
static int *list_staying(const struct starter_fds *f, size_t *count)
{
    int *staying = calloc(f->h->count + f->o.keep_count + 1, sizeof *staying);
    *count = 0;
    if (!staying)
        return NULL;
    for (uint32_t i = 0; i < f->h->count && !f->o.remote; i++)
        staying[(*count)++] = entry_at(f, i)->number;
    for (size_t i = 0; i < f->o.keep_count; i++)
        staying[(*count)++] = *f->o.keep[i];
    if (f->with_shadow)
        staying[(*count)++] = f->shadow.fd;
    return staying;
}

static int close_the_rest(struct starter_fds *f)
{
    size_t count;
    int *staying = list_staying(f, &count);
    if (!staying)
        return starter_fds_fail(f, -ENOMEM, "not enough memory to close our descriptors");
    starter_close_but(staying, count);
    free(staying);
    for (uint32_t i = 0; i < f->h->count; i++)
        f->plans[i].made = -1;
    return 0;
}

/* With remote I/O the program's numbers are not here. */
static int cut_back(struct starter_fds *f)
{
    for (uint32_t i = 0; i < f->h->count; i++) {
        const struct fds_entry *e = entry_at(f, i);
        int fd = f->o.remote ? f->plans[i].made : e->number;
        if (f->plans[i].cut && ftruncate(fd, e->size) < 0)
            return starter_fds_refuse(f, e, "cannot cut it back to %lld bytes: %s",
                                      (long long)e->size, strerror(errno));
    }
    return 0;
}

static int take(struct starter_fds *f)
{
    int error = clear_the_way(f);
    if (!error && f->with_shadow && !f->o.remote && !f->kept)
        error = starter_fds_fetch(f);
    for (uint32_t i = 0; !error && i < f->h->count; i++)
        error = open_late(f, i);
    for (uint32_t i = 0; !error && i < f->h->count; i++)
        error = f->plans[i].source == FROM_LEADER ? 0 : adjust(f, i);
    if (!error)
        error = f->o.remote ? starter_fds_remain(f) : place(f);
    if (!error && f->o.remote)
        error = cut_back(f);
    if (error)
        return error;
    error = close_the_rest(f);
    if (error || f->o.remote)
        return error;
    error = starter_fds_fill_epoll(f);
    if (!error)
        error = starter_fds_take_locks(f);
    return error ? error : cut_back(f);
}

/* --- the shadow of the restarted program --- */

static void keep_shadow(struct starter_fds *f, struct starter_fds_session *session)
{
    struct frame_header done;
    frame_header(&done, FRAME_DONE, f->shadow.session, f->shadow.sequence + 1, 0);
    memcpy(session->done, &done, sizeof done);
    session->done_size = sizeof done;
    session->connection = f->shadow.fd;
    snprintf(f->o.params->socket, sizeof f->o.params->socket, "%s", f->shadow.socket);
    f->shadow.fd = -1; /* the caller's now */
}

static void new_shadow(struct starter_fds *f, struct starter_fds_session *session)
{
    struct hijack_params *params = f->o.params;
    const char *shadow = f->o.shadow ? f->o.shadow : params->shadow;
    char why[256] = "";
    int error = f->key_in_use ? control_new_key(params->key) : 0;
    if (!error)
        error =
            control_socket_path(geteuid(), getegid(), params->key, params->socket, why, sizeof why);
    session->shadow = error ? error : starter_spawn_shadow(params, shadow, f->o.parent);
    if (session->shadow < 0)
        snprintf(session->warning, sizeof session->warning,
                 "the program runs without a shadow: %s; a raw signal still takes a checkpoint",
                 *why ? why : strerror((int)-session->shadow));
}

static void warn(struct starter_fds_session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void warn(struct starter_fds_session *session, const char *format, ...)
{
    size_t used = strlen(session->warning), room = sizeof session->warning - used;
    va_list arguments;
    va_start(arguments, format);
    if (used)
        used += (size_t)snprintf(session->warning + used, room, "; ");
    vsnprintf(session->warning + used, sizeof session->warning - used, format, arguments);
    va_end(arguments);
}

/* A line of execution that begins again where another one went on repeats what that one did. */
static void warn_of_repeating(const struct starter_fds *f, struct starter_fds_session *session)
{
    if (f->kept)
        warn(session,
             "the program went on after this image, until it ended: what it did since then to "
             "others "
             "than its files - sent, printed, signalled - stays done, and may be done again");
}

/* A file cut back to its old size is the old file only if the program has done nothing but append.
 */
static void warn_of_overwriting(const struct starter_fds *f, struct starter_fds_session *session)
{
    for (uint32_t i = 0; i < f->h->count; i++) {
        const struct fds_entry *e = entry_at(f, i);
        if (f->plans[i].cut && e->offset != e->size && !(e->status & O_APPEND)) {
            warn(session,
                 "'%s' was cut back to its old size, but the program writes not only at its "
                 "end: what it has overwritten since the image stays as it is",
                 entry_path(f, e));
            return;
        }
    }
}

static void settle_identity(struct hijack_params *params, int away)
{
    struct control_process self;
    params->pid = getpid();
    if (away && !getcwd(params->directory, sizeof params->directory))
        strcpy(params->directory, "/");
    if (control_process(getpid(), &self) == 0)
        params->start_time = self.start_time;
}

int starter_fds_take(struct starter_fds *f, struct starter_fds_session *session, char *error,
                     size_t error_size)
{
    *session = (struct starter_fds_session){.connection = -1, .floor = f->floor};
    *error = 0;
    f->error = error;
    f->error_size = error_size;
    int result = take(f);
    if (!result) {
        int mode = f->o.remote ? starter_fds_mode(f) : REMOTE_OFF;
        settle_identity(f->o.params, f->o.away || mode == REMOTE_AWAY);
        f->o.params->remote = (uint32_t)mode;
        session->remote = f->o.remote;
        session->resized = f->resized;
        starter_fds_policy(f);
        if (f->with_shadow)
            keep_shadow(f, session);
        else if (!f->o.no_shadow)
            new_shadow(f, session);
        warn_of_overwriting(f, session);
        warn_of_repeating(f, session);
    }
    starter_fds_free(f);
    return result;
}

int starter_fds_restore(const struct starter_fds_options *o, const void *note, size_t size,
                        struct starter_fds_session *session, char *error, size_t error_size)
{
    struct starter_fds *f;
    int result = starter_fds_check(o, note, size, &f, error, error_size);
    return result ? result : starter_fds_take(f, session, error, error_size);
}
