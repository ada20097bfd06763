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
