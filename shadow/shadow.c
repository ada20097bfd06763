/*
 * shadow.c - hijack-shadow SOCKET: start-up, the poll loop and the end. See shadow.h.
 *
 * Descriptor 0 is the spawner's socket pair; no secret is in the arguments. There is nobody to
 * print for: a start that fails is told to the spawner as the status of its FRAME_START.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shadow/shadow.h"

static struct shadow shadow;

/* The program's dispositions and mask were inherited. What the terminal sends, or anybody to the
 * whole process group, is for the program alone; SIGTERM comes through the signalfd. */
static int settle_signals(void)
{
    static const int own[] = {SIGTERM, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    sigset_t none, term;
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_IGN);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        signal(own[i], SIG_DFL);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &term, NULL);
    int fd = signalfd(-1, &term, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

/* The program's limits are not meant for us; what it may have open we must be able to hold. */
static void settle_limits(void)
{
    static const int limits[] = {RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_AS, RLIMIT_CPU, RLIMIT_DATA};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct rlimit limit;
        if (getrlimit(limits[i], &limit) == 0) {
            limit.rlim_cur = limit.rlim_max;
            setrlimit(limits[i], &limit);
        }
    }
}

/* Moves the spawner's socket away from 0 and puts /dev/null there; nothing else may have come
 * along. */
static int settle_descriptors(void)
{
    int spawner = fcntl(0, F_DUPFD_CLOEXEC, 3);
    if (spawner < 0)
        return -errno;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++)
        if (null < 0 || dup2(null, fd) < 0)
            return -errno;
    if (null > 2)
        close(null);
    return spawner;
}

/* Descriptors below 3 are /dev/null already when this is wrong, so it is checked here as well as by
 * the spawner. */
static int check_directory(const char *socket_path)
{
    char directory[108];
    struct stat st;
    snprintf(directory, sizeof directory, "%s", socket_path);
    char *slash = strrchr(directory, '/');
    if (!slash || slash == directory)
        return -EINVAL;
    *slash = 0;
    if (lstat(directory, &st) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 077) ? 0 : -EPERM;
}

/* A socket that nobody listens on was left by a shadow that was killed. */
static int remove_stale(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int result = connect(fd, (const struct sockaddr *)address, sizeof *address);
    int error = errno;
    close(fd);
    if (result == 0)
        return -EADDRINUSE;
    if (error == ECONNREFUSED)
        unlink(address->sun_path);
    return 0;
}

static int bind_private(int fd, const struct sockaddr_un *address)
{
    mode_t old = umask(0177); /* the umask is the program's context, too: put it back */
    int result = bind(fd, (const struct sockaddr *)address, sizeof *address);
    umask(old);
    return result < 0 ? -errno : 0;
}

/* It gets its name when it listens already: one that nobody listens on is a dead shadow's then, and
 * whoever finds it may remove it. Before, its name is as long, and no tool looks at it. */
static int listen_under_name(int fd, const struct sockaddr_un *address)
{
    struct sockaddr_un early = *address;
    early.sun_path[strlen(early.sun_path) - 1] = '~';
    unlink(early.sun_path); /* of one that was killed right here */
    int error = bind_private(fd, &early);
    if (error)
        return error;
    if (listen(fd, SHADOW_PEERS) < 0 || link(early.sun_path, address->sun_path) < 0)
        error = -errno;
    unlink(early.sun_path);
    return error;
}

static int open_listener(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int error = check_directory(path);
    if (!error)
        error = remove_stale(&address);
    if (error)
        return error;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    error = listen_under_name(fd, &address);
    if (error || lstat(path, &st) < 0) {
        close(fd);
        return error ? error : -errno;
    }
    snprintf(shadow.socket, sizeof shadow.socket, "%s", path);
    shadow.socket_dev = st.st_dev;
    shadow.socket_inode = st.st_ino;
    return fd;
}

