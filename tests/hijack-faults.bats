#!/usr/bin/env bats
# All or nothing: gdb killed at every command, the mutator killed or failing at every step, the target killed in the middle.
# The target lives, unharmed and untraced; what a mutator that lived has begun is undone: text, mappings, signals as before.
#
# The faults are injected through the environment: at commands to gdb (gdbmi/mi_fault.h), at steps (driver/steps.h).

load lib
load faults

# All of them: scripts/soak-faults.sh
setup() { STRIDE=20 && work_begin && own_build; }
teardown() { work_end; }

STEPS=("attach" "safe point" "load" "shadow" "replace" "start" "detach")

@test "gdb killed right after a command: everything is undone" {
    start_blocked read
    gdb_killed HIJACK_FAULT_GDB 1
}

@test "gdb killed right before a command" {
    start_blocked read
    gdb_killed HIJACK_FAULT_GDB_BEFORE 1
}

@test "gdb killed right after a command, with threads" {
    start_target threads_blocked restarted
    gdb_killed HIJACK_FAULT_GDB "$MENDS"
}

@test "the mutator killed right after a command to gdb: the program is unharmed, and what is left a release takes away" {
    start_blocked read
    self_killed HIJACK_FAULT_SELF 1
}

@test "the mutator killed right before a command to gdb" {
    start_blocked read
    self_killed HIJACK_FAULT_SELF_BEFORE "$ATTACHES"
}

@test "the program killed right after a command to gdb: status 4 once it was touched, nothing left behind" {
    target_killed 1 start_blocked read
}

@test "a signal comes right after a command to gdb, and its handler leaves by longjmp: hijacked all the same" {
    target_left $((ATTACHES + 4)) $((ATTACHES + 13)) # while our code is put in
}

@test "... or takes a second in one of two threads" {
    target_late $((ATTACHES + 8)) $((ATTACHES + 11))
}

@test "gdb killed right after a command of a release: what it says has become of the hijack is so" {
    start_blocked read
    release_gdb_killed HIJACK_FAULT_GDB "$ATTACHES"
}

@test "the mutator killed right after a command of a release: another release finishes the work" {
    start_blocked read
    release_self_killed HIJACK_FAULT_SELF "$ATTACHES"
}

# release_step STEP: it fails there, then gdb-hijack is killed there
release_step() {
    attempt_to release HIJACK_FAULT_FAIL="$1"
    case $1 in attach | "safe point") wanted=1 ;; *) wanted=3 ;; esac
    [ "$status" -eq "$wanted" ] && grep -q "step $1 fails" <<<"$errors" || return 1
    if [ "$wanted" = 1 ]; then mapped && untraced && checkpoint; else as_said; fi || return 1
    mapped || hijack || return 1
    attempt_to release HIJACK_FAULT_STEP="$1"
    [ "$status" -eq 137 ] && wait_until untraced 2>/dev/null && same_but_our_own
}

@test "each step of a release fails, and the mutator is killed in it: what stands can be released" {
    start_blocked epoll_wait
    snapshot before
    for step in attach "safe point" undo detach; do
        mapped || hijack
        release_step "$step" || complain "$step: status $status: $errors"
        taken_away
    done
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

# bats test_tags=as-root
@test "the shadow is killed: said clearly; a raw signal still takes a checkpoint, a new hijack gives it another shadow" {
    start_blocked read
    hijack
    kill -KILL "$SHADOW"
    wait_until is_gone "$SHADOW"
    expect 1 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt"
    grep -q "the shadow of process $PID is gone; a raw signal still takes a checkpoint" <<<"$errors" || complain "$errors"
    [ ! -e "$DIR/job.ckpt" ]
    kill -s 63 "$PID"
    wait_until compgen -G "$DIR/hijack.$PID.*.ckpt" >/dev/null
    release
    hijack
    checkpoint
    finish
}
