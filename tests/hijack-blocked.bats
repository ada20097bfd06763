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

# disturbed_late CALL LATE: a call with a timeout of 4 s, disturbed when 1.5 s of it have passed. It never returns early, and
# at most LATE seconds after its time.
disturbed_late() {
    start_blocked "$1" 4 "$2"
    begun=${EPOCHREALTIME/./}
    wait_until eval '[ $((${EPOCHREALTIME/./} - begun)) -gt 1500000 ]'
    hijack
    checkpoint
    release
    ends_with 0
}

keeps_its_time() { disturbed_late "$1" 1.4; } # less than a call that begins anew would take
# The attach makes them return EINTR, and the kernel keeps no time for them: each attach begins them anew (README, Limits).
never_early() { disturbed_late "$1" 12; }

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

@test "wait4: hijacked and released; a checkpoint is refused because of the child" {
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

@test "timeout of nanosleep" { keeps_its_time nanosleep; }
@test "timeout of clock_nanosleep" { keeps_its_time clock_nanosleep; }
@test "timeout of poll" { keeps_its_time poll; }
@test "timeout of ppoll" { keeps_its_time ppoll; }
@test "timeout of select" { keeps_its_time select; }
@test "timeout of pselect" { keeps_its_time pselect; }
@test "timeout of epoll_wait" { never_early epoll_wait; }
@test "timeout of futex" { keeps_its_time futex; }
@test "timeout of semtimedop" { never_early semtimedop; }
@test "timeout of sigtimedwait" { never_early sigtimedwait; }
@test "timeout of recv" { never_early recv; }
