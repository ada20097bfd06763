#!/usr/bin/env bats
# What the user types, and what the process looks like before, during and after.

load lib

setup() { work_begin; }
teardown() { work_end; }

@test "the transcript: seven steps on stderr, the result on stdout" {
    start_blocked clock_nanosleep
    expect 0 gdb_hijack "$PID"
    [ "$output" = "process $PID is hijacked; to checkpoint it: gdb-hijack checkpoint $PID" ]
    names=$(sed -E 's/^  ([a-z ]+[a-z]) +[0-9]+\.[0-9] ms   .*/\1/' <<<"$errors" | paste -sd,)
    [ "$names" = "attach,safe point,load,shadow,replace,start,detach" ] || complain "$errors"
    grep -qE '^  safe point +[0-9.]+ ms   blocked in clock_nanosleep$' <<<"$errors" || complain "$errors"
    grep -qE '^  replace +[0-9.]+ ms   [0-9]+ functions patched, [0-9]+ by the net only, 0 uncovered' <<<"$errors" || complain "$errors"
    grep -qE '^  start +[0-9.]+ ms   signal 63 takes a checkpoint$' <<<"$errors" || complain "$errors"
    not grep -q $'\033' <<<"$errors"
    finish
}

@test "hijack, then release: text, mappings, signals, descriptors are as before" {
    start_blocked read
    snapshot before
    hijack
    not same 2>/dev/null
    untraced
    release
    untraced
    same
    finish
}

@test "the same as root" {
    WHO=root
    [ "$(id -u)" = 0 ] || skip "not root"
    start_blocked poll
    snapshot before
    hijack
    release
    untraced
    same
    finish
}

@test "root hijacks a user's process and it stays the user's" {
    [ "$(id -u)" = 0 ] || skip "not root"
    start_blocked read
    snapshot before
    user=$WHO WHO=root
    hijack
    [ "$(stat -c %U "/proc/$(shadow_of)")" = "$user" ]
    release
    same
    finish
}

@test "the subcommand hijack is the same as none" {
    start_blocked read
    expect 0 gdb_hijack hijack "$PID"
    [ "$output" = "process $PID is hijacked; to checkpoint it: gdb-hijack checkpoint $PID" ]
    finish
}

@test "-q says nothing, hijack and release" {
    start_blocked read
    expect 0 gdb_hijack -q "$PID"
    [ -z "$output$errors" ]
    expect 0 gdb_hijack release -q "$PID"
    [ -z "$output$errors" ]
    finish
}

@test "-v shows the dialogue with gdb" {
    start_blocked read
    expect 0 gdb_hijack -v "$PID"
    grep -q -- '-target-attach' <<<"$errors"
    grep -q '\^done' <<<"$errors"
    finish
}

@test "--json: schema, process, shadow, signal, steps; nothing else on stdout" {
    start_blocked read
    expect 0 gdb_hijack --json "$PID"
    [ "$(json "$output" "d['schema']")" = 1 ]
    [ "$(json "$output" "d['pid']")" = "$PID" ]
    [ "$(json "$output" "d['signal']")" = 63 ]
    [ "$(json "$output" "len(d['steps'])")" = 7 ]
    [ -d "/proc/$(json "$output" "d['shadow']")" ]
    finish
}

@test "a dry run touches nothing, and says so in the exit status" {
    start_blocked epoll_wait
    snapshot before
    expect 0 gdb_hijack -n "$PID"
    [ "$output" = "process $PID can be hijacked" ]
    same
    finish
}

@test "a dry run of a release touches nothing" {
    start_blocked epoll_wait
    expect 1 gdb_hijack release -n "$PID"
    [[ $errors == *"process $PID is not hijacked"* ]]
    hijack
    snapshot before
    expect 0 gdb_hijack release -n "$PID"
    [ "$output" = "process $PID can be released" ]
    same
    release
    finish
}

@test "status shows what is hijacked, and its shadow" {
    start_blocked read
    hijack
    expect 0 gdb_hijack status
    grep -qw "$PID" <<<"$output"
    shadow=$(shadow_of)
    has_exec "$shadow" "$(readlink -f "$(dirname "$GDB_HIJACK")/hijack-shadow")"
    release
    wait_until is_gone "$shadow"
    expect 0 gdb_hijack status
    not grep -qw "$PID" <<<"$output"
    finish
}

@test "the shadow is no child, shows no descriptor, and ends with the program" {
    start_target childless
    hijack
    shadow=$(shadow_of)
    [ -z "$(cat "/proc/$PID/task/$PID/children")" ]
    # At home it keeps none of the program's descriptors.
    [ -z "$(find "/proc/$shadow/fd" -lname "$DIR/*")" ]
    finish
    wait_until is_gone "$shadow"
}

@test "the shadow ends when the program is killed" {
    start_blocked read
    hijack
    shadow=$(shadow_of)
    kill -KILL "$PID"
    wait_until is_gone "$shadow"
    ends_with 1
}

@test "from another directory, by a relative path, through a symbolic link" {
    start_blocked read
    ln -s "$GDB_HIJACK" "$DIR/link"
    expect 0 as env -C "$DIR" ./link -q "$PID"
    expect 0 as env -C "$(dirname "$GDB_HIJACK")" ./gdb-hijack release -q "$PID"
    finish
}

@test "hijacked twice: refused, by name, unharmed" {
    start_blocked read
    hijack
    snapshot before
    expect 1 gdb_hijack "$PID"
    grep -q hijacked <<<"$errors"
    same
    release
    finish
}

@test "release of a process that is not hijacked: refused, unharmed" {
    start_blocked read
    snapshot before
    expect 1 gdb_hijack release "$PID"
    grep -q 'not hijacked' <<<"$errors"
    same
    finish
}

@test "hijacked and released three times over" {
    start_target alloc "$DIR/lines"
    snapshot before
    for _ in 1 2 3; do
        hijack
        release
        same_but_maps
    done
    finish
}

@test "usage: status 2, on stderr; help and version: status 0, on stdout" {
    expect 2 gdb_hijack
    [ -z "$output" ]
    [ -n "$errors" ]
    expect 2 gdb_hijack frobnicate
    grep -q frobnicate <<<"$errors"
    expect 2 gdb_hijack --no-such-option 1
    expect 2 gdb_hijack 1 2
    expect 2 gdb_hijack hijack
    expect 0 gdb_hijack --version
    [[ $output =~ ^gdb-hijack\ [0-9]+\.[0-9]+ ]]
    expect 0 gdb_hijack --help
    for command in hijack checkpoint restart status doctor release; do
        grep -qw "$command" <<<"$output" || complain "--help does not name $command"
        expect_help "$command"
    done
}

expect_help() {
    local before=$output
    expect 0 gdb_hijack "$1" --help
    [ -n "$output" ] || complain "$1 --help says nothing"
    output=$before
}
