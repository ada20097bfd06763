#!/usr/bin/env bats
# All or nothing: gdb killed at every command, the mutator killed or failing at every step, the target killed in the middle.
# The target lives, unharmed and untraced; what a mutator that lived has begun is undone: text, mappings, signals as before.
#
# The faults are injected through the environment: HIJACK_FAULT_GDB=N, HIJACK_FAULT_GDB_BEFORE=N (gdbmi/mi_session.h),
# HIJACK_FAULT_STEP=NAME, HIJACK_FAULT_FAIL=NAME (driver/steps.h).

load lib

setup() { work_begin; }
teardown() { work_end; }

STEPS=("attach" "safe point" "load" "shadow" "replace" "start" "detach")

# attempt VARIABLE=VALUE...: hijacks $PID under a fault; $status tells how it ended
attempt() {
    status=0
    (cd "$DIR" && as env "$@" "$GDB_HIJACK" -q "$PID") >/dev/null 2>"$DIR/errors" 3>&- || status=$?
    errors=$(cat "$DIR/errors")
}

# No library, no shadow, no tracer, no word changed.
unharmed() {
    untraced && same && not grep -q libhijack "/proc/$PID/maps" && no_shadow
}

no_shadow() {
    wait_until shadow_is_gone
}

# Of this build: other tests may run meanwhile. A dead one that its new parent, init, has yet to reap is gone.
shadow_is_gone() {
    local pid
    for pid in $(pgrep -U "$WHO" -x -r R,S,D,T,t hijack-shadow); do
        not has_exec "$pid" "$(dirname "$(readlink -f "$GDB_HIJACK")")/hijack-shadow" || return 1
    done
}

# gdb_killed VARIABLE FIRST [EVERY]: $PID's, at command FIRST and every one, or every EVERYth, from there until the hijack gets
# through
gdb_killed() {
    local n
    snapshot before
    for ((n = $2; n < 500; n += ${3:-1})); do
        attempt "$1=$n"
        [ "$status" -ne 0 ] || break
        [ "$status" -eq 3 ] || [ "$status" -eq 1 ] || complain "$1=$n: status $status: $errors"
        [ -n "$errors" ] || complain "$1=$n: no message"
        unharmed || complain "$1=$n: $errors"
    done
    [ "$n" -gt 20 ] # or else nothing was injected
    echo "# got through at command $n" >&3
    release
    unharmed
    finish
}

@test "gdb killed right after each command in turn" {
    start_blocked read
    gdb_killed HIJACK_FAULT_GDB 1
}

@test "gdb killed right before each command in turn" {
    start_blocked read
    gdb_killed HIJACK_FAULT_GDB_BEFORE 1
}

@test "gdb killed right after each command in turn, with threads" {
    start_target threads_blocked restarted
    gdb_killed HIJACK_FAULT_GDB 15 2 # it attaches with the 15th
}

# as_said: the hijack has gone, and so says the release; or it stands, and works
as_said() {
    if grep -q libhijack "/proc/$PID/maps"; then
        not grep -q "everything was undone" <<<"$errors" && untraced && checkpoint && STANDS=$((STANDS + 1))
    else
        grep -q "everything was undone" <<<"$errors" && unharmed && UNDONE=$((UNDONE + 1))
    fi
}

@test "gdb killed right after each command of a release, up to its work: what it says has become of the hijack is so" {
    start_blocked read
    snapshot before
    hijack
    STANDS=0 UNDONE=0
    for ((n = 15; UNDONE == 0; n++)); do # it attaches with the 15th
        status=0
        (cd "$DIR" && as env HIJACK_FAULT_GDB=$n "$GDB_HIJACK" release -q "$PID") >/dev/null 2>"$DIR/errors" 3>&- || status=$?
        errors=$(cat "$DIR/errors")
        [ "$status" -ne 0 ]
        as_said || complain "HIJACK_FAULT_GDB=$n: status $status: $errors"
    done
    [ "$STANDS" -gt 0 ]
    finish
}

each_step_fails() {
    snapshot before
    for step in "${STEPS[@]}"; do
        attempt HIJACK_FAULT_FAIL="$step"
        case $step in attach | "safe point") wanted=1 ;; *) wanted=3 ;; esac
        [ "$status" -eq "$wanted" ] || complain "$step: status $status: $errors"
        grep -q "$step" <<<"$errors"
        unharmed || complain "after $step"
    done
    finish
}

# bats test_tags=as-root
@test "each step fails in turn: rolled back, status 3; before the first change status 1" {
    start_blocked epoll_wait
    each_step_fails
}

@test "each step fails in turn, with threads" {
    start_target threads_blocked
    each_step_fails
}

@test "each step fails in turn, on a program linked to musl" {
    BLOCKED=musl/blocked start_blocked epoll_wait
    each_step_fails
}

# mutator_killed START...: at each step of the program that this starts
mutator_killed() {
    for step in "${STEPS[@]}"; do
        "$@"
        snapshot before
        attempt HIJACK_FAULT_STEP="$step"
        [ "$status" -eq 137 ] || complain "$step: status $status: $errors"
        wait_until untraced 2>/dev/null
        untraced
        # What is left works like the original, and a release or another hijack is told how far it went.
        if grep -q libhijack "/proc/$PID/maps"; then
            release
            unharmed
        fi
        hijack
        release
        unharmed
        finish
    done
}

@test "the mutator is killed at each step in turn: the program goes on, and can be released or hijacked" {
    mutator_killed start_blocked epoll_wait
}

@test "the mutator is killed at each step in turn, on a program linked to musl" {
    BLOCKED=musl/blocked mutator_killed start_blocked epoll_wait
}

@test "the mutator is killed at each step in turn, with threads" {
    mutator_killed start_target threads_blocked
}

@test "the program is killed in the middle: status 4, nothing left behind" {
    for moment in 020 060 070 080 090 100 120; do
        start_blocked read
        (sleep "0.$moment" && exec kill -KILL "$PID") 3>&- &
        killer=$!
        attempt HIJACK_TEST=1
        wait "$killer"
        # 0: it was killed after the hijack; 1: before; 4: in between
        [ "$status" -eq 4 ] || [ "$status" -eq 0 ] || [ "$status" -eq 1 ] || complain "$moment: status $status: $errors"
        wait_until is_gone "$PID"
        ends_with 1
        no_shadow
    done
}

# bats test_tags=as-root
@test "the shadow is killed: the program goes on, a checkpoint still works or says why not" {
    start_blocked read
    hijack
    kill -KILL "$(shadow_of)"
    status=0
    gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt" 2>"$DIR/errors" || status=$?
    [ "$status" -eq 0 ] || grep -q shadow "$DIR/errors"
    untraced
    finish
}
