"""A client of redis that stays connected: redis_client.py SOCKET COUNT ENOUGH

Counts a key up, one request after the other, until the file ENOUGH exists; every answer must be the next number. The file
COUNT has the last."""
import os
import socket
import sys

path, count, enough = sys.argv[1:]
connection = socket.socket(socket.AF_UNIX)
connection.connect(path)
stream = connection.makefile("rwb")
number = 0
while not os.path.exists(enough):
    stream.write(b"INCR key\r\n")
    stream.flush()
    number += 1
    answer = stream.readline()
    assert answer == b":%d\r\n" % number, (answer, number)
    with open(count, "w") as file:
        file.write(str(number))
