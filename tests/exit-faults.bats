#!/usr/bin/env bats
# `checkpoint --exit` when the shadow or the tool is killed on the way: the program goes on with all that it has, or it has
# ended and its image is complete. And what a restart makes of an image whose shadow is dead.

load lib
load cuts

setup() {
    work_begin
    cutting_programs
}
teardown() { work_end; }

# begin [PIPES]: a program with so many pipes, a file and a lock, which it checks in the end; hijacked; an older image of it
begin() {
    cat >"$DIR/holder.py" <<'END'
import fcntl, os, sys, time
pipes = [os.pipe() for _ in range(int(sys.argv[1]))]
data = open("data", "w+")
data.write("0123456789")
data.flush()
data.seek(5)
fcntl.flock(data, fcntl.LOCK_EX)
open("ready", "w").close()
while not os.path.exists("stop"): time.sleep(0.01)
for number, (reader, writer) in enumerate(pipes):
    os.write(writer, b"%d" % number)
    assert os.read(reader, 9) == b"%d" % number
    os.close(writer)
    assert os.read(reader, 9) == b"", "somebody else has the pipe"
assert data.read() == "56789"
data.close()
data = open("data")
fcntl.flock(data, fcntl.LOCK_EX | fcntl.LOCK_NB)
END
    start_program "$PYTHON" holder.py "${1:-300}"
    wait_until test -e "$DIR/ready" || return 1
    hijack && checkpoint || return 1
    older=$(stat -c %i "$DIR/job.ckpt")
    sum=$(sha256sum <"$DIR/job.ckpt")
    snapshot before
}

# The image's name leads to the older one, which is as it was; or to a complete new one. No other file has been left.
image_is() { # older|new
    local now=new
    [ "$(stat -c %i "$DIR/job.ckpt")" != "$older" ] || now=older
    [ "$now" = "$1" ] || complain "the image is the $now one" || return 1
    [ "$1" = new ] || [ "$(sha256sum <"$DIR/job.ckpt")" = "$sum" ] || complain "the older image has changed" || return 1
    readelf -h "$DIR/job.ckpt" >/dev/null && [ -z "$(find "$DIR" -name '*.tmp')" ]
}

# goes_on IMAGE PATTERN OPTION...: the checkpoint fails, for that reason, and the program has all that it had
goes_on() {
    expect 3 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt" "${@:3}" || return 1
    # shellcheck disable=SC2154 # set by expect
    grep -qE "$2" <<<"$errors" || complain "$errors" || return 1
    image_is "$1" && untraced && same_but_maps
}

# shadow_dead IMAGE PATTERN FRAME PASSED [after]: a program of its own whose shadow dies there
shadow_dead() {
    begin || return 1
    shadow_dies "${@:3}"
    goes_on "$1" "shadow of process $PID ended.*the process goes on: .*$2" --exit || complain "at $*" || return 1
    wait_until is_gone "$SHADOW" && finish
}

@test "the shadow dies before it has a descriptor, or half of them: the program goes on, the older image stays" {
    shadow_dead older "the shadow did not take the descriptors" OFFER 0
    shadow_dead older "the shadow did not take the descriptors" TABLE 0
    shadow_dead older "the shadow did not take the descriptors" DESCRIPTORS 0
    shadow_dead older "the shadow did not take the descriptors" DESCRIPTORS 1
    shadow_dead older "the shadow did not take the descriptors" DESCRIPTORS 1 after
}

# 3 batches: 2 * 300 pipe ends, and some
@test "the shadow dies when it has all of them: the program goes on, and the complete image is said to be" {
    shadow_dead new "image '$DIR/job.ckpt' is complete, but the shadow was lost" DESCRIPTORS 2 after
    shadow_dead new "image '$DIR/job.ckpt' is complete, but the shadow was lost" COMMIT 0
    shadow_dead new "image '$DIR/job.ckpt' is complete, but the shadow was lost" COMMIT 0 after
    shadow_dead new "image '$DIR/job.ckpt' is complete, but the shadow was lost" REPORT 0
}

@test "the shadow dies before the request is taken: the checkpoint is one by hand, and where it went is said" {
    begin 2
    shadow_dies TAKE 0
    goes_on older "shadow of process $PID ended.*goes on, the image '$DIR/hijack.$PID.*.ckpt' is complete" --exit
    test -s "$DIR"/hijack."$PID".*.ckpt
    finish
}

