#!/usr/bin/env bats
# Signals come as without a hijack: none lost, none new, none in the wrong handler. ROUNDS (default 5).

load lib

setup() { work_begin; }
teardown() { work_end; }

# bats test_tags=as-root
@test "a program with its own SIGTRAP and SIGSEGV handlers" {
    start_target handlers
    rounds "${ROUNDS:-5}" same_but_maps_and_mask
    finish
}

# bats test_tags=as-root
@test "a signal every millisecond: each counted, no EINTR" {
    start_target ticker
    rounds "${ROUNDS:-5}" same_but_maps_and_mask
    finish
}

@test "no children: wait says ECHILD, SIGCHLD never comes" {
    start_target childless
    rounds "${ROUNDS:-5}"
    finish
}

@test "malloc, free and fprintf all the time" {
    start_target alloc "$DIR/lines"
    rounds "${ROUNDS:-5}"
    finish
}

@test "a hundred checkpoints of it: no expiration of its timer is lost or counted twice" {
    start_target ticker
    hijack
    for ((n = 0; n < 100; n++)); do checkpoint; done
    release
    finish
}

# bats test_tags=as-root
@test "mask, dispositions, pending signals, timers, limits, names: as set" {
    start_target mask "$DIR"
    rounds "${ROUNDS:-2}" same
    finish
}

# bats test_tags=as-root
@test "a raw kill takes a checkpoint, named after process and start time, where the hijack was ordered" {
    start_blocked nanosleep
    hijack
    name=$DIR/hijack.$PID.$(awk '{ print $22 }' "/proc/$PID/stat").ckpt
    kill -s 63 "$PID"
    wait_until test -e "$name"
    [ "$(stat -c %a "$name")" = 600 ]
    is_alive "$PID"
    finish
}

# bats test_tags=as-root
@test "another signal than the usual one" {
    start_blocked read
    expect 0 gdb_hijack -q --signal 62 "$PID"
    checkpoint
    release
    finish
}
