#!/usr/bin/env bats
# The call surface: every row of the table, the same with remote I/O as without (tests/surface/surface.h).

load lib
load away
load remote

setup_file() { away_begin; }
teardown_file() { away_end; }
setup() { :; }
teardown() { work_end; }

# The program with its I/O remote; its lines are $DIR/out.
run_remotely() {
    start setsid -w "$TARGETS/$1" "$DIR/b"
    wait_until test -e "$DIR/ready"
    PID=$(cat "$DIR/ready")
    started "$PID"
    expect 0 gdb_hijack --remote-io --json "$PID"
    [[ $output =~ \"shadow\":\ ([0-9]+) ]] && started "${BASH_REMATCH[1]}"
    finish
}

# Descriptors that stand in the way of the program's own numbers are closed.
run_plainly() {
    (close_inherited && cd "$DIR" && as env -u READY -u STOP setsid -w "$TARGETS/$1" "$DIR/a") </dev/null >"$DIR/plain" 2>&1
}

same_as_plainly() { # PROGRAM
    work_begin
    as mkdir "$DIR/a" "$DIR/b"
    run_plainly "$1"
    run_remotely "$1"
    diff "$DIR/plain" "$DIR/out" >&2
}

@test "an ordinary user's calls" { same_as_plainly surface; }
@test "an ordinary user's calls, by way of musl" { same_as_plainly musl/surface; }

# A row that is not there makes its call end in ENOSYS: so each needs a call that ends in something else.
@test "root's calls; no row could be missing unnoticed" {
    WHO=root same_as_plainly surface
    not grep -E '^(no case|ENOSYS only): ' "$DIR/plain"
}

@test "root's calls, by way of musl" { WHO=root same_as_plainly musl/surface; }

# --- where none of its files are ----------------------------------------------------------------------------------------

# Nothing may differ: who and where it is, its limits and its descriptors are home's; what is the other host's by nature (memory,
# threads, clocks, signals) the program shows only as far as it is the same everywhere.
same_away() { # PROGRAM
    work_begin
    away_use
    away_or_skip
    as mkdir "$DIR/a" "$DIR/b"
    run_plainly "$1"
    start setsid -w "$TARGETS/$1" "$DIR/b"
    wait_until test -e "$DIR/ready"
    PID=$(cat "$DIR/ready")
    started "$PID"
    hijack_for_away
    leave_home
    go_away
    finish
    diff "$DIR/plain" "$DIR/out" >&2
}

@test "an ordinary user's calls, away" { same_away surface; }
@test "an ordinary user's calls, away, by way of musl" { same_away musl/surface; }