@test "the shadow dies during a checkpoint without --exit: the image is complete, and said to be" {
    begin 2
    shadow_dies REPORT 0
    goes_on new "shadow of process $PID ended.*goes on, the image '$DIR/job.ckpt' is complete"
    finish
}

@test "the shadow stands still until the program has given up, then learns that it came too late: nothing is held" {
    begin
    shadow_dies REPORT 0 "" 19
    gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt" --exit >/dev/null 2>"$DIR/errors" 3>&- &
    tool=$!
    started "$tool"
    wait_until in_state T "$SHADOW"
    wait_until lets_signals_in
    kill -CONT "$SHADOW"
    ends_with 3 "$tool"
    grep -q "process $PID goes on: the image is complete, but the shadow was too slow" "$DIR/errors"
    image_is new
    same_but_maps
    checkpoint
    finish
}

lets_signals_in() { [ "$(awk '/^SigBlk/ { print $2 }' "/proc/$PID/status")" = 0000000000000000 ]; }

# tool_killed FRAME [OPTION...]: the tool is killed while the shadow has that frame before it
tool_killed() {
    shadow_dies "$1" 0 "" 19
    as_prefix
    (cd "$DIR" && exec "${AS[@]}" "$GDB_HIJACK" checkpoint "$PID" -o "$DIR/job.ckpt" "${@:2}") >/dev/null 2>&1 3>&- &
    local tool=$!
    started "$tool"
    wait_until in_state T "$SHADOW" || return 1
    kill -KILL "$tool"
    wait_until is_gone "$tool" && kill -CONT "$SHADOW"
}

@test "the tool is killed in mid --exit: the program ends with a complete image, and comes back with all" {
    for frame in TAKE OFFER DESCRIPTORS COMMIT REPORT; do
        begin
        tool_killed "$frame" --exit
        ends_with "$STATUS_CHECKPOINTED"
        image_is new
        restart_ready
        finish
    done
}

@test "the tool is killed in mid-checkpoint: the program goes on, the image is complete" {
    for frame in TAKE REPORT; do
        begin
        tool_killed "$frame"
        wait_until image_is new 2>/dev/null
        wait_until lets_signals_in
        same_but_maps
        checkpoint
        finish
    done
}

@test "the tool is killed before its request is there: no checkpoint, and the next one works" {
    begin
    tool_killed REQUEST --exit
    checkpoint
    same_but_maps
    finish
}

@test "--exit, then the shadow is killed: files are opened by name" {
    begin 0
    checkpoint_exit
    kill -KILL "$SHADOW"
    wait_until is_gone "$SHADOW"
    restart_ready
    finish
}

@test "--exit, then the shadow is killed: a pipe to another process is refused by name, with nothing started" {
    start_target descriptors "$DIR"
    hijack
    checkpoint_exit
    kill -KILL "$SHADOW"
    wait_until is_gone "$SHADOW"
    expect 1 gdb_hijack restart "$DIR/job.ckpt" </dev/null
    grep -qE "descriptor [0-9]+ .*pipe" <<<"$errors"
    grep -q -- "--fd" <<<"$errors"
}

# The shadow has answered: it is too late for the program to stay.
@test "the shadow is killed when the program ends: it is lost, its complete image is named and restarts" {
    begin 0
    shadow_dies REPORT 0 after
    expect 4 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt" --exit
    grep -q "process $PID has ended.*the image '$DIR/job.ckpt' is complete" <<<"$errors" || complain "$errors"
    image_is new
    ends_with "$STATUS_CHECKPOINTED"
    restart_ready
    finish
}

@test "restart: 2 is wrong usage, 3 a shadow that dies when it is to hand the descriptors over" {
    for wrong in "" "--nonsense image" "image other" "--away --remote-io image" "--io x=remote image" "--remote-io --io x image"; do
        # shellcheck disable=SC2086 # words
        expect 2 gdb_hijack restart $wrong
        [ -n "$errors" ]
    done
    begin 1
    checkpoint_exit
    shadow_dies ADOPT 0
    expect 3 gdb_hijack restart "$DIR/job.ckpt" </dev/null
    grep -q "cannot get the descriptors from the shadow" <<<"$errors" || complain "$errors"
    image_is new
}
