"""Threads that compute, pass work on through a queue, sleep and run children, until $STOP exists; each checks its own results."""
import hashlib
import os
import queue
import subprocess
import threading
import time

wrong = []


def stopped():
    return os.path.exists(os.environ["STOP"])


def digest(seed, rounds):
    value = bytes([seed])
    for _ in range(rounds):
        value = hashlib.sha256(value).digest()
    return value


def repeat(check):
    """check() until the end; what it raises or denies is wrong."""

    def run():
        while not stopped() and not wrong:
            try:
                if not check():
                    wrong.append(check.__name__)
            except Exception as error:
                wrong.append(f"{check.__name__}: {error!r}")

    return threading.Thread(target=run)


expected = digest(7, 2000)
items = queue.Queue(maxsize=2)
lock = threading.Lock()
timed = threading.Event()


def computes():
    return digest(7, 2000) == expected


def puts():
    items.put(os.urandom(16))
    return True


def takes():
    try:
        return len(items.get(timeout=1)) == 16
    except queue.Empty:
        return stopped()


def sleeps():
    begun = time.monotonic()
    time.sleep(0.02)
    return time.monotonic() - begun >= 0.02


def waits():
    begun = time.monotonic()
    return not timed.wait(0.02) and time.monotonic() - begun >= 0.019


def spawns():
    return subprocess.run(["/bin/echo", "here"], stdout=subprocess.PIPE, check=True).stdout == b"here\n"


threads = [repeat(check) for check in (computes, computes, puts, takes, sleeps, waits, spawns)]
for thread in threads:
    thread.start()
print("ready", flush=True)
for thread in threads:
    if thread is threads[2]:
        while thread.is_alive():  # it may wait for room
            try:
                items.get_nowait()
            except queue.Empty:
                pass
            thread.join(0.01)
    thread.join()
print("\n".join(wrong) or "OK", flush=True)
raise SystemExit(bool(wrong))
