/* ckpt_fds_leave.c - what must be done, or stands against it, before the program's descriptors are
 * left behind. */
#include <errno.h>
#include <fcntl.h>
#include <asm/termbits.h>
#include <asm/ioctls.h>

#include "restart/ckpt_text.h"
#include "restart/fds.h"
#include "stubs/raw.h"

static void name_descriptor(struct text *why, const struct fds_header *h, const struct fds_entry *e)
{
    text_add(why, "descriptor ");
    text_number(why, e->number);
    text_add(why, " (");
    text_add(why, fds_string(h, e->path));
    text_add(why, ")");
}

long fds_sync(const struct fds_table *table, char *why, size_t size)
{
    const struct fds_header *h = table->data;
    struct text text = {why, size, 0};
    for (uint32_t i = 0; i < h->count; i++) {
        const struct fds_entry *e = fds_entries(h) + i;
        if (e->kind != FDS_REGULAR || (e->status & O_ACCMODE) == O_RDONLY ||
            e->shares != e->number || e->flags & FDS_PATH_ONLY)
            continue;
        long result = raw(SYS_fsync, e->number);
        if (result == 0 || result == -EROFS || result == -EINVAL || result == -ENOSYS)
            continue;
        text_add(&text, "cannot bring to disk ");
        name_descriptor(&text, h, e);
        text_cause(&text, result);
        return result;
    }
    return 0;
}

static int is_terminal(const struct fds_header *h, int number)
{
    for (uint32_t i = 0; i < h->count; i++)
        if (fds_entries(h)[i].number == number)
            return fds_entries(h)[i].kind == FDS_TERMINAL;
    return 0;
}

/* Flags only: which characters the user had is not to be known. SIGTTOU is blocked here. */
void fds_leave_terminal(const struct fds_table *table)
{
    struct termios modes;
    int group = 0;
    if (!is_terminal(table->data, 0) || !is_terminal(table->data, 1) ||
        raw(SYS_ioctl, 0, TIOCGPGRP, &group) != 0 || group != raw(SYS_getpgid, 0) ||
        raw(SYS_ioctl, 0, TCGETS, &modes) != 0 ||
        (modes.c_lflag & (ICANON | ECHO | ISIG)) == (ICANON | ECHO | ISIG))
        return;
    modes.c_iflag = (modes.c_iflag & ~(INLCR | IGNCR | ISTRIP)) | ICRNL | IXON;
    modes.c_oflag |= OPOST | ONLCR;
    modes.c_lflag |= ICANON | ECHO | ECHOE | ECHOK | ISIG | IEXTEN;
    raw(SYS_ioctl, 0, TCSETS, &modes);
}

static const char *cannot_travel(const struct fds_entry *e)
{
    switch (e->kind) {
    case FDS_IO_URING:
        return "an io_uring cannot be sent to the shadow";
    case FDS_BOUND:
        return "it is bound to this process or its memory";
    default:
        return NULL;
    }
}

long fds_check_leaving(const struct fds_table *table, char *why, size_t size)
{
    const struct fds_header *h = table->data;
    struct text text = {why, size, 0};
    for (uint32_t i = 0; i < h->count; i++) {
        const char *reason = cannot_travel(fds_entries(h) + i);
        if (!reason)
            continue;
        name_descriptor(&text, h, fds_entries(h) + i);
        text_add(&text, " cannot be kept while the program is away: ");
        text_add(&text, reason);
        text_add(&text, "; without --exit it goes on running");
        return -ENOTSUP;
    }
    return 0;
}
