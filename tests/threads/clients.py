"""Clients of a redis server, on connections that they keep: each counts up a key of its own, ten requests at a time, and finds
every number once, until $STOP exists. Usage: clients.py SOCKET COUNT [PORT]; with PORT every second one comes by TCP. The
file $PROGRESS, if that is set, has how many replies the slowest has got."""
import os
import socket
import sys
import threading

wrong = []
counts = [0] * int(sys.argv[2])


def connect(number):
    if len(sys.argv) > 3 and number % 2:
        return socket.create_connection(("127.0.0.1", int(sys.argv[3])))
    server = socket.socket(socket.AF_UNIX)
    server.connect(sys.argv[1])
    return server


def tell():
    if "PROGRESS" in os.environ:
        with open(os.environ["PROGRESS"] + ".new", "w") as file:
            file.write(str(min(counts)))
        os.rename(os.environ["PROGRESS"] + ".new", os.environ["PROGRESS"])


def client(number):
    with connect(number) as server:
        replies = server.makefile("rb")
        expected = 0
        while not os.path.exists(os.environ["STOP"]) and not wrong:
            server.sendall(b"INCR key%d\r\n" % number * 10)
            for _ in range(10):
                expected += 1
                reply = replies.readline()
                if reply != b":%d\r\n" % expected:
                    wrong.append(f"client {number}: {reply} instead of {expected}")
                    return
            counts[number] = expected
            if number == 0:
                tell()


threads = [threading.Thread(target=client, args=(n,)) for n in range(int(sys.argv[2]))]
for thread in threads:
    thread.start()
print("ready", flush=True)
for thread in threads:
    thread.join()
print("\n".join(wrong) or "OK", flush=True)
raise SystemExit(bool(wrong))
