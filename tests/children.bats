#!/usr/bin/env bats
# A program with children: hijacked it goes on as if nothing had happened; a checkpoint is taken between two of them.

load lib

setup() { work_begin; }
teardown() { work_end; }

# Refused because of a child, by its name, or taken.
taken_between() {
    gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt" >/dev/null 2>"$DIR/refusal" && return
    grep -q "child processes ([0-9]" "$DIR/refusal" || cat "$DIR/refusal" >"$DIR/strange"
    return 1
}

makes_children() {
    start_target "$1"
    hijack
    wait_until taken_between
    kill -KILL "$PID"
    wait_until is_gone "$PID"
    restart_ready --rollback-files
    wait_until taken_between
    [ ! -e "$DIR/strange" ] || complain "$(cat "$DIR/strange")"
    finish
}

@test "fork, vfork, exec, posix_spawn, popen and wait all the time" { makes_children forker; }
@test "the same, musl" { makes_children musl/forker; }
