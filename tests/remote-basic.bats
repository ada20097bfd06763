#!/usr/bin/env bats
# --remote-io, --local-io and release of a program whose I/O is remote: it is unharmed, whatever it waits for, and whatever
# fails on the way. What remote calls do is remote-*.bats' else.

load lib

setup() { work_begin; }
teardown() { work_end; }

remote() { expect 0 gdb_hijack --remote-io -q "$PID"; }
local_io() { expect 0 gdb_hijack --local-io -q "$PID"; }
is_remote() { expect 0 gdb_hijack status --json "$PID" && [ "$(json "$output" "first(d, 'remote')")" = True ]; }
is_local() { expect 0 gdb_hijack status --json "$PID" && [ "$(json "$output" "first(d, 'remote')")" = False ]; }

unharmed() { untraced && same && not grep -q libhijack "/proc/$PID/maps"; }

# --- what the program waits for ------------------------------------------------------------------------------------------

# goes_and_comes CALL: away and home while it is blocked, then released: not a byte is other than before
goes_and_comes() {
    start_blocked "$1"
    snapshot before
    remote
    is_remote
    wait_until is_blocked "$PID"
    local_io
    is_local
    wait_until is_blocked "$PID"
    remote # of a process that is hijacked already
    wait_until is_blocked "$PID"
    release # takes the I/O home first
    untraced
    wait_until same
    finish
}

@test "blocked in read" { goes_and_comes read; }
@test "blocked in nanosleep" { goes_and_comes nanosleep; }
@test "blocked in clock_nanosleep, absolute" { goes_and_comes clock_nanosleep; }
@test "blocked in poll" { goes_and_comes poll; }
@test "blocked in ppoll" { goes_and_comes ppoll; }
@test "blocked in select" { goes_and_comes select; }
@test "blocked in pselect" { goes_and_comes pselect; }
@test "blocked in epoll_wait" { goes_and_comes epoll_wait; }
@test "blocked in futex" { goes_and_comes futex; }
@test "blocked in semtimedop" { goes_and_comes semtimedop; }
@test "blocked in sigtimedwait" { goes_and_comes sigtimedwait; }
@test "blocked in recv with SO_RCVTIMEO" { goes_and_comes recv; }
@test "blocked in accept" { goes_and_comes accept; }
@test "blocked in pause" { goes_and_comes pause; }
@test "blocked in sigsuspend" { goes_and_comes sigsuspend; }

@test "threads, one in each blocking call" {
    start_target threads_blocked
    snapshot before
    remote
    is_remote
    release
    untraced
    wait_until same '^SigBlk' # the main thread is at work
    finish
}

# ends_remote CALL: what it waits for comes while its I/O is remote
ends_remote() {
    start_blocked "$1"
    remote
    finish
}

@test "what a program waits for comes while its I/O is remote" {
    for call in read poll select epoll_wait nanosleep recv accept sigsuspend; do
        ends_remote "$call" || complain "$call"
    done
}

# --- signals that the kernel sends for a call -----------------------------------------------------------------------------

