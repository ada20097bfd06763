#!/usr/bin/env bats
# Every register is as it was, whenever the program is hijacked, checkpointed, released. ROUNDS (default 5);
# scripts/soak-running.sh does more.

load lib

setup() { work_begin; }
teardown() { work_end; }

# bats test_tags=as-root
@test "general registers, flags, x87, SSE, AVX, AVX-512 live in a loop" {
    start_target registers
    rounds "${ROUNDS:-5}" same
    finish
}

@test "AMX tiles live in a loop" {
    grep -qw amx_tile /proc/cpuinfo || skip "this CPU has no AMX"
    start_target registers amx
    rounds "${ROUNDS:-5}" same
    finish
}

@test "the red zone" {
    start_target redzone
    rounds "${ROUNDS:-5}" same
    finish
}

@test "after a restart too" {
    start_target registers
    hijack
    checkpoint_exit
    restart
    finish
}

# bats test_tags=as-root
@test "the red zone after a restart" {
    start_target redzone
    hijack
    checkpoint_exit
    restart
    finish
}