static int receive_start(int spawner)
{
    static struct {
        struct frame_header header;
        struct frame_start start;
    } frame;
    struct ucred peer;
    socklen_t size = sizeof peer;
    ssize_t got = recv(spawner, &frame, sizeof frame, 0);
    if (got < 0)
        return -errno;
    int error = frame_check(&frame.header, (size_t)got);
    if (error)
        return error;
    if (frame.header.type != FRAME_START || frame.header.length != sizeof frame.start ||
        frame_check_text(frame.start.directory, sizeof frame.start.directory))
        return -EBADMSG;
    if (getsockopt(spawner, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
        session_innermost(peer.pid) != frame.start.pid)
        return -EACCES;
    shadow.start = frame.start;
    shadow.start.pid = peer.pid;
    shadow.own = frame.start.pid;
    shadow.session = frame_session(frame.start.key);
    memset(&frame.start, 0, sizeof frame.start);
    return 0;
}

static int begin(int spawner, const char *path)
{
    int error = receive_start(spawner);
    if (error)
        return error;
    /* What may not be read in the program may not be read here. 2 cannot be set and means root
     * only, as 0 does. */
    prctl(PR_SET_DUMPABLE, shadow.start.dumpable == 1, 0, 0, 0);
    int result = session_identify(shadow.start.pid, &shadow.start.start_time, shadow.name);
    if (result < 0)
        return result;
    shadow.application = result;
    result = open_listener(path);
    shadow.listener = result;
    return result < 0 ? result : 0;
}

static void answer_spawner(int spawner, int status)
{
    struct frame_header reply;
    frame_header(&reply, FRAME_START | FRAME_REPLY, shadow.session, 1, 0);
    reply.status = status;
    send(spawner, &reply, sizeof reply, MSG_NOSIGNAL);
    close(spawner);
}

static void run_once(int signals)
{
    enum {
        LISTENER,
        SIGNALS,
        APPLICATION,
        EXECUTOR,
        EXECUTOR_END,
        PEERS,
        ALL = PEERS + SHADOW_PEERS
    };
    struct pollfd polled[ALL] = {
        [LISTENER] = {shadow.listener, POLLIN, 0},
        [SIGNALS] = {signals, POLLIN, 0},
        [APPLICATION] = {shadow.application, POLLIN, 0},
        [EXECUTOR] = {shadow.remote.fd, POLLIN, 0},
        [EXECUTOR_END] = {shadow.remote.pidfd, POLLIN, 0},
    };
    for (int i = 0; i < SHADOW_PEERS; i++)
        polled[PEERS + i] = (struct pollfd){shadow.peers[i].fd, POLLIN, 0};
    if (poll(polled, ALL, -1) < 0)
        return;
    /* Frames before the end of their sender: its report may be among them, and what the executor
     * tells of the program's last calls. */
    for (int i = 0; i < SHADOW_PEERS; i++)
        if (polled[PEERS + i].revents && shadow.peers[i].fd == polled[PEERS + i].fd)
            serve_peer(&shadow, &shadow.peers[i]);
    if (polled[EXECUTOR].revents && shadow.remote.fd == polled[EXECUTOR].fd)
        remote_serve(&shadow);
    if (polled[EXECUTOR_END].revents && shadow.remote.pidfd == polled[EXECUTOR_END].fd &&
        !polled[EXECUTOR].revents)
        remote_ended(&shadow);
    if (polled[APPLICATION].revents && shadow.application == polled[APPLICATION].fd &&
        !polled[LISTENER].revents && !polled[EXECUTOR].revents)
        session_application_ended(&shadow);
    if (polled[LISTENER].revents)
        peer_accept(&shadow);
    if (polled[SIGNALS].revents)
        shadow.end = true;
}

static void remove_socket(void)
{
    struct stat st;
    if (lstat(shadow.socket, &st) == 0 && st.st_dev == shadow.socket_dev &&
        st.st_ino == shadow.socket_inode)
        unlink(shadow.socket);
}

int main(int argc, char **argv)
{
    prctl(PR_SET_NAME, "hijack-shadow");
    shadow.application = -1;
    remote_clear(&shadow.remote);
    for (int i = 0; i < SHADOW_PEERS; i++)
        shadow.peers[i].fd = -1;
    int spawner = argc == 2 ? settle_descriptors() : -EINVAL;
    if (spawner < 0)
        return 1;
    int signals = settle_signals();
    settle_limits();
    int error = signals < 0 ? signals : begin(spawner, argv[1]);
    answer_spawner(spawner, error);
    if (error)
        return 1;
    while (!shadow.end)
        run_once(signals);
    remote_end(&shadow);
    remote_await(&shadow);
    remove_socket();
    return 0;
}
