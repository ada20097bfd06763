#!/usr/bin/env bats
# As programs-exit.bats, of programs with threads: the outcome is the undisturbed one, byte for byte. MOMENTS (default 1) for
# each program; scripts/soak-programs.sh does more.

load lib
load programs
load programs_threads

setup() { work_begin; }
teardown() { work_end; }

survives() {
    local n
    RANDOM=${SEED:-$$}
    program_prepare "$1"
    for ((n = 1; n <= ${MOMENTS:-1}; n++)); do
        exit_and_restart "$1" || complain "$1, moment $n of seed ${SEED:-$$}"
    done
}

@test "python3 with a pool of threads" { survives threaded_python; }
@test "xz -T2" { survives xz; }
@test "an OpenMP program" { survives openmp; }
@test "node with workers" { survives node; }
@test "OpenJDK: the compiler" { survives javac; }
@test "OpenJDK: a program that makes garbage" { survives java_gc; }

# counts_on: the client gets more answers
counts_on() {
    local before
    before=$(cat "$DIR/count" 2>/dev/null || echo 0)
    wait_until more_than "${before:-0}"
}
more_than() { [ "$(cat "$DIR/count" 2>/dev/null || echo 0)" -gt "$1" ] 2>/dev/null; }

# Without jemalloc's thread, which waits with every signal blocked.
@test "redis-server: a client stays connected while it leaves and comes back" {
    local client status=0
    start redis-server --port 0 --unixsocket "$DIR/socket" --save "" --appendonly no --jemalloc-bg-thread no
    wait_until test -S "$DIR/socket"
    cp "$TESTS/redis_client.py" "$DIR" && chmod 644 "$DIR/redis_client.py"
    as "$PYTHON" "$DIR/redis_client.py" "$DIR/socket" "$DIR/count" "$DIR/enough" 3>&- &
    client=$!
    started "$client"
    counts_on
    hijack
    for ((n = 1; n <= 2; n++)); do
        checkpoint_exit
        restart_ready
        counts_on
    done
    touch "$DIR/enough"
    wait "$client" || status=$?
    [ "$status" -eq 0 ]
    kill -TERM "$PID"
    ends_with 0
}
