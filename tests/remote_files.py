"""remote_files.py WHAT - a program whose files are remote, buffered or of this host (--io), for remote-files.bats.

Tells that it is ready, waits for the file "go", does WHAT and checks itself; exit status 0: all was right.
"""
import errno
import mmap
import os
import sys
import time


def expect_error(number, function, *arguments):
    try:
        function(*arguments)
    except OSError as e:
        assert e.errno == number, e
        return
    raise AssertionError("no error")


def content(name):
    with open(name, "rb") as f:
        return f.read()


def buffer():
    """Small writes and reads, the offset looked at by every way in between."""
    with open("a.buf", "w+b", buffering=0) as f:
        for i in range(20000):
            f.write(b"%07d\n" % i)
            if i % 5000 == 4999:
                assert f.tell() == 8 * (i + 1) == os.fstat(f.fileno()).st_size
        os.pwrite(f.fileno(), b"REPLACE\n", 8 * 100)
        f.seek(0)
        for i in range(20000):
            assert f.read(8) == (b"%07d\n" % i if i != 100 else b"REPLACE\n"), i
            if i == 7777:
                assert f.tell() == 8 * (i + 1)
                f.seek(-8, 1)
                assert f.read(8) == b"%07d\n" % i
        copy = os.dup(f.fileno())
        f.seek(16)
        assert os.read(copy, 8) == b"%07d\n" % 2 and f.read(8) == b"%07d\n" % 3
        os.close(copy)
    assert os.path.getsize("a.buf") == 160000


def full():
    """The file system is full: the error of a write comes with a later call, and is not lost."""
    f = os.open("small/b.buf", os.O_WRONLY | os.O_CREAT)
    failed = 0
    for i in range(2000):
        try:
            assert os.write(f, b"x" * 4096) == 4096
        except OSError as e:
            failed = e.errno
            break
    if not failed:
        try:
            os.fsync(f)
        except OSError as e:
            failed = e.errno
    assert failed == errno.ENOSPC, failed
    try:
        os.close(f)
    except OSError as e:  # of another one of the writes
        assert e.errno == errno.ENOSPC, e


def closes():
    """... with close() at the latest, which closes all the same."""
    with open("small/filler", "wb") as filler:  # each call at home: it is full now
        assert os.write(filler.fileno(), b"x" * 1000000) < 1000000
        expect_error(errno.ENOSPC, os.write, filler.fileno(), b"x")
    f = os.open("small/c.buf", os.O_WRONLY | os.O_CREAT)
    os.write(f, b"x" * 60000)
    expect_error(errno.ENOSPC, os.close, f)
    expect_error(errno.EBADF, os.close, f)


def local():
    """Files of this host beside those of home."""
    here = os.path.join(os.getcwd(), "here")
    with open(here + "/a", "w+b", buffering=0) as f:
        f.write(b"hello")
        copy = os.dup(f.fileno())
        os.lseek(copy, 1, 0)
        assert f.read(2) == b"el"
        os.close(copy)
        second = os.open("plain", os.O_RDWR | os.O_CREAT)
        os.dup2(f.fileno(), second)
        os.lseek(second, 0, 0)
        assert os.read(second, 9) == b"hello"
        os.dup2(1, second)
        os.close(second)
        assert len(os.listdir(here)) == 1 and os.stat(here + "/a").st_size == 5
        assert mmap.mmap(f.fileno(), 5)[:] == b"hello"
    expect_error(errno.EXDEV, os.rename, here + "/a", os.path.join(os.getcwd(), "b"))
    os.rename(here + "/a", here + "/b")
    os.unlink(here + "/b")


def shared():
    """A shared writable mapping is written back, of a file that only this program uses."""
    with open("m.buf", "wb") as f:
        f.write(b"a" * 10000)
    with open("m.buf", "r+b") as f:
        m = mmap.mmap(f.fileno(), 0)
        m[5000:5005] = b"HELLO"
        m.flush()
        assert content("m.buf")[4999:5006] == b"aHELLOa"
        m[0:3] = b"xyz"
        m.close()
    assert content("m.buf")[:4] == b"xyza" and os.path.getsize("m.buf") == 10000
    with open("plain", "w+b") as f:
        f.write(b"a" * 5000)
        f.flush()
        expect_error(errno.ENODEV, mmap.mmap, f.fileno(), 0)
        assert mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)[:3] == b"aaa"
    with open("m.buf", "r+b") as f:
        last = mmap.mmap(f.fileno(), 0)
        last[9997:] = b"end"
        os._exit(0)


with open(os.environ["READY"], "w"):
    pass
while not os.path.exists("go"):
    time.sleep(0.01)
globals()[sys.argv[1]]()
