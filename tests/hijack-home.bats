#!/usr/bin/env bats
# At home nothing shows: descriptors, processes and threads of a hijacked program behave as without a hijack.
# bats file_tags=as-root

load lib

setup() { work_begin; }
teardown() { work_end; }

@test "closing, forking, executing, daemonising, threads after the hijack" {
    start_target home "$DIR"
    hijack
    finish
}

@test "... after a hijack and a checkpoint" {
    start_target home "$DIR"
    hijack
    checkpoint
    finish
}

@test "... after a restart" {
    start_target home "$DIR"
    hijack
    checkpoint_exit
    restart
    finish
}

@test "killed: the peers get end of file, its flock is free at once" {
    start_target descriptors "$DIR"
    hijack
    not flock --nonblock "$DIR/flock" true
    kill -KILL "$PID"
    wait_until is_gone "$PID"
    flock --nonblock "$DIR/flock" true
    wait_until grep -q "the pipe" "$DIR/peer"
    wait_until grep -q "the socket" "$DIR/peer"
}

@test "a reader of its output gets end of file when it ends" {
    mkfifo "$DIR/fifo"
    chown "$WHO" "$DIR/fifo"
    cat "$DIR/fifo" >"$DIR/read" 3>&- &
    reader=$!
    started "$reader"
    start sh -c "exec '$PYTHON' -c 'import time
print(1, flush=True)
time.sleep(1.5)' >fifo"
    wait_until has_exec "$MAIN" "$(readlink -f "$PYTHON")"
    wait_until is_blocked "$MAIN"
    hijack
    ends_with 0
    ends_with 0 "$reader"
}

@test "descriptors across checkpoint --exit and restart" {
    start_target descriptors "$DIR"
    hijack
    checkpoint_exit
    [ ! -e "$DIR/peer" ] # nobody saw an end of file: the shadow has them
    not flock --nonblock "$DIR/flock" true
    restart
    finish
    wait_until grep -q "the socket" "$DIR/peer"
}

@test "descriptors after a checkpoint that it went on from" {
    start_target descriptors "$DIR"
    hijack
    checkpoint
    [ ! -e "$DIR/peer" ]
    finish
}

@test "mask, dispositions, pending signals, timers, limits, names after a restart" {
    start_target mask "$DIR"
    hijack
    checkpoint_exit
    restart
    finish
}

@test "256 MiB: checkpoint --exit frees them, restart brings them back" {
    start_target lots 256
    hijack
    checkpoint_exit
    not test -e "/proc/$PID"
    restart
    finish
}
