#!/usr/bin/env bats
# Who is not the program cannot do what only it may: refused, told by status, and the session goes on

load lib
load cuts

setup() { work_begin; }
teardown() { work_end; }

socket_of() {
    expect 0 gdb_hijack status --json "$PID" || return 1
    json "$output" "first(d, 'socket')"
}

last_refusal() {
    expect 0 gdb_hijack status --json "$PID" || return 1
    json "$output" "first(d, 'last_refusal')"
}

@test "every kind of wrong frame costs its connection and is named; 100 connections at once; the program goes on" {
    mkdir "$DIR/bin" && touch "$DIR/bin/heard" && chown "$WHO" "$DIR/bin/heard"
    start_records
    as "$PYTHON" "$TESTS/intruder.py" "$PID" "$(socket_of)" "$DIR/bin/heard"
    checkpoint
    finish
}

# The directory of the sockets is its user's alone; this is the check behind it.
@test "another user who reaches the socket is refused at once" {
    [ "$(id -u)" = 0 ] || skip "only root can be another user"
    own_runtime_directory
    start_records
    socket=$(socket_of)
    chmod 711 "$DIR" "$DIR/run" "$(dirname "$socket")" && chmod 666 "$socket"
    "$PYTHON" - "$socket" <<'PY'
import os, socket, sys
os.setresuid(65534, 65534, 65534)
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(20)
s.connect(sys.argv[1])
try:
    sys.exit(len(s.recv(100)))
except ConnectionResetError:
    pass
PY
    chmod 600 "$socket" && chmod 700 "$DIR/run" "$(dirname "$socket")"
    [[ $(last_refusal) == *"another user"* ]]
    finish
}

@test "the shadow stopped: the program waits, Ctrl-C ends it; continued: nothing is lost" {
    start_records
    shadow=$(shadow_of)
    executor=$(pgrep -P "$shadow")
    started "$shadow"
    started "$executor"
    kill -STOP "$shadow" "$executor"
    wait_until waits_for_reply
    kill -CONT "$shadow" "$executor"
    finish
    rm -rf "${DIR:?}/bin" "$DIR/feed"
    start_records
    shadow=$(shadow_of)
    executor=$(pgrep -P "$shadow")
    started "$shadow"
    started "$executor"
    kill -STOP "$shadow" "$executor"
    wait_until waits_for_reply
    kill -INT "$PID"
    ends_with 130
    kill -CONT "$shadow" "$executor"
    wait_until is_gone "$shadow"
    wait_until is_gone "$executor"
}
waits_for_reply() { in_state S "$PID" && grep -q 'poll\|sigsuspend' "/proc/$PID/wchan"; }

@test "the executor killed: every call fails, and the program can end" {
    start_records
    shadow=$(shadow_of)
    kill -KILL "$(pgrep -P "$shadow")"
    wait_until is_gone "$PID"
    ends_with 1
    wait_until is_gone "$shadow"
}
