"""remote_files.py WHAT - a program whose files are remote, buffered or of this host (--io), for remote-files.bats.

Tells that it is ready, waits for the file "go", does WHAT and checks itself; exit status 0: all was right.
"""
import ctypes
import errno
import mmap
import os
import resource
import signal
import sys
import threading
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


def syncs():
    """... with fsync() alone, when the program makes no other call."""
    with open("small/filler", "wb") as filler:
        assert os.write(filler.fileno(), b"x" * 1000000) < 1000000
    f = os.open("small/d.buf", os.O_WRONLY | os.O_CREAT)
    os.write(f, b"x" * 60000)
    expect_error(errno.ENOSPC, os.fsync, f)
    os.fsync(f)
    os.close(f)


def changes():
    """What was read ahead is not what is in the file any more, after a change by any other way."""
    size, new = 65536, b"n" * 16
    with open("new", "wb") as f:
        f.write(b"n" * size)
    source = os.open("new", os.O_RDONLY)
    ways = {
        "write": lambda f: os.write(f, new),
        "writev": lambda f: os.writev(f, [b"n" * 8, b"n" * 8]),
        "pwrite": lambda f: os.pwrite(f, new, 0),
        "pwritev": lambda f: os.pwritev(f, [new], 0),
        "copy_file_range": lambda f: os.copy_file_range(source, f, 16, 0, 0),
        "sendfile": lambda f: os.sendfile(f, source, 0, 16),
        "ftruncate": lambda f: os.ftruncate(f, 8),
        "truncate": lambda f: os.truncate("c.buf", 8),
        "O_TRUNC": lambda f: os.close(os.open("other", os.O_WRONLY | os.O_TRUNC)),
        "creat": lambda f: open("c.buf", "w").close(),
    }
    for name in ("c.buf", "other"):  # one that is buffered, and another name of the same file
        for way, change in ways.items():
            with open("c.buf", "wb") as f:
                f.write(b"o" * size)
            if not os.path.exists("other"):
                os.link("c.buf", "other")
            reader, writer = os.open("c.buf", os.O_RDONLY), os.open(name, os.O_WRONLY)
            assert os.read(reader, 8) == b"o" * 8
            change(writer)
            there = os.pread(source, 0, 0) + os.read(reader, 8)
            assert there == (b"" if "runc" in way.lower() or way == "creat" else b"n" * 8), (name, way, there)
            os.close(reader)
            os.close(writer)
    os.ftruncate(os.open("c.buf", os.O_WRONLY), 4)
    reader, writer = os.open("c.buf", os.O_RDONLY), os.open("c.buf", os.O_WRONLY | os.O_APPEND)
    assert os.read(reader, 100) == b"\0" * 4 and os.read(reader, 100) == b""
    for i in range(100):  # a reader that follows what is appended
        os.write(writer, b"%07d\n" % i)
        assert os.read(reader, 100) == b"%07d\n" % i


def numbers():
    """A descriptor's number is another file's now: of what was known of the first nothing holds of that."""
    first, plain = os.open("e.buf", os.O_RDWR | os.O_CREAT), os.open("plain", os.O_RDWR | os.O_CREAT)
    os.write(first, b"o" * 100)
    reader = os.open("e.buf", os.O_RDONLY)
    assert os.read(reader, 8) == b"o" * 8
    os.pwrite(plain, b"x", 0)  # another file: the descriptor is known as such
    os.close(plain)
    os.link("e.buf", "name")
    assert os.open("name", os.O_RDWR) == plain
    os.pwrite(plain, b"n" * 100, 0)
    assert os.read(reader, 8) == b"n" * 8
    os.dup2(plain, first)
    os.pwrite(first, b"m" * 100, 0)
    assert os.read(reader, 8) == b"m" * 8


def threads():
    """Threads that share a buffered descriptor: each byte is somebody's, once, and in order."""
    records = 60000
    with open("t.buf", "wb") as f:
        f.write(b"".join(b"%07d\n" % i for i in range(records)))
    for sizes in ((8,), (8, 4096), (24, 160000), (8, 8192, 0)):
        fd = os.open("t.buf", os.O_RDONLY)
        lists = [[] for _ in range(3)]

        def read(to, turn):
            while True:
                size = sizes[turn % len(sizes)]
                turn += 1
                piece = os.read(fd, size) if size else b"" + bytes(os.lseek(fd, 0, 1) % 8)
                if size and not piece:
                    return
                to.extend(int(n) for n in piece.split())

        readers = [threading.Thread(target=read, args=(to, n)) for n, to in enumerate(lists)]
        for r in readers:
            r.start()
        for r in readers:
            r.join()
        for to in lists:
            assert to == sorted(to), (sizes, "out of order")
        assert sorted(sum(lists, [])) == list(range(records)), (sizes, sum(map(len, lists)))
        os.close(fd)


