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
    [ "$(sed -n 's/ children$//p' "$DIR/out")" -ge 200 ] || complain "$(cat "$DIR/out")"
}

@test "fork, vfork, exec, posix_spawn, popen and wait all the time" { makes_children forker; }
@test "the same, musl" { makes_children musl/forker; }

@test "a child of a thread that is not the first one is named" {
    start_program "$PYTHON" -c 'import os, subprocess, threading, time
def work():
    child = subprocess.Popen(["sleep", "1000"])
    with open("child.new", "w") as f: print(child.pid, file=f)
    os.rename("child.new", "child")
    while not os.path.exists("enough"): time.sleep(0.01)
    child.kill(); child.wait()
    open("ended", "w").close()
    while not os.path.exists("stop"): time.sleep(0.01)
t = threading.Thread(target=work); t.start(); t.join()'
    wait_until test -s "$DIR/child"
    child=$(cat "$DIR/child")
    started "$child"
    hijack
    expect 1 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt"
    # shellcheck disable=SC2154 # of expect
    grep -q "child processes ($child" <<<"$errors" || complain "$errors"
    as touch "$DIR/enough"
    wait_until test -e "$DIR/ended"
    checkpoint
    finish
}
