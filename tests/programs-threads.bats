#!/usr/bin/env bats
# As programs-exit.bats, of programs with threads: the outcome is the undisturbed one, byte for byte. MOMENTS (default 1) for
# each program; scripts/soak-programs.sh does more.

load lib
load programs
load programs_threads
load redis

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

# jemalloc has a thread that waits, within the allocator, with every signal blocked.
@test "redis-server under load: its clients stay connected while it leaves and comes back; no reply is lost or doubled" {
    redis_begins
    hijack
    for ((n = 1; n <= ${ROUNDS:-3}; n++)); do
        redis_leaves_and_comes
    done
    redis_ends
}
