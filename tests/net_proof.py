#!/usr/bin/env python3
"""net_proof.py GDB_HIJACK SOCKETS TRACE - nothing escapes: what the kernel executed for a program whose I/O is remote.

TRACE is by `strace -f -yy -s 4`, which does not see what the net catches; SOCKETS lists the sockets that the process had before (the
library's: of the program there is no descriptor). Each call that has to do with descriptors, paths or identity must be one of the
library's own, below; of the others the row must say that they are made here. Prints what it has seen; each other call is a line on
stderr, and the status is 1.
"""
import collections
import json
import re
import subprocess
import sys

# By a regular expression for the arguments; SOCKET is one of the library's sockets, PROGRAM the process itself.
OWN = [
    ("socketpair", r"AF_UNIX, SOCK_STREAM\|SOCK_CLOEXEC, 0, \[SOCKET, SOCKET\]", "a channel to the executor is made"),
    ("setsockopt", r"SOCKET, SOL_SOCKET, SO_SNDBUF, \[524288\], 4", "... wide enough for what a call carries"),
    ("sendmsg", r'SOCKET, \{.*iov_base="HIJK".*\}, (MSG_DONTWAIT\|)?MSG_NOSIGNAL', "a frame to the shadow"),
    ("sendmsg", r"SOCKET, \{.*\}, (MSG_DONTWAIT\|)?MSG_NOSIGNAL", "... the rest of one"),
    ("recvmsg", r"SOCKET, .*", "a reply"),
    ("recvfrom", r'SOCKET, "HIJK".*', "an answer of the door"),
    ("ppoll", r"\[\{fd=SOCKET, events=POLL(IN|OUT)[|A-Z]*\}(, \{fd=(-1|\d+<anon_inode:\[signalfd\]>)[^}]*\})?\], .*", "... is waited for, or a signal"),
    ("signalfd4", r"(-1|\d+<anon_inode:\[signalfd\]>), .*", "that tells of signals meanwhile"),
    ("fcntl", r"SOCKET, F_DUPFD_CLOEXEC, \d+", "a descriptor of ours goes to a number where none of the program's could be"),
    ("close", r"(SOCKET|\d+<anon_inode:\[signalfd\]>|\d+</proc/\d+/(status|maps|cmdline)>)", "of one of these"),
    ("openat", r'AT_FDCWD<[^>]*>, "/proc/self/(status|maps|cmdline|none)", O_RDONLY\|O_CLOEXEC', "what of /proc is about the memory and threads here"),
    ("read", r"\d+</proc/\d+/(status|maps|cmdline)>, .*", "... and is read"),
    ("prlimit64", r"\d+, RLIMIT_NOFILE, NULL, .*", "our own limit, or another process's"),
    ("process_vm_readv", "PROGRAM, .*", "the program's own memory, where it may not be there"),
    ("process_vm_writev", "PROGRAM, .*", "..."),
    ("getuid", "", "the sender of a signal that the program sends itself"),
]
FRAME = next(index for index, row in enumerate(OWN) if row[2] == "a frame to the shadow")
LINE = re.compile(r"(\d+) +(\w+)\((.*)")
CONCERNS = re.compile(r'\d+<[^<>]*[:/]|AT_FDCWD|"/|RLIMIT_NOFILE')


def calls_made_elsewhere(gdb_hijack):
    table = json.loads(subprocess.run([gdb_hijack, "doctor", "--calls", "--json"], stdout=subprocess.PIPE, check=True).stdout)
    rows = {row["name"]: row["away"] for row in table["calls"]}
    numbers = {"syscall_%#x" % row["number"]: row["name"] for row in table["calls"]}
    return {name for name, away in rows.items() if away in ("forwarded", "refused")}, rows, numbers


SOCKET = re.compile(r"\d+<UNIX(?:-STREAM)?:\[(\d+)(?:->\d+)?[^>]*\]>")


def find_own(pid, name, arguments, sockets):
    """The index in OWN. Sockets that are the library's are named so first."""
    named = SOCKET.sub(lambda m: "SOCKET" if m[1] in sockets else m[0], arguments)
    for index, (own, pattern, _) in enumerate(OWN):
        if own == name and re.match(pattern.replace("PROGRAM", pid), named):
            return index
    return None


def main():
    gdb_hijack, before, trace = sys.argv[1:]
    elsewhere, rows, numbers = calls_made_elsewhere(gdb_hijack)
    with open(before, encoding="ascii") as f:
        sockets = set(re.findall(r"socket:\[(\d+)\]", f.read()))
    seen, escaped, caught = collections.Counter(), 0, 0
    with open(trace, encoding="utf-8", errors="replace") as f:
        lines = f.readlines()
    for line in lines:
        caught += "--- SIGSYS" in line
        match = LINE.match(line)
        if not match:
            continue
        pid, name, arguments = match[1], numbers.get(match[2], match[2]), match[3]
        if name == "socketpair":
            sockets.update(re.findall(r"UNIX-STREAM:\[(\d+)->(?:\d+)\]", arguments))
        own = find_own(pid, name, arguments, sockets)
        if own is not None:
            seen[own] += 1
        elif name in elsewhere or name not in rows or CONCERNS.search(arguments):
            escaped += 1
            print("escaped:", line.strip()[:300], file=sys.stderr)
    for index, (name, _, why) in enumerate(OWN):
        print(f"{seen[index]:7} {name}: {why}")
    print(f"{caught:7} caught by the net")
    sys.exit(escaped > 0 or caught < 1000 or seen[FRAME] < 1000)


main()
