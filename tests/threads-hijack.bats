#!/usr/bin/env bats
# Programs with threads: all of them stand still while one is served, and none notices. ROUNDS (default 3).

load lib

setup() { work_begin; }
teardown() { work_end; }

# A checkpoint has tests of its own.
round() { hijack && release && untraced && "${1:-same_but_maps}"; }

goes_through() {
    start_target "$@"
    rounds "${ROUNDS:-3}" "${SAME:-same_but_maps}"
    finish
}

hijack_by_dlopen() { expect 0 gdb_hijack -q --loader=dlopen "$PID"; }

# Threads come and go.
same_but_threads() { same '^map |^Threads:|^SigBlk:'; }

@test "a thread blocked in each call: none returns" { SAME=same goes_through threads_blocked; }
@test "a thread blocked in each call, musl" { SAME=same goes_through musl/threads_blocked; }
@test "threads created and ended all the time" { SAME=same_but_threads goes_through storm; }
@test "threads created and ended all the time, musl" { SAME=same_but_threads goes_through musl/storm; }
@test "every synchronisation object, in use" { SAME=same_but_threads goes_through sync; }
@test "every synchronisation object, in use, musl" { SAME=same_but_threads goes_through musl/sync; }

@test "dlopen waits for the lock of a thread that runs meanwhile" {
    start_target loading
    snapshot before
    for ((n = 0; n < ${ROUNDS:-3}; n++)); do
        hijack_by_dlopen
        release
        same_but_maps
    done
    finish
}
