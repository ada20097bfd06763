#!/usr/bin/env bats
# A program that blocks in a system call goes on blocking: no EINTR, no early return, its signal mask, dispositions and
# text as before. ROUNDS (default 2) hijacks, checkpoints and releases for each call; scripts/soak-blocked.sh does more.

load lib

setup() { work_begin; }
teardown() { work_end; }

stays_blocked() {
    start_blocked "$1"
    rounds "${ROUNDS:-2}" same
    finish
}

# by_hand CALL: checkpointed by raw signals: nobody has told the handler since when it waits
by_hand() {
    start_blocked "$1"
    snapshot before
    hijack
    for n in 1 2 3; do
        checkpoint_by_hand
        wait_until is_blocked "$PID"
    done
    release
    untraced
    same
    finish
}

# disturbed_late LATE CALL...: calls with a timeout, each of a program of its own, disturbed one after the other when 1.5 s of it
# have passed. None returns early, and at most LATE seconds after its time. On a busy machine one may have returned, as it
# should, before we are done with it: then all are given more time.
disturbed_late() {
    local late=$1 begun seconds missed call here=$DIR
    shift
    for seconds in $((5 + $#)) $((15 + 3 * $#)) $((45 + 9 * $#)); do
        for call; do at_call start_blocked "$call" $seconds "$late" || return 1; done
        begun=${EPOCHREALTIME/./} missed=
        wait_until eval '[ $((${EPOCHREALTIME/./} - begun)) -gt 1500000 ]'
        for call; do at_call disturb || return 1; done
        for call; do DEADLINE=$((seconds + 30)) at_call ends_with 0 || return 1; done
        [ -n "$missed" ] || return 0
    done
    complain "they had returned before they were disturbed: $missed"
}

# at_call COMMAND...: with what belongs to the program for $call
at_call() {
    DIR=$here/$call
    as mkdir -p "$DIR"
    [ ! -e "$DIR/main" ] || MAIN=$(cat "$DIR/main") PID=$(cat "$DIR/pid")
    "$@" || complain "$call: $*" || return 1
    echo "$MAIN" >"$DIR/main" && echo "$PID" >"$DIR/pid"
    DIR=$here
}

disturb() {
    hijack 2>"$DIR/complaint" && checkpoint 2>"$DIR/complaint" && release 2>"$DIR/complaint" && return
    is_gone "$PID" || complain "$(cat "$DIR/complaint")" || return 1
    missed+=" $call"
}

keep_their_time() { disturbed_late 1.4 "$@"; } # less than a call that begins anew would take
# The attach makes them return EINTR, and the kernel keeps no time for them: each attach begins them anew (README, Limits).
never_early() { disturbed_late 36 "$@"; }

# bats file_tags=as-root
@test "read" { stays_blocked read; }
@test "nanosleep" { stays_blocked nanosleep; }
@test "clock_nanosleep, absolute" { stays_blocked clock_nanosleep; }
@test "poll" { stays_blocked poll; }
@test "ppoll" { stays_blocked ppoll; }
@test "select" { stays_blocked select; }
@test "pselect" { stays_blocked pselect; }
@test "epoll_wait" { stays_blocked epoll_wait; }
@test "futex" { stays_blocked futex; }
@test "semtimedop" { stays_blocked semtimedop; }
@test "sigtimedwait" { stays_blocked sigtimedwait; }
@test "recv with SO_RCVTIMEO" { stays_blocked recv; }
@test "accept" { stays_blocked accept; }
@test "pause" { stays_blocked pause; }
@test "sigsuspend" { stays_blocked sigsuspend; }

@test "wait4: hijacked and released; a checkpoint is refused because of the child" { waits_for_its_child; }

waits_for_its_child() {
    start_blocked wait4
    snapshot before
    hijack
    expect 1 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt"
    grep -q child <<<"$errors"
    [ ! -e "$DIR/job.ckpt" ]
    release
    untraced
    same
    finish
}

# bats file_tags=
@test "checkpointed by hand: read" { by_hand read; }
@test "checkpointed by hand: nanosleep" { by_hand nanosleep; }
@test "checkpointed by hand: clock_nanosleep, absolute" { by_hand clock_nanosleep; }
@test "checkpointed by hand: poll" { by_hand poll; }
@test "checkpointed by hand: ppoll" { by_hand ppoll; }
@test "checkpointed by hand: select" { by_hand select; }
@test "checkpointed by hand: pselect" { by_hand pselect; }
@test "checkpointed by hand: epoll_wait" { by_hand epoll_wait; }
@test "checkpointed by hand: futex" { by_hand futex; }
@test "checkpointed by hand: semtimedop" { by_hand semtimedop; }
@test "checkpointed by hand: sigtimedwait" { by_hand sigtimedwait; }
@test "checkpointed by hand: recv with SO_RCVTIMEO" { by_hand recv; }
@test "checkpointed by hand: accept" { by_hand accept; }
@test "checkpointed by hand: pause" { by_hand pause; }
@test "checkpointed by hand: sigsuspend" { by_hand sigsuspend; }

@test "timeouts of nanosleep, clock_nanosleep, poll, ppoll, select, pselect, futex: kept" {
    keep_their_time nanosleep clock_nanosleep poll ppoll select pselect futex
}
@test "timeouts of epoll_wait, semtimedop, sigtimedwait, recv: never early" {
    never_early epoll_wait semtimedop sigtimedwait recv
}

linked_to_musl() { BLOCKED=musl/blocked "$@"; }

@test "musl: clock_nanosleep, absolute" { linked_to_musl stays_blocked clock_nanosleep; }
@test "musl: ppoll" { linked_to_musl stays_blocked ppoll; }
@test "musl: pselect" { linked_to_musl stays_blocked pselect; }
@test "musl: semtimedop" { linked_to_musl stays_blocked semtimedop; }
@test "musl: recv with SO_RCVTIMEO" { linked_to_musl stays_blocked recv; }
@test "musl: pause" { linked_to_musl stays_blocked pause; }
@test "musl: sigsuspend" { linked_to_musl stays_blocked sigsuspend; }
@test "musl: wait4" { linked_to_musl waits_for_its_child; }
@test "musl: timeouts of nanosleep, poll, select: kept" { linked_to_musl keep_their_time nanosleep poll select; }
@test "musl: timeout of epoll_wait: never early" { linked_to_musl never_early epoll_wait; }
