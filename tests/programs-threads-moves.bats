#!/usr/bin/env bats
# As programs-threads.bats: programs with threads that are killed after a checkpoint and restarted at home, and that go away
# with remote I/O and end there; a Java VM among them. MOMENTS (default 1) for each; scripts/soak-programs.sh and
# scripts/soak-remote.sh do more.

load lib
load away
load remote
load programs
load programs_threads

setup_file() { away_begin; }
teardown_file() { away_end; }
setup() { work_begin; }
teardown() { work_end; }

# A compiler on a busy machine.
DEADLINE=180

# moments WAY NAME
moments() {
    local n
    RANDOM=${SEED:-$$}
    program_prepare "$2"
    for ((n = 1; n <= ${MOMENTS:-1}; n++)); do
        "$1" "$2" || complain "$2, moment $n of seed ${SEED:-$$}: $(cat "$DIR/err")"
    done
}

killed() { moments kill_and_restart "$1"; }

away() {
    away_or_skip
    away_use
    moments away_and_end "$1"
}

@test "python3 with a pool of threads, killed" { killed threaded_python; }
@test "python3 with a pool of threads, away" { away threaded_python; }
@test "xz -T2, killed" { killed xz; }
@test "xz -T2, away" { away xz; }
@test "node, away" { away node; }
@test "an OpenMP program, killed" { killed openmp; }
@test "an OpenMP program, away" { away openmp; }
@test "node with workers, killed" { killed node; }
@test "OpenJDK: the compiler, killed" { killed javac; }
@test "OpenJDK: the compiler, away" { away javac; }
@test "OpenJDK: a program that makes garbage, killed" { killed java_gc; }
@test "OpenJDK: a program that makes garbage, away" { away java_gc; }
@test "OpenJDK: files and sockets, left and restarted" { moments exit_and_restart java_net; }
@test "OpenJDK: files and sockets, killed" { killed java_net; }
@test "OpenJDK: files and sockets, away" { away java_net; }

# The next VM of that user removes the performance counters of those that are gone.
@test "OpenJDK: another VM was started meanwhile" {
    local n
    program_prepare java_gc
    vm_meanwhile() { at_a_moment vm_meanwhile_once; }
    vm_meanwhile_once() {
        program_inputs java_gc && start_program "${COMMAND[@]}" && moment_of_program 0 50 || return 1
        order hijack && order checkpoint_exit || return
        as java -version 2>/dev/null
        restart && ends_with 0 || return 1
        grep -q "hsperfdata.*shared and writable, and the file is gone" "$DIR/err" || complain "$(cat "$DIR/err")"
        [ "$(outcome)" = "$UNDISTURBED" ]
    }
    vm_meanwhile
}
