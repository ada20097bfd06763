"""Restarts a program with threads where their old ids are free, but are given in another order: other_ids.py GDB_HIJACK

No thread may get an id that another one had; the threads are told apart by their names, which are their old ids. Runs in a
pid namespace with the right to choose ids: what it starts has not.
"""
import os
import subprocess
import sys
import time

GDB_HIJACK, IMAGE = sys.argv[1], "ids.ckpt"
PROGRAM = """
import threading, time
def named():
    open("/proc/thread-self/comm", "w").write(str(threading.get_native_id()))
    time.sleep(3600)
for n in range(8):
    threading.Thread(target=named).start()
"""


def name(pid, thread):
    """Of one that may have ended."""
    try:
        return open(f"/proc/{pid}/task/{thread}/comm").read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def threads(process):
    """{id: name}, once there are all and have their names; but the main thread."""
    pid = process.pid
    while process.poll() is None:
        found = {int(t): name(pid, t) for t in os.listdir(f"/proc/{pid}/task")}
        found.pop(pid, None)
        if len(found) == 8 and all(n.isdigit() for n in found.values()):
            return {t: int(n) for t, n in found.items()}
        time.sleep(0.01)
    sys.exit(f"ended with status {process.returncode}")


def end(process):
    process.kill()
    process.wait()


def start(*command, stderr=None):
    command = ["setpriv", "--ambient-caps", "-all", "--inh-caps", "-all", *command]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)


program = start(sys.executable, "-c", PROGRAM, stderr=subprocess.DEVNULL)
old = threads(program)
for command in [], ["checkpoint", "-o", IMAGE]:
    assert start(GDB_HIJACK, *command, "-q", str(program.pid)).wait() == 0
end(program)
met = 0
for before in range(3):
    with open("/proc/sys/kernel/ns_last_pid", "w") as f:
        f.write(str(min(old) - before))
    program = start("unshare", "--user", "--map-current-user", GDB_HIJACK, "restart", IMAGE)
    new = threads(program)
    end(program)
    shared = [t for t in new if t in old]
    met += bool(shared) and sorted(new) != sorted(old)
    wrong = [t for t in shared if new[t] != t]
    assert not wrong, f"threads {wrong} of {new} had other ids"
    assert sorted(new.values()) == sorted(old), new
assert met, "no old id was given again"
