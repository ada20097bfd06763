"""Clients of a redis server, on connections that they keep: each counts up a key of its own, and finds every number once,
until $STOP exists. Usage: clients.py SOCKET COUNT"""
import os
import socket
import sys
import threading

wrong = []


def client(number):
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(sys.argv[1])
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


threads = [threading.Thread(target=client, args=(n,)) for n in range(int(sys.argv[2]))]
for thread in threads:
    thread.start()
print("ready", flush=True)
for thread in threads:
    thread.join()
print("\n".join(wrong) or "OK", flush=True)
raise SystemExit(bool(wrong))
