"""peers.py HOW - a program with connections and locks, and its peers, for home-peers.bats.

The parent is the peers: it holds the other ends of a TCP connection, of a Unix socket and of two
pipes, and tries a flock and a record lock. It tells the program to take the next step of HOW, and
logs what it then sees at each end: so the log is the same in every run that nothing disturbs. The
child is the program; its process id is in the file "ready", it begins when "stop" is there. A file
"executor" holds the id of the process that makes the program's calls; when a signal has ended the
program, its descriptors are closed at the latest when that has ended, too.
"""
import fcntl
import os
import select
import signal
import socket
import sys
import time

NAMES = "tcp", "unix", "pipe", "out"
LIMIT = 20


def program(how, fds, order, files):
    """Takes a step for each byte that comes along `order`, and its end with HOW."""
    with open("ready.tmp", "w") as f:
        f.write(str(os.getpid()))
    os.rename("ready.tmp", "ready")
    while not os.path.exists("stop"):
        time.sleep(0.01)
    everything = fds + files
    if how in ("close", "dup2"):
        null = os.open("/dev/null", os.O_RDWR)
        for fd in everything:
            os.read(order, 1)
            os.close(fd) if how == "close" else os.dup2(null, fd)
    os.read(order, 1)
    if how == "close_range":
        os.closerange(min(everything), max(everything) + 1)
        os.read(order, 1)
    elif how == "exec":
        os.set_inheritable(order, True)
        os.set_inheritable(fds[0], True)  # the TCP connection stays
        os.execv("/bin/dd", ["dd", f"if=/dev/fd/{order}", "of=/dev/null", "bs=1", "count=1", "status=none"])
    elif how == "reset":
        s = socket.socket(fileno=fds[0])
        s.shutdown(socket.SHUT_WR)
        os.read(order, 1)
    elif how == "daemon":
        # The end of file of `last`, the highest number, means that the daemon closed them all. (No pipe: reading() takes
        # one who reads a pipe for one who waits for an order.)
        closed, last = [s.detach() for s in socket.socketpair()]
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.closerange(0, order)
                os.closerange(order + 1, 256)
                os.read(order, 1)
                with open("child", "w") as f:
                    f.write("sid %d\n" % (os.getsid(0) not in (0, os.getpid())))
            os._exit(0)
        os.close(last)
        os.wait()
        os.read(closed, 1)
    elif how == "abort":
        os.abort()
    os._exit(0)


def connect():
    """Pairs (ours, the program's) of every kind; none is inherited across an exec."""
    listener = socket.create_server(("127.0.0.1", 0))
    theirs = socket.create_connection(listener.getsockname())
    ours = listener.accept()[0]
    listener.close()
    unix = socket.socketpair()
    read, write = os.pipe()
    read2, write2 = os.pipe()
    return [(ours.detach(), theirs.detach()), (unix[0].detach(), unix[1].detach()), (read, write), (write2, read2)]


def locks():
    """A file with a flock, one with a record lock, held by whoever opens them here."""
    flock, record = (os.open(name, os.O_RDWR | os.O_CREAT, 0o600) for name in ("flock", "record"))
    fcntl.flock(flock, fcntl.LOCK_EX)
    fcntl.lockf(record, fcntl.LOCK_EX)
    return [flock, record]


def is_free(name, take):
    fd = os.open(name, os.O_RDWR)
    try:
        take(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return "free"
    except OSError:
        return "held"
    finally:
        os.close(fd)


def seen(name, fd):
    """What this end shows at this moment."""
    poll = select.poll()
    poll.register(fd, select.POLLIN | select.POLLOUT | select.POLLRDHUP if name != "pipe" else select.POLLIN)
    events = dict(poll.poll(0)).get(fd, 0)
    words = [w for w in ("IN", "HUP", "RDHUP", "ERR", "OUT") if events & getattr(select, "POLL" + w)]
    if events & select.POLLIN:
        try:
            words.append("read %r" % os.read(fd, 10))
        except OSError as e:
            words.append("read " + e.strerror)
    return " ".join(words)


def picture(ours):
    lines = [f"{name}: {seen(name, fd)}" for name, fd in zip(NAMES, ours)]
    return lines + ["flock: " + is_free("flock", fcntl.flock), "record: " + is_free("record", fcntl.lockf)]


def executor():
    try:
        with open("executor") as f:
            return int(f.read())
    except FileNotFoundError:
        return None


def is_blocked(pid):
    """A thread of it waits for a pipe. (It may end meanwhile.)"""
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/wchan") as f:
                if "pipe" in f.read():
                    return True
    except OSError:
        pass
    return False


def await_executor(status):
    end = time.monotonic() + LIMIT
    while executor() and os.WIFSIGNALED(status) and os.path.exists(f"/proc/{executor()}"):
        if time.monotonic() > end:
            sys.exit("the executor does not end")
        time.sleep(0.002)


def reading(order_pipe, waiting):
    """All of the earlier orders have been carried out: the program waits for the next, or has ended."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        pid, status = os.waitpid(waiting, os.WNOHANG)
        if pid:
            await_executor(status)
            return status
        blocked = is_blocked(executor() or waiting)
        unread = fcntl.ioctl(order_pipe, 0x541B, b"\0\0\0\0")
        if blocked and unread == b"\0\0\0\0":
            return None
        time.sleep(0.002)
    sys.exit("the program neither waits nor ends")


def peers(how, ours, order, order_read, pid):
    with open("log", "w") as log:
        status = reading(order_read, pid)
        step = 0
        while True:
            print(f"--- step {step}", *picture(ours), sep="\n", file=log, flush=True)
            if status is not None:
                break
            if how == "reset" and step == 1:
                os.write(ours[0], b"unread")
            os.write(order, b".")
            status = reading(order_read, pid)
            step += 1
        print("status", status, file=log)


def main(how):
    pairs = connect()
    ours, theirs = [p[0] for p in pairs], [p[1] for p in pairs]
    order_read, order = os.pipe()
    pid = os.fork()
    if pid == 0:
        for fd in ours + [order]:
            os.close(fd)
        program(how, theirs, order_read, locks())
    for fd in theirs:
        os.close(fd)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    while not os.path.exists("stop") and how != "killed":
        time.sleep(0.005)
    if how == "killed":
        status = os.waitpid(pid, 0)[1]
        await_executor(status)
        with open("log", "w") as log:
            print(*picture(ours), "status", status, sep="\n", file=log)
        return
    peers(how, ours, order, order_read, pid)
    if how == "daemon":
        os.write(order, b".")
        while not os.path.exists("child"):
            time.sleep(0.005)
        with open("child") as f, open("log", "a") as log:
            log.write(f.read())


main(sys.argv[1])