def many():
    """Many small calls, between two marks for who counts what becomes of them at home."""
    os.path.exists("/begin")
    f = os.open("n.buf", os.O_RDWR | os.O_CREAT)
    for i in range(10000):
        os.write(f, b"%07d\n" % i)
    os.lseek(f, 0, 0)
    for i in range(10000):
        assert os.read(f, 8) == b"%07d\n" % i
    out = os.open("n.out", os.O_WRONLY | os.O_CREAT)  # not buffered: what was read ahead stays
    os.lseek(f, 0, 0)
    for i in range(100):
        assert os.read(f, 8) == b"%07d\n" % i
        os.write(out, b"x")
    os.close(f)
    os.path.exists("/end")


def step(name):
    """The test does something to the program, then makes the next file."""
    with open(name + ".done", "w"):
        pass
    while not os.path.exists(name + ".go"):
        time.sleep(0.01)


def reused():
    """A buffered file's number is a pipe's when its I/O becomes remote once more."""
    f = os.open("r.buf", os.O_RDWR | os.O_CREAT)
    os.write(f, b"x" * 100)
    os.lseek(f, 0, 0)
    assert os.read(f, 10) == b"x" * 10
    step("remote")
    assert os.lseek(f, 0, 1) == 10
    os.close(f)
    r, w = os.pipe()
    assert r == f
    step("local")
    os.write(w, b"abc")
    assert os.read(r, 1000) == b"abc"  # does not wait for more


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


def stays():
    """A file of this host is the same when all the others come home, and may go to the shadow then."""
    here = os.path.join(os.getcwd(), "here")
    f = os.open(here + "/a", os.O_RDWR | os.O_CREAT)
    copy = os.dup(f)
    os.set_inheritable(copy, True)
    plain = os.open("plain", os.O_RDWR | os.O_CREAT)
    os.write(f, b"remote,")
    os.write(plain, b"remote,")
    step("remote")
    os.write(copy, b"local,")
    os.write(plain, b"local,")
    assert not os.get_inheritable(f) and os.get_inheritable(copy)
    step("local")
    for fd in (f, plain):
        os.write(fd, b"remote")
        assert os.pread(fd, 99, 0) == b"remote,local,remote"
    assert content(here + "/a") == content("plain") == b"remote,local,remote"


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


PAGE = 4096
RW = mmap.PROT_READ | mmap.PROT_WRITE
ANONYMOUS, MAP_FIXED, NO_FILE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, 0x10, 0xffffffff
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p


def libc_call(function, *arguments):
    """The result; OSError as from the os module."""
    result = function(*[ctypes.c_ulong(a) for a in arguments])
    if result in (-1, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), function.__name__)
    return result


def mapping(name, protection=RW, size=4 * PAGE, flags=os.O_RDWR):
    """A file of that size, mapped shared; its address. The descriptor is closed."""
    with open(name, "wb") as f:
        f.write(b"a" * size)
    f = os.open(name, flags)
    at = libc_call(libc.mmap, 0, size, protection, mmap.MAP_SHARED, f, 0)
    os.close(f)
    return at


def poke(at, text):
    ctypes.memmove(at, text, len(text))


def protection():
    """A mapping for reading becomes one for writing: written back, or refused."""
    for name, flags in ("plain", os.O_RDWR), ("plain", os.O_RDONLY), ("p.buf", os.O_RDONLY):
        at = mapping(name, mmap.PROT_READ, flags=flags)
        expect_error(errno.EACCES, libc_call, libc.mprotect, at, PAGE, RW)
        expect_error(errno.EACCES, libc_call, libc.mprotect, at + PAGE, PAGE, RW)
        libc_call(libc.mprotect, at, PAGE, mmap.PROT_READ)
        libc_call(libc.munmap, at, 4 * PAGE)
    at = mapping("p.buf", mmap.PROT_READ)
    libc_call(libc.mprotect, at + PAGE, PAGE, RW)
    poke(at + PAGE, b"one")
    libc_call(libc.mprotect, at + PAGE, PAGE, mmap.PROT_READ)
    libc_call(libc.munmap, at, 4 * PAGE)
    assert content("p.buf") == b"a" * PAGE + b"one" + b"a" * (3 * PAGE - 3)
    at = mapping("p.buf", mmap.PROT_READ)
    with open("p.buf", "r+b") as f:
        f.write(b"by another way")
    libc_call(libc.munmap, at, 4 * PAGE)
    assert content("p.buf").startswith(b"by another way")


