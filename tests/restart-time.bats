#!/usr/bin/env bats
# A call with a timeout that a checkpoint interrupted goes on for what remains of its time: in the program, and, as far as
# it can be known, in the restarted one. Never for less.

load lib

setup() { work_begin; }
teardown() { work_end; }

TIME=3000 WAITED=1500 SLACK=900 # milliseconds

now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }
is_past() { [ "$(now_ms)" -ge "$1" ]; }

# blocked_for_some_time CALL: hijacked, and WAITED ms in its call since. $begun: before the call began
blocked_for_some_time() {
    begun=$(now_ms)
    start_target timeout "$1" $TIME
    wait_until is_blocked "$PID"
    hijack
    wait_until is_blocked "$PID"
    wait_until is_past $(($(now_ms) + WAITED))
}

# took FROM LEAST MOST: the program ends well, that many milliseconds after FROM
took() {
    local ms
    ends_with 0 || return 1
    ms=$(($(now_ms) - $1))
    [ "$ms" -ge "$2" ] || complain "too early: $ms ms instead of $2" || return 1
    [ "$ms" -le "$3" ] || complain "too late: $ms ms instead of at most $3"
}

keeps_its_time_in_the_image() {
    blocked_for_some_time "$1"
    checkpoint
    gone=$(($(now_ms) - begun))
    kill -KILL "$PID"
    wait_until is_gone "$PID"
    restarted=$(now_ms)
    restart
    touch "$DIR/stop"
    took "$restarted" $((TIME - gone)) $((TIME - WAITED + SLACK))
}

@test "poll" { keeps_its_time_in_the_image poll; }
@test "epoll_wait" { keeps_its_time_in_the_image epoll_wait; }
@test "nanosleep" { keeps_its_time_in_the_image nanosleep; }
@test "nanosleep with a rem" { keeps_its_time_in_the_image nanosleep_rem; }
@test "clock_nanosleep" { keeps_its_time_in_the_image clock_nanosleep; }
@test "clock_nanosleep with a rem" { keeps_its_time_in_the_image clock_nanosleep_rem; }
@test "futex" { keeps_its_time_in_the_image futex; }

# A signal sent by hand does not bring the time that the call has waited: it begins anew, and never ends early.
begins_anew_by_hand() {
    local TIME=5000
    begun=$(now_ms)
    start_target timeout "$1" $TIME
    hijack
    wait_until is_blocked "$PID"
    checkpoint_by_hand
    gone=$(($(now_ms) - begun))
    kill -KILL "$PID"
    wait_until is_gone "$PID"
    restarted=$(now_ms)
    restart
    touch "$DIR/stop"
    ends_with 0
    [ $(($(now_ms) - restarted)) -ge $((TIME - gone)) ] || complain "too early"
}

@test "by hand: poll" { begins_anew_by_hand poll; }
@test "by hand: epoll_wait" { begins_anew_by_hand epoll_wait; }
@test "by hand: nanosleep" { begins_anew_by_hand nanosleep; }

# The image of an image: what was shortened once is shortened again.
@test "poll, through two images" {
    blocked_for_some_time poll
    checkpoint
    kill -KILL "$PID"
    wait_until is_gone "$PID"
    restart_ready
    wait_until is_blocked "$PID"
    since=$(now_ms)
    wait_until is_past $((since + 700))
    checkpoint
    kill -KILL "$PID"
    wait_until is_gone "$PID"
    restarted=$(now_ms)
    restart
    touch "$DIR/stop"
    took "$restarted" 0 $((TIME - WAITED - 700 + SLACK))
}

# The kernel does not keep its time when a signal comes in between.
@test "epoll_wait in the program that goes on, checkpointed twice; then released" {
    blocked_for_some_time epoll_wait
    checkpoint
    wait_until is_blocked "$PID"
    checkpoint
    release
    touch "$DIR/stop"
    took "$begun" $TIME $((TIME + SLACK))
}

@test "sleeps in the program that goes on, then released" {
    for call in nanosleep clock_nanosleep_rem futex; do
        blocked_for_some_time $call
        checkpoint
        release
        touch "$DIR/stop"
        took "$begun" $TIME $((TIME + SLACK))
    done
}
