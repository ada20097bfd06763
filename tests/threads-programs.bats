#!/usr/bin/env bats
# Programs with threads that nobody here wrote the like of - interpreters, a Java VM, a database, a compressor - are hijacked
# and released again and again; what they work on checks itself. ROUNDS (default 3).

load lib

WORK=$BATS_TEST_DIRNAME/threads

setup() { work_begin; }
teardown() { work_end; }

# A checkpoint has tests of its own.
round() { hijack && release && untraced && same '^map |^Threads:|^SigBlk:|^text |^fd'; }

is_ready() { grep -qs ready "$DIR/out"; }

# goes_on COMMAND...: it works, disturbed, until it is told to stop, and says OK
goes_on() {
    start_program "$@"
    wait_until is_ready
    rounds "${ROUNDS:-3}"
    finish
    grep -q OK "$DIR/out"
}

@test "python3: computing, queues, sleeps, children" {
    cp "$WORK/work.py" "$DIR"
    goes_on "$PYTHON" work.py
}

@test "node: worker threads, its thread pool, timers" {
    cp "$WORK/work.js" "$DIR"
    goes_on node work.js
}

@test "OpenJDK 17: computing, collecting garbage, files, traps of its own" {
    java=$(echo /usr/lib/jvm/java-17-openjdk-*/bin)
    [ -x "$java/javac" ] || java=$(dirname "$(command -v javac)")
    "$java/javac" -d "$DIR" "$WORK/Work.java"
    goes_on "$java/java" -cp "$DIR" Work
}

@test "redis: the connections of its clients live on" {
    # Debian's redis-server is this program under another name.
    start bash -c 'exec -a redis-server redis-check-rdb --port 0 --unixsocket redis.socket --save "" --io-threads 2'
    server=$MAIN
    wait_until test -S "$DIR/redis.socket"
    as env STOP="$DIR/stop" "$PYTHON" "$WORK/clients.py" "$DIR/redis.socket" 8 >"$DIR/clients" 3>&- &
    clients=$!
    started "$clients"
    wait_until grep -q ready "$DIR/clients"
    PID=$server
    rounds "${ROUNDS:-3}"
    touch "$DIR/stop"
    wait "$clients"
    grep -q OK "$DIR/clients"
    kill -TERM "$server"
    ends_with 0 "$server"
}

# xz_begins: xz -T2 that reads a pipe, held open by descriptor $pipe
xz_begins() {
    mkfifo -m 666 "$DIR/pipe"
    "$PYTHON" -c 'import random
random.seed(1)
print("\n".join(str(random.random()) for i in range(600000)))' >"$DIR/input"
    IN="$DIR/pipe" start xz -T2 -3 --block-size=1MiB -c
    exec {pipe}>"$DIR/pipe"
    wait_until has_exec "$PID" "$(readlink -f "$(command -v xz)")"
}

# xz_ends: it gets what is left, from byte $1 on
xz_ends() {
    tail -c "+$1" "$DIR/input" >&"$pipe"
    exec {pipe}>&-
    ends_with 0
    xz -dc "$DIR/out" | cmp - "$DIR/input"
}

@test "xz -T2: the same bytes" {
    xz_begins
    head -c 6000000 "$DIR/input" >&"$pipe"
    rounds "${ROUNDS:-3}"
    xz_ends 6000001
}

has_threads() { [ "$(sed -n 's/^Threads:\t//p' "/proc/$PID/status")" -ge "$1" ]; }

@test "xz -T2, hijacked before it has its workers, which block every signal: it leaves and comes back" {
    xz_begins
    wait_until is_blocked "$PID"
    not has_threads 2
    hijack
    head -c 3000000 "$DIR/input" >&"$pipe"
    wait_until has_threads 3
    for ((n = 1; n <= ${ROUNDS:-3}; n++)); do
        checkpoint_exit
        restart_ready
        has_threads 3
        head -c "$((3000000 + n * 100000))" "$DIR/input" | tail -c 100000 >&"$pipe"
    done
    xz_ends "$((3000001 + 100000 * (n - 1)))"
}