def parts():
    """Mappings that are unmapped in part, moved, grown, shrunk, replaced."""
    at = mapping("p.buf")
    for page in range(4):
        poke(at + page * PAGE, b"%d" % page)
    expect_error(errno.EINVAL, libc_call, libc.munmap, at + 1, PAGE)
    libc_call(libc.munmap, at + PAGE, 100)  # all of the page
    assert content("p.buf")[PAGE:][:1] == b"1" and content("p.buf")[:1] == b"a"
    poke(at, b"A"), poke(at + 2 * PAGE, b"C")
    here = libc_call(libc.mmap, at + PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, NO_FILE, 0)
    poke(here, b"not the file's")
    libc_call(libc.msync, at, 4 * PAGE, 4)
    assert [content("p.buf")[i * PAGE:][:1] for i in range(4)] == [b"A", b"1", b"C", b"3"]
    poke(at + 3 * PAGE, b"D")
    libc_call(libc.mmap, at + 3 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, NO_FILE, 0)
    assert content("p.buf")[3 * PAGE:][:1] == b"D"
    libc_call(libc.madvise, at + 2 * PAGE, PAGE, mmap.MADV_DONTNEED)
    poke(at, b"X")
    expect_error(errno.EBADF, libc_call, libc.mmap, at, PAGE, RW, mmap.MAP_SHARED | MAP_FIXED, 99, 0)
    moved = libc_call(libc.mremap, at + 2 * PAGE, PAGE, 2 * PAGE, 1)
    poke(moved, b"E"), poke(moved + PAGE + 1, b"F")
    libc_call(libc.munmap, moved, 2 * PAGE)
    assert content("p.buf")[2 * PAGE:3 * PAGE] == b"E" + b"a" * (PAGE - 1)
    assert content("p.buf")[3 * PAGE:] == b"DF" + b"a" * (PAGE - 2)
    libc_call(libc.munmap, at, PAGE)
    assert content("p.buf")[:2] == b"Xa"
    at = mapping("q.buf")
    poke(at + 3 * PAGE, b"cut off")
    libc_call(libc.mremap, at, 4 * PAGE, PAGE, 0)
    poke(at, b"kept")
    libc_call(libc.munmap, at, PAGE)
    assert content("q.buf") == b"kept" + b"a" * (3 * PAGE - 4) + b"cut off" + b"a" * (PAGE - 7)


def twice():
    """The same pages are not mapped a second time while they can be written to by one mapping alone."""
    at = mapping("t.buf")
    poke(at + PAGE, b"hello")
    f = os.open("t.buf", os.O_RDWR)
    def again(protection, size, offset):
        return libc_call(libc.mmap, 0, size, protection, mmap.MAP_SHARED, f, offset)

    os.truncate("t.buf", 5 * PAGE)
    behind = again(RW, PAGE, 4 * PAGE)
    expect_error(errno.ENODEV, again, RW, PAGE, 0)
    expect_error(errno.ENODEV, again, mmap.PROT_READ, 2 * PAGE, 3 * PAGE)
    expect_error(errno.ENOMEM, libc_call, libc.mremap, at, 4 * PAGE, 5 * PAGE, 1)
    libc_call(libc.mprotect, at, 4 * PAGE, mmap.PROT_READ)
    second = again(mmap.PROT_READ, 2 * PAGE, 0)
    assert ctypes.string_at(second + PAGE, 6) == b"helloa"
    expect_error(errno.EACCES, libc_call, libc.mprotect, at, PAGE, RW)
    libc_call(libc.mmap, second, 2 * PAGE, mmap.PROT_READ, mmap.MAP_SHARED | MAP_FIXED, f, PAGE)
    assert ctypes.string_at(second, 6) == b"helloa"
    libc_call(libc.mprotect, at + 3 * PAGE, PAGE, RW)
    libc_call(libc.mmap, at + 3 * PAGE, PAGE, RW, mmap.MAP_SHARED | MAP_FIXED, f, 3 * PAGE)
    libc_call(libc.mmap, second, 2 * PAGE, mmap.PROT_READ, mmap.MAP_SHARED | MAP_FIXED, f, 0)
    libc_call(libc.mprotect, at + 2 * PAGE, 2 * PAGE, RW)
    libc_call(libc.munmap, second, 2 * PAGE)
    libc_call(libc.mprotect, at, 4 * PAGE, RW)
    poke(at, b"bye"), poke(behind, b"end")
    libc_call(libc.munmap, at, 4 * PAGE), libc_call(libc.munmap, behind, PAGE)
    assert content("t.buf") == b"bye" + b"a" * (PAGE - 3) + b"hello" + b"a" * (3 * PAGE - 5) + b"end" + bytes(PAGE - 3)


