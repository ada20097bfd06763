"""Lowers a process's soft RLIMIT_FSIZE when its first thread is about to make its first pwrite64, as a checkpoint does once it
has asked for the limit: limit.py PID BYTES. Says "ready" when it waits for that call."""
import ctypes
import os
import resource
import signal
import struct
import sys

SEIZE, INTERRUPT, SYSCALL, DETACH, SYSCALL_INFO = 0x4206, 0x4207, 24, 17, 0x420E
TRACESYSGOOD = 1
PWRITE64 = {"x86_64": 18}[os.uname().machine]
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
pid, limit = int(sys.argv[1]), int(sys.argv[2])


def ptrace(request, address=None, data=None):
    if libc.ptrace(request, pid, address, data) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def entered():
    """The number of the call that it is about to make; None at the end of one."""
    info = ctypes.create_string_buffer(88)
    ptrace(SYSCALL_INFO, len(info), ctypes.cast(info, ctypes.c_void_p))
    return struct.unpack_from("Q", info, 24)[0] if info[0] == b"\1" else None


def step(sig):
    """Runs it to its next stop: the signal that it is about to get, 0 at a system call."""
    ptrace(SYSCALL, None, sig)
    status = os.waitpid(pid, 0)[1]
    if not os.WIFSTOPPED(status):
        sys.exit("the process has ended")
    stopped = os.WSTOPSIG(status)
    return 0 if stopped & 0x80 or status >> 16 else stopped


ptrace(SEIZE, None, TRACESYSGOOD)
ptrace(INTERRUPT)
os.waitpid(pid, 0)
pending = step(0)
print("ready", flush=True)
while pending or entered() != PWRITE64:
    pending = step(pending)
hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, hard))
ptrace(DETACH)
