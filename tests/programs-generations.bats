#!/usr/bin/env bats
# Ten generations: checkpointed with --exit and restarted ten times; no residue, the address map does not grow.
# bats file_tags=as-root

load lib

setup() { work_begin; }
teardown() { work_end; }

mappings() { wc -l <"/proc/$PID/maps"; }
address_space() { awk '/^VmSize/ { print $2 }' "/proc/$PID/status"; }

# generations: of $PID, each begun with a checkpoint --exit
generations() {
    local n
    hijack || return 1
    for ((n = 1; n <= 10; n++)); do
        checkpoint_exit || complain "generation $n" || return 1
        restart_ready || complain "generation $n" || return 1
        random_moment 30
        wait_until is_blocked "$PID" || return 1
        [ "$n" != 3 ] || { third=$(mappings) third_size=$(address_space); }
    done
}

@test "memory, ten times over; as many mappings in the tenth as in the third" {
    start_target lots 32
    generations
    [ "$(mappings)" -eq "$third" ]
    [ "$(address_space)" -eq "$third_size" ]
    finish
}

@test "all descriptors, ten times over" {
    start_target descriptors "$DIR"
    generations
    [ "$(mappings)" -eq "$third" ]
    finish
}

@test "process state, ten times over" {
    start_target mask "$DIR"
    generations
    [ "$(mappings)" -eq "$third" ]
    finish
}

@test "all descriptors and memory of a program linked to musl, ten times over" {
    for target in "descriptors $DIR" "lots 8"; do
        # shellcheck disable=SC2086 # a name and its arguments
        start_target musl/$target
        generations
        [ "$(mappings)" -eq "$third" ]
        finish
    done
}

@test "a restarted program can be released" {
    start_target lots 8
    hijack
    checkpoint_exit
    restart_ready
    release
    untraced
    not grep -q libhijack "/proc/$PID/maps"
    finish
}