def held():
    """The file of a mapping is not closed by a program that closes all that it does not know; nor is
    there a limit in the way."""
    closing = [lambda: libc_call(libc.close_range, 3, 0xffffffff, 0), lambda: libc_call(libc.close_range, 500, 600, 0),
               lambda: [libc.close(fd) for fd in range(3, 1200)], lambda: [os.dup2(1, fd) for fd in range(500, 600)]]
    for close in closing:
        at, second = mapping("h.buf"), mapping("i.buf")
        poke(at, b"hello"), poke(second, b"world")
        close()
        libc_call(libc.munmap, at, 4 * PAGE)
        libc_call(libc.msync, second, 4 * PAGE, 4)
        assert (content("h.buf")[:6], content("i.buf")[:6]) == (b"helloa", b"worlda")
        libc_call(libc.munmap, second, 4 * PAGE)
        libc_call(libc.close_range, 3, 0xffffffff, 0)
    for limit in 512, 20:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        at = mapping("h.buf")
        poke(at, b"hello")
        libc_call(libc.munmap, at, 4 * PAGE)
        assert content("h.buf")[:6] == b"helloa"


def full_mapping():
    """The file system takes a part of what is written back: an error, and no success."""
    libc_call(libc.munmap, mapping("small/m.buf", size=PAGE), PAGE)
    os.truncate("small/m.buf", 64 * PAGE)
    f = os.open("small/m.buf", os.O_RDWR)
    at = libc_call(libc.mmap, 0, 64 * PAGE, RW, mmap.MAP_SHARED, f, 0)
    with open("small/filler", "wb") as filler:
        filler.write(b"x" * 10 * PAGE)
    poke(at, b"hello" * PAGE)
    expect_error(errno.ENOSPC, libc_call, libc.msync, at, 64 * PAGE, 4)
    os.unlink("small/filler")
    libc_call(libc.msync, at, 64 * PAGE, 4)
    assert content("small/m.buf")[:5 * PAGE] == b"hello" * PAGE


def not_written():
    """What cannot be written back stays in memory when I/O comes home."""
    at = mapping("small/m.buf", size=PAGE)
    os.truncate("small/m.buf", 64 * PAGE)
    libc_call(libc.munmap, at, PAGE)
    f = os.open("small/m.buf", os.O_RDWR)
    at = libc_call(libc.mmap, 0, 64 * PAGE, RW, mmap.MAP_SHARED, f, 0)
    with open("small/filler", "wb", buffering=0) as filler:
        expect_error(errno.ENOSPC, lambda: [filler.write(b"x" * PAGE) for _ in range(1000)])
    poke(at + 32 * PAGE, b"hello")
    with open("full", "w"):
        pass
    while not os.path.exists("home"):
        time.sleep(0.01)
    assert ctypes.string_at(at + 32 * PAGE, 6) == b"hello\0"


def limited():
    """What is written to memory is no write beyond the limit of a file's size: no signal for it, and an error of msync at most."""
    at = mapping("l.buf")
    f = os.open("l.buf", os.O_RDWR)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PAGE, resource.RLIM_INFINITY))
    poke(at, b"hello"), poke(at + 2 * PAGE, b"hello")
    expect_error(errno.EFBIG, libc_call, libc.msync, at, 4 * PAGE, 4)
    libc_call(libc.munmap, at, 4 * PAGE)
    assert content("l.buf")[:6] == b"helloa"
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGXFSZ])
    os.pwrite(f, b"x", 2 * PAGE) # behind the program's back
    expect_error(errno.EFBIG, os.fsync, f)
    assert signal.sigtimedwait([signal.SIGXFSZ], 0).si_pid == os.getpid()


def steps():
    """Writes a digit into a mapping each time that it is told to, and in the end leaves it to exit()."""
    at = mapping("s.buf")
    with open("mapped", "w"):
        pass
    for step in range(1, 10):
        while not os.path.exists(f"step.{step}") and not os.path.exists("end"):
            time.sleep(0.01)
        poke(at + (step % 4) * PAGE + step, b"%d" % step)
        if os.path.exists("end"):
            break
        with open(f"done.{step}", "w"):
            pass


with open(os.environ["READY"], "w"):
    pass
while not os.path.exists("go"):
    time.sleep(0.01)
globals()[sys.argv[1]]()
