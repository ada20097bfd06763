#!/usr/bin/env bats
# The net under the jumps: no call of the program's escapes, wherever its `syscall` instruction stands.

load lib
load away
load remote

setup_file() { away_begin; }
teardown_file() { away_end; }
setup() { work_begin && away_use; }
teardown() { work_end; }

# --- calls by instructions that are not libc's ---------------------------------------------------------------------------

has_made() { [ "$(cat "$DIR/rounds" 2>/dev/null || echo 0)" -ge "$1" ]; }
makes_rounds() {
    local rounds
    is_alive "$PID" && rounds=$(cat "$DIR/rounds") && wait_until has_made $((rounds + 2))
}

start_own_calls() { # PROGRAM
    as cp "$TARGETS/own_calls.so" "$DIR/library"
    as cp "$TARGETS/own_calls.so" "$DIR/library.2"
    start_target "$1" "$DIR/library"
    wait_until has_made 1
}

own_calls_remotely() {
    start_own_calls "$1"
    expect 0 gdb_hijack --remote-io -q "$PID"
    makes_rounds
    expect 0 gdb_hijack --local-io -q "$PID"
    makes_rounds
    expect 0 gdb_hijack --remote-io -q "$PID"
    makes_rounds
    finish
}

own_calls_away() {
    away_or_skip
    start_own_calls "$1"
    hijack_for_away
    there_and_back 1 makes_rounds
    leave_home
    go_away
    makes_rounds
    finish
}

@test "the program's own instructions: in the executable, in libraries, in memory" { own_calls_remotely own_calls; }
@test "... with musl" { own_calls_remotely musl/own_calls; }
@test "... away" { own_calls_away own_calls; }
@test "... away, with musl" { own_calls_away musl/own_calls; }

# --- what the kernel executes -------------------------------------------------------------------------------------------

# trace_calls: of $PID from now on, to $DIR/trace; the sockets that it has are $DIR/sockets
trace_calls() {
    find "/proc/$PID/fd" -type l -printf '%l\n' >"$DIR/sockets"
    strace -f -yy -s 4 -o "$DIR/trace" -p "$PID" 2>"$DIR/trace.err" 3>&- &
    started $!
    wait_until grep -q attached "$DIR/trace.err"
}

nothing_escaped() { "$PYTHON" "$TESTS/net_proof.py" "$GDB_HIJACK" "$DIR/sockets" "$DIR/trace" >"$DIR/seen"; }

# Every call of the table, each by libc's syscall() and by its function, is made while the kernel's side is watched.
start_surface() { # PROGRAM
    as mkdir "$DIR/b"
    start setsid -w "$TARGETS/$1" "$DIR/b"
    wait_until test -e "$DIR/ready"
    PID=$(cat "$DIR/ready")
    started "$PID"
}

surface_is_caught() { # PROGRAM
    start_surface "$1"
    hijack
    expect 0 gdb_hijack --remote-io -q "$PID"
    trace_calls
    finish
    nothing_escaped
}

@test "the kernel executes no call of a program whose I/O is remote, but the library's own" { surface_is_caught surface; }
@test "... of musl's" { surface_is_caught musl/surface; }
@test "... root's" {
    [ "$(id -u)" = 0 ] || skip "not root"
    work_as root
    surface_is_caught surface
}

@test "a call that escaped would be seen" {
    start_own_calls own_calls
    trace_calls
    makes_rounds
    finish
    not nothing_escaped 2>"$DIR/escaped"
    for call in open write pwrite64 rename getcwd; do
        grep -q "^escaped: $PID *$call(" "$DIR/escaped"
    done
}
