#!/usr/bin/env bats
# Programs with threads whose I/O is remote: a channel for each, and a net; nobody waits for another's call.

load lib

setup() { work_begin; }
teardown() { work_end; }

remote() { expect 0 gdb_hijack -q --remote-io "$PID"; }
home() { expect 0 gdb_hijack -q --local-io "$PID"; }
checkpointed() { checkpoint && remote_is; }
remote_is() { [[ $(gdb_hijack status "$PID") == *remote* ]]; }

# A while at home, remote, checkpointed, at home again; the program checks itself.
goes_remote() {
    start_target "$1"
    local n
    for ((n = 0; n < ${ROUNDS:-2}; n++)); do
        remote && random_moment 300 && checkpointed && random_moment 300 && home && random_moment 100 || return 1
    done
    remote && random_moment 100 && finish
}

@test "reads, writes, cancellation, signals" { goes_remote threads_remote; }
@test "reads, writes, cancellation, signals, musl" { goes_remote musl/threads_remote; }
@test "every synchronisation object" { goes_remote sync; }
@test "every synchronisation object, musl" { goes_remote musl/sync; }
@test "threads created and ended all the time" { goes_remote storm; }
@test "signals for single threads" { goes_remote threads_signals; }

@test "python3: a thread that reads a pipe holds up nobody" {
    start "$PYTHON" -c '
import os, threading, time
r, w = os.pipe()
lines = []
reader = threading.Thread(target=lambda: lines.append(os.read(r, 10)))
reader.start()
open(os.environ["READY"], "w").close()
n = 0
while not os.path.exists("go") or n < 100:
    with open("log", "a") as f: f.write("x")
    n += 1
assert not lines
os.write(w, b"end")
reader.join()
assert lines == [b"end"] and os.path.getsize("log") == n'
    wait_until test -e "$DIR/ready"
    remote
    as touch "$DIR/go"
    ends_with 0
}

@test "restarted with remote I/O, and at home again" {
    start_target threads_remote
    hijack
    checkpoint --exit && wait_until is_gone "$MAIN"
    restart --remote-io && restart_begun
    checkpoint --exit && wait_until is_gone "$MAIN"
    restart && restart_begun
    finish
}

restart_begun() { wait_until is_restarted "$MAIN"; }

# A checkpoint finds threads in the calls by which the kernel hands such a lock on.
fought_for() {
    start_target "$1" 3
    hijack
    for ((n = 1; n <= ${ROUNDS:-5}; n++)); do
        checkpoint_exit
        restart_ready --remote-io
        random_moment 50
    done
    finish
}
@test "locks that threads fight for, restarted with remote I/O" { fought_for locks; }
@test "locks that threads fight for, musl" { fought_for musl/locks; }
