"""intruder.py PID SOCKET HEARD - attacks a shadow; says what it could do that it should not, and ends with 1.

Each attack is a connection of its own, by the shadow's own user, who may connect at all. What must
come of it is that the connection ends, that `status` tells of one refusal more and names it, and
that the session goes on. The key of the session is read out of the memory of process PID, as nobody
could who is not allowed to do with it what he likes. HEARD is what the shadow has heard until now
(tests/shadow/cutting.c).
"""
import array
import os
import random
import re
import socket
import struct
import sys

FRAMES = os.path.join(os.path.dirname(__file__), "../stubs/frame.h")
with open(FRAMES) as text:
    VERSION = int(re.search(r"#define FRAME_VERSION +(\d+)", text.read()).group(1))
MAGIC, HEADER = 0x4B4A4948, "<IHHIiQIIQ"
HELLO, STATUS, REQUEST, OFFER, REMOTE, CHANNEL, CANCEL, CALL = 2, 3, 4, 7, 17, 18, 19, 0x100
START, TABLE, DESCRIPTORS, COMMIT, REPORT, FETCH, UNLOCK, ADOPT, DONE, END = 1, 8, 9, 10, 11, 12, 13, 14, 15, 16
TOOL, APPLICATION, STARTER = 1, 2, 3
PID, SOCKET, HEARD = int(sys.argv[1]), sys.argv[2], sys.argv[3]
CUT, LONG, ALIEN, OTHER = "cut short or of a wrong length", "too long", "not a frame", "another version"
UNKNOWN, ORDER, STALE, USER = "unknown type", "out of sequence", "another session or epoch", "another user"
FDS, MANY = "descriptors that were not asked for", "too many connections"
failures = []


def frame(kind, sequence=1, payload=b"", magic=MAGIC, version=VERSION, length=None, session=0, epoch=0, channel=0):
    size = len(payload) if length is None else length
    return struct.pack(HEADER, magic, version, kind, size, 0, session, epoch, channel, sequence) + payload


def hello(role, key=bytes(16), **more):
    return frame(HELLO, 1, struct.pack("<I16s", role, key), **more)


def connect():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(SOCKET)  # which waits for its turn
    s.settimeout(20)
    return s


def status():
    """How many were refused, and the error of the last one."""
    s = connect()
    s.send(hello(TOOL))
    s.recv(70000)
    s.send(frame(STATUS, 2))
    answer = s.recv(70000)
    refused, error = struct.unpack_from("<Ii", answer, 40 + 36)
    return refused, -error


def named(error):
    return ERRORS.get(error, "error %d" % error)


ERRORS = {74: CUT, 71: ALIEN, 93: OTHER, 90: LONG, 95: UNKNOWN, 84: ORDER, 116: STALE, 13: USER, 9: FDS, 87: MANY}


def ended(s):
    """Reads until the connection ends: True. False: it was answered, or nothing came."""
    try:
        while True:
            answer = s.recv(70000)
            if not answer:
                return True
            if struct.unpack_from(HEADER, answer)[4] >= 0 and answer[6:8] != b"\x02\x80":
                return False
    except ConnectionResetError:
        return True
    except socket.timeout:
        return False


def attack(name, why, *messages, fds=0):
    before, _ = status()
    s = connect()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * fds))] if fds else []
    try:
        for message in messages:
            s.sendmsg([message], rights)
    except (BrokenPipeError, ConnectionResetError):
        pass
    over = ended(s)
    s.close()
    after, error = status()
    if not over or after != before + 1 or named(error) != why:
        failures.append(f"{name}: ended {over}, refused {after - before}: {named(error)} (not: {why})")


def session_key():
    """struct hijack_params, by its first words: version, size, signal, process."""
    with open(f"/proc/{PID}/maps") as maps, open(f"/proc/{PID}/mem", "rb", 0) as memory:
        for line in maps:
            m = re.match(r"(\w+)-(\w+) rw.. .*", line)
            if not m or not ("libhijack" in line or line.split()[-1].isdigit()):
                continue
            start, end = int(m[1], 16), int(m[2], 16)
            memory.seek(start)
            text = memory.read(end - start)
            for found in re.finditer(b"(?=" + re.escape(struct.pack("<i", PID)) + b")", text, re.DOTALL):
                at = found.start() - 12
                if at >= 0 and text[at + 72 + 4096:].startswith(SOCKET.encode() + b"\0"):
                    return text[at + 56:at + 72]
    sys.exit(f"the key was not found; socket {SOCKET!r}")


