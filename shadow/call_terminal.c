/*
 * call_terminal.c - job control: what a background process may not do at its controlling terminal
 * stops the program, not the executor (which ignores the terminal's signals): see call.h.
 *
 * The executor is in the program's session and group. Since it ignores SIGTTIN, a read that would
 * stop it fails with EIO and has taken nothing. Since it ignores SIGTTOU, a write or a change of
 * modes would simply be done, and is asked about before (tty_check_change() of the kernel's
 * drivers/tty/tty_jobctrl.c and its callers).
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "shadow/call.h"

/* Only the controlling terminal tells its foreground group; but for the master of any
 * pseudo-terminal, which tells the other side's. */
static bool in_background(int fd)
{
    pid_t foreground;
    int number;
    if (ioctl(fd, TIOCGPTN, &number) == 0)
        return false;
    return ioctl(fd, TIOCGPGRP, &foreground) == 0 && foreground != getpgrp();
}

static bool stops_writers(int fd)
{
    struct termios modes;
    return in_background(fd) && tcgetattr(fd, &modes) == 0 && modes.c_lflag & TOSTOP;
}

/* TCSETS2, TCSETSW2, TCSETSF2: struct termios2 is in no header beside libc's. */
#define SETS2 _IOW('T', 0x2b, char[44])

static bool changes_terminal(unsigned command)
{
    static const unsigned commands[] = {
        TCSETS, TCSETSW, TCSETSF, TCSETA,  TCSETAW,  TCSETAF,  SETS2,    SETS2 + 1, SETS2 + 2,
        TCFLSH, TCXONC,  TCSBRK,  TCSBRKP, TIOCSBRK, TIOCCBRK, TIOCSETD, TIOCSPGRP,
    };
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (commands[i] == command)
            return true;
    return false;
}

int call_stops_before(const struct plan *p)
{
    int fd = (int)p->args[0];
    switch (p->request.number) {
    case SYS_write:
    case SYS_writev:
        return stops_writers(fd) ? SIGTTOU : 0;
    case SYS_ioctl:
        return changes_terminal((unsigned)p->args[1]) && in_background(fd) ? SIGTTOU : 0;
    default:
        return 0;
    }
}

int call_stops_after(const struct plan *p, int64_t result)
{
    bool reads = p->request.number == SYS_read || p->request.number == SYS_readv;
    return reads && result == -EIO && in_background((int)p->args[0]) ? SIGTTIN : 0;
}

/* The parent, from /proc/PID/stat (the name before it may hold anything); 0: not to be had. */
static pid_t parent_of(pid_t pid)
{
    char path[64], text[512];
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[size] = 0;
    char *end = strrchr(text, ')');
    return end && sscanf(end, ") %*c %d", &parent) == 1 ? parent : 0;
}

/* An orphaned process group (credentials(7)): the nearest ancestor outside of the group is of
 * another session, as init or the terminal's emulator is, and cannot continue it. */
bool call_is_orphaned(void)
{
    pid_t group = getpgid(executor.application), session = getsid(executor.application);
    for (pid_t pid = executor.application; group > 0 && (pid = parent_of(pid)) > 0;)
        if (getpgid(pid) != group)
            return getsid(pid) != session;
    return false;
}
