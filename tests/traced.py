"""Makes calls of many kinds between two marks, for a comparison of `gdb-hijack trace` with strace: traced.py [FILE].

With FILE it first waits until that is there.
"""
import fcntl
import os
import select
import socket
import sys
import termios
import time

while len(sys.argv) > 1 and not os.path.exists(sys.argv[1]):
    time.sleep(0.01)


def tried(function, *arguments):
    try:
        function(*arguments)
    except (OSError, termios.error):
        pass


def files():
    fd = os.open("traced", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(fd, b'abc\0\x011\xff"\\\n' * 5)
    os.lseek(fd, -10, os.SEEK_END)
    os.read(fd, 4)
    os.pread(fd, 5, 0)
    os.pwrite(fd, b"x", 3)
    os.ftruncate(fd, 10)
    os.posix_fallocate(fd, 0, 100)
    os.fsync(fd)
    fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_GETFD)
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
    fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20)
    fcntl.lockf(fd, fcntl.LOCK_EX)
    fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    tried(termios.tcgetattr, fd)
    os.umask(0o22)
    os.uname()
    os.getcwd()
    os.getresuid()
    os.memfd_create("memory")
    os.close(fd)


def terminals():
    _, terminal = os.openpty()
    termios.tcgetattr(terminal)
    fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8))
    fcntl.ioctl(terminal, termios.FIONREAD, bytes(4))


def waiting():
    reader, writer = os.pipe()
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    poll.poll(0)
    os.write(writer, b"y")
    poll.poll(1000)
    epoll = select.epoll()
    epoll.register(reader, select.EPOLLIN | select.EPOLLET)
    epoll.close()


def sockets():
    one, other = socket.socketpair()
    one.send(b"hello")
    other.recv(10, socket.MSG_PEEK)
    one.shutdown(socket.SHUT_WR)
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", 0))
    server.listen(5)
    client = socket.socket()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.connect(server.getsockname())
    client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    server.accept()
    tried(socket.socket(socket.AF_UNIX).connect, "/nowhere")
    tried(socket.socket(socket.AF_INET6).bind, ("::1", 0))


tried(os.open, "/begin", os.O_RDONLY)
files()
terminals()
waiting()
sockets()
tried(os.open, "/end", os.O_RDONLY)
