"""A program that takes one step for each order, the file "order.N": it reads a record of "input", appends it to "log" and
writes it to a file without a name; at its third step it reads, closes and removes "early". With an argument: it writes its
records to that named pipe, too. The order "end": it prints what the nameless file has."""
import os, sys, time

source = os.open("input", os.O_RDONLY)
log = os.open("log", os.O_WRONLY | os.O_APPEND)
early = os.open("early", os.O_RDONLY)
scratch = os.open("scratch", os.O_RDWR | os.O_CREAT, 0o600)
os.unlink("scratch")
pipe = os.open(sys.argv[1], os.O_WRONLY) if len(sys.argv) > 1 else -1

def step(n):
    record = os.read(source, 8)
    os.write(log, record)
    os.write(scratch, record)
    if pipe >= 0:
        os.write(pipe, record)
    if n == 3:
        print(os.read(early, 99).decode().strip(), flush=True)
        os.close(early)
        os.unlink("early")

def say(n):
    with open(f"done.{n}.new", "w"): pass
    os.rename(f"done.{n}.new", f"done.{n}")

n = 1
say(0)
while not os.path.exists("order.end"):
    if os.path.exists(f"order.{n}"):
        step(n)
        say(n)
        n += 1
    else:
        time.sleep(0.005)
os.lseek(scratch, 0, os.SEEK_SET)
sys.stdout.write(os.read(scratch, 9999).decode())