# ended_by SIGNAL CODE: the python code, run while I/O is remote, ends it; the shadow, which made the call, ends after it
ended_by() {
    start_program "$PYTHON" -c "
import os, resource, signal, time
signal.signal(signal.SIG$1, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
open('ready', 'w').close()
while not os.path.exists('go'): time.sleep(0.01)
os.write(1, b'before')
$2
os.write(1, b'after')"
    wait_until test -e "$DIR/ready"
    remote
    SHADOW=$(shadow_of)
    as touch "$DIR/go"
    ends_with $((128 + $(kill -l "$1")))
    [ "$(cat "$DIR/out")" = before ]
    wait_until is_gone "$SHADOW"
    as rm "$DIR"/*
}

@test "SIGPIPE and SIGXFSZ end a program that does not handle them" {
    ended_by PIPE 'r, w = os.pipe(); os.close(r); os.write(w, b"x")'
    ended_by PIPE 'import socket; a, b = socket.socketpair(); b.close(); a.send(b"x")'
    ended_by XFSZ 'resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); f = os.open("file", os.O_RDWR | os.O_CREAT); os.pwrite(f, b"x", 1000)'
    ended_by XFSZ 'resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); f = os.open("file", os.O_RDWR | os.O_CREAT); os.ftruncate(f, 1001)'
}

# --- programs at work ----------------------------------------------------------------------------------------------------

@test "to the shadow and home 50 times while a program appends records: none lost, doubled or cut" {
    start_program gawk 'BEGIN { while ((getline line < "stop") <= 0) { printf "record %d of a program\n", ++n; fflush(); close("stop") } }'
    wait_until test -s "$DIR/out"
    hijack
    for ((n = 1; n <= 50; n++)); do
        remote && local_io || complain "round $n"
    done
    release
    untraced
    echo stop >"$DIR/stop"
    ends_with 0
    gawk '$0 != "record " NR " of a program" { print NR ": " $0; bad = 1 } END { exit bad }' "$DIR/out"
    [ "$(wc -l <"$DIR/out")" -gt 50 ]
}

# same_result COMMAND...: prints the same as when nobody disturbs it, remote from some moment to another
same_result() {
    "$@" >"$DIR/undisturbed" 2>/dev/null </dev/null
    start_program "$@"
    remote
    random_moment 100
    is_gone "$PID" || expect 0 gdb_hijack --local-io -q "$PID" || is_gone "$PID" || return 1
    ends_with 0
    cmp "$DIR/out" "$DIR/undisturbed"
}

@test "gawk, python3, gzip print the same" {
    same_result gawk 'BEGIN { for (i = 0; i < 6000000; i++) { x = (x * 31 + i) % 65521; if (i % 1000 == 0) print i, x } }'
    head -c 60000000 /dev/urandom >"$DIR/data"
    chmod 644 "$DIR/data"
    same_result gzip -nc "$DIR/data"
    same_result "$PYTHON" -c 'for i in range(1500000): print(i * i, flush=i % 500 == 0)'
}

# --- refusals -----------------------------------------------------------------------------------------------------------

@test "refused, nothing touched: SIGSYS is the program's, its I/O is where it shall go" {
    start_program "$PYTHON" -c 'import signal; signal.signal(signal.SIGSYS, print); print("ready", flush=True); signal.pause()'
    wait_until test -s "$DIR/out"
    wait_until is_blocked "$PID"
    snapshot before
    expect 1 gdb_hijack --remote-io "$PID"
    [[ $errors == *SIGSYS* ]]
    same
    expect 1 gdb_hijack --local-io "$PID"
    [[ $errors == *"not hijacked"* ]]
    hijack
    expect 1 gdb_hijack --remote-io "$PID"
    expect 1 gdb_hijack --local-io "$PID"
    [[ $errors == *"itself already"* ]]
    release
    expect 2 gdb_hijack --remote-io --local-io "$PID"

    start_blocked read
    remote
    expect 1 gdb_hijack --remote-io "$PID"
    [[ $errors == *"already"* ]]
    finish
}

@test "doctor tells whether I/O can be remote" {
    start_blocked read
    expect 0 gdb_hijack doctor --json "$PID"
    [ "$(json "$output" "d['can_be_remote']")" = True ]
    finish
    start_program "$PYTHON" -c 'import signal; signal.signal(signal.SIGSYS, print); print("ready", flush=True); signal.pause()'
    wait_until test -s "$DIR/out"
    wait_until is_blocked "$PID"
    expect 0 gdb_hijack doctor --json "$PID"
    [ "$(json "$output" "d['can_be_remote']")" = False ]
    [ "$(json "$output" "[f['severity'] for f in d['findings'] if f['id'] == 'sigsys']")" = "['remote-io']" ]
}

# --- faults -------------------------------------------------------------------------------------------------------------

attempt() {
    status=0
    (cd "$DIR" && as env "$@" "$GDB_HIJACK" --remote-io -q "$PID") >/dev/null 2>"$DIR/errors" 3>&- || status=$?
    errors=$(cat "$DIR/errors")
}

@test "the step fails, or gdb-hijack is killed in it: undone, or hijacked with its I/O at home" {
    start_blocked read
    snapshot before
    attempt HIJACK_FAULT_FAIL=remote
    [ "$status" -eq 3 ]
    [[ $errors == *"everything was undone"* ]]
    unharmed
    attempt HIJACK_FAULT_STEP=remote
    [ "$status" -eq 137 ]
    is_local
    release
    unharmed
    hijack
    attempt HIJACK_FAULT_FAIL=remote # of a process that is hijacked already
    [ "$status" -eq 3 ]
    is_local
    release
    unharmed
    finish
}

@test "gdb killed after each command of a release of a remote program: released or hijacked, as it says, and unharmed" {
    start_blocked read
    snapshot before
    for ((n = 14; n < 120; n += 13)); do
        remote
        status=0
        (cd "$DIR" && as env HIJACK_FAULT_GDB=$n "$GDB_HIJACK" release -q "$PID") >/dev/null 2>"$DIR/errors" 3>&- || status=$?
        untraced
        ! grep -q libhijack "/proc/$PID/maps" || { is_local && release; }
        unharmed || complain "HIJACK_FAULT_GDB=$n: $(cat "$DIR/errors")"
    done
    finish
}

@test "the shadow is killed: calls fail, the program lives, and what remains is said" {
    start_program "$PYTHON" -uc 'import time
while True:
    try: print("x")
    except OSError as e: time.sleep(0.01)'
    wait_until test -s "$DIR/out"
    remote
    SHADOW=$(shadow_of)
    kill -KILL "$SHADOW"
    wait_until is_gone "$SHADOW"
    expect 1 gdb_hijack release "$PID"
    [[ $errors == *"shadow of process $PID is gone"*"EIO"* ]]
    is_alive "$PID"
    untraced
}

@test "the program is killed: the shadow ends" {
    start_blocked read
    remote
    SHADOW=$(shadow_of)
    kill -KILL "$PID"
    wait_until is_gone "$PID"
    wait_until is_gone "$SHADOW"
}