def conversations(role):
    """The messages of each connection that began with a hello in that role."""
    open_ones, all_of_them = {}, []
    with open(HEARD, "rb") as file:
        while head := file.read(8):
            number, size = struct.unpack("<II", head)
            message = file.read(size)
            if struct.unpack_from(HEADER, message)[2] == HELLO:
                open_ones[number] = []
                if struct.unpack_from("<I", message, 40)[0] == role:
                    all_of_them.append(open_ones[number])
            open_ones.setdefault(number, []).append(message)
    return all_of_them


def replay():
    """What the program has said, word for word, with its key, its session and its numbers."""
    said = conversations(APPLICATION)
    kinds = {struct.unpack_from(HEADER, message)[2] for messages in said for message in messages}
    if not {HELLO, REMOTE, CHANNEL} <= kinds:
        failures.append(f"only these were heard of the program: {kinds}")
    for messages in said:
        attack("a session of the program's, replayed", USER, *messages)


def many_at_once():
    """Connections that say nothing make room for those that do."""
    before, _ = status()
    silent = [connect() for _ in range(100)]
    tool = connect()
    tool.send(hello(TOOL))
    if not tool.recv(70000):
        failures.append("100 connections: a tool is not let in")
        return
    after, error = status()
    if after <= before or named(error) != MANY:
        failures.append(f"100 connections: refused {after - before}: {named(error)}")
    for s in silent:
        s.close()


def main():
    key = session_key()
    tool = hello(TOOL)
    replay()
    attack("garbage", ALIEN, random.Random(1).randbytes(1000))
    attack("nothing of a header", CUT, b"x")
    attack("a header that is cut", CUT, hello(TOOL)[:39])
    attack("a payload that is cut", CUT, hello(TOOL)[:-1])
    attack("a length that is too small", CUT, frame(HELLO, 1, bytes(20), length=19))
    attack("a length that is not allowed", LONG, frame(HELLO, 1, length=65537))
    attack("a length that would wrap", LONG, frame(HELLO, 1, length=0xFFFFFFFF))
    attack("another length than the type has", CUT, frame(HELLO, 1, bytes(21)))
    attack("magic", ALIEN, hello(TOOL, magic=MAGIC + 1))
    attack("version", OTHER, hello(TOOL, version=VERSION + 1))
    attack("type", UNKNOWN, tool, frame(999, 2))
    attack("a call at the door", UNKNOWN, tool, frame(CALL, 2))
    attack("a reply", ORDER, tool, frame(STATUS | 0x8000, 2))
    attack("sequence", ORDER, frame(HELLO, 2, tool[40:]))
    attack("the same again", ORDER, tool, tool)
    attack("session", STALE, hello(TOOL, session=12345))
    attack("channel", ORDER, hello(TOOL, channel=1))
    attack("before hello", USER, frame(STATUS, 1))
    attack("no such role", ALIEN, frame(HELLO, 1, struct.pack("<I16s", 9, key)))
    attack("a second hello", ALIEN, tool, frame(HELLO, 2, struct.pack("<I16s", STARTER, key)))
    attack("the application, without the key", USER, hello(APPLICATION))
    attack("the application with its key, from another process", USER, hello(APPLICATION, key))
    attack("a starter without the key", USER, hello(STARTER))
    attack("a starter without the session", STALE, hello(STARTER, key), frame(ADOPT, 2))
    for kind in (START, OFFER, TABLE, DESCRIPTORS, COMMIT, REPORT, FETCH, ADOPT, REMOTE, CHANNEL, CANCEL, UNLOCK, DONE):
        attack(f"a tool asks {kind}", UNKNOWN if kind == START else USER, tool, frame(kind, 2, bytes(16)))
    attack("descriptors with a hello", FDS, tool, fds=1)
    attack("a flood of descriptors", FDS, tool, fds=253)
    many_at_once()
    print(*failures, sep="\n")
    sys.exit(1 if failures else 0)


main()
