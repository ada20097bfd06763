/* terminal.c - ioctls on a pseudo-terminal of the program's own, which controls nobody. */
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "surface.h"

struct kernel_termios {
    uint32_t flags[4];
    uint8_t line, control[19];
};

static void show_modes(const struct kernel_termios *t)
{
    show_bytes("modes", t, sizeof *t);
}

/* What is written on one side arrives at the other when the kernel gets to it, in pieces. */
static void arrived(int fd, int size)
{
    const struct timespec moment = {0, 1000000};
    int now = 0;
    CALL(poll, (&(struct pollfd){fd, POLLIN, 0}), 1, -1);
    while (ioctl(fd, FIONREAD, &now) == 0 && now < size)
        nanosleep(&moment, NULL);
}

static void pseudo_terminal(void)
{
    int number = -1, unlocked = 0, value = 7;
    char name[64];
    struct winsize size = {24, 80, 1, 2};
    struct kernel_termios modes;
    int master = CALL(open, "/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
    CALL(ioctl, master, TIOCGPTN, &number);
    CALL(ioctl, master, TIOCSPTLCK, &unlocked);
    CALL(ioctl, master, TIOCSPTLCK, BAD);
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    int slave = CALL(open, name, O_RDWR | O_NOCTTY | O_NONBLOCK);
    CALL(ioctl, slave, TIOCGWINSZ, &size);
    show("    %d %d", size.ws_row, size.ws_col);
    size = (struct winsize){50, 132, 3, 4};
    CALL(ioctl, master, TIOCSWINSZ, &size);
    memset(&size, 0, sizeof size);
    CALL(ioctl, slave, TIOCGWINSZ, &size);
    show("    %d %d %d %d", size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel);
    CALL(ioctl, slave, TIOCGWINSZ, BAD);
    CALL(ioctl, slave, TIOCSWINSZ, BAD);
    CALL(ioctl, slave, TCGETS, &modes);
    show_modes(&modes);
    CALL(write, master, "line\n", 5);
    arrived(slave, 5);
    CALL(ioctl, slave, FIONREAD, &value);
    show("    %d", value);
    CALL(read, slave, other, 100);
    CALL(read, slave, other, 100);
    arrived(master, 6);
    CALL(read, master, other, 100);
    show_bytes("echo", other, 6);
    modes.flags[3] &= ~(uint32_t)(ICANON | ECHO);
    CALL(ioctl, slave, TCSETS, &modes);
    CALL(ioctl, slave, TCSETSW, &modes);
    CALL(ioctl, slave, TCSETSF, &modes);
    CALL(ioctl, slave, TCSETS, BAD);
    CALL(ioctl, slave, TCGETS, &modes);
    show_modes(&modes);
    CALL(write, master, "raw", 3);
    arrived(slave, 3);
    CALL(read, slave, other, 100);
    CALL(write, slave, "a\nb", 3);
    arrived(master, 4);
    CALL(ioctl, slave, TIOCOUTQ, &value);
    CALL(read, master, other, 100);
    show_bytes("output", other, 4);
    CALL(ioctl, slave, TCFLSH, 2);
    CALL(ioctl, slave, TCFLSH, 99);
    CALL(ioctl, slave, TCXONC, TCOON);
    CALL(ioctl, slave, TCSBRK, 1);
    CALL(ioctl, slave, TIOCGPGRP, &value);
    CALL(ioctl, slave, TIOCSPGRP, &value);
    CALL(ioctl, slave, TIOCGSID, &value);
    CALL(ioctl, slave, TIOCGETD, &value);
    show("    %d", value);
    CALL(ioctl, slave, TIOCEXCL, 0);
    CALL(ioctl, slave, TIOCNXCL, 0);
    CALL(ioctl, slave, TIOCNOTTY, 0);
    CALL(ioctl, master, TIOCPKT, &value);
    CALL(ioctl, slave, 0x54ff, 0);
    CALL(close, slave);
    CALL(read, master, other, 100);
}

const struct surface_case terminal_cases[] = {
    {"a pseudo-terminal", pseudo_terminal},
    {NULL, NULL},
};
