#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031,SC2154 # each test has its own WHO, by design; lib.bash sets errors
# Restarts of programs with memory and timers of the kinds that are easily lost (tests/targets/corners.c), each from the
# image alone.

load lib

setup() { work_begin; }
teardown() {
    work_end
    [ -z "${MEMORY:-}" ] || rm -rf "$MEMORY"
}

kill_it() { kill -KILL "$PID" && wait_until is_gone "$PID"; }

# from_image KIND: hijack, checkpoint, kill, restart, and the target finds nothing changed
from_image() {
    hijack && checkpoint && kill_it && restart_ready --rollback-files && finish
}

# bats test_tags=as-root
@test "guard pages within mappings of files, one of them deleted" {
    start "$TARGETS/corners" guards
    wait_until test -e "$DIR/ready" -o ! -e "/proc/$MAIN/exe"
    if [ ! -e "$DIR/ready" ]; then
        ends_with 77
        skip "this kernel has no guard pages in file mappings"
    fi
    from_image
}

@test "mlockall: memory that cannot be touched is locked too" {
    [ "$(id -u)" = 0 ] || skip "not root"
    # shellcheck disable=SC2034 # for lib.bash
    WHO=root
    start_target corners locked
    from_image
}

@test "45000 mappings with holes between them" {
    start_target corners many
    from_image
}

# bats test_tags=as-root
@test "a restart without address randomisation leaves the stack its room" {
    start_target corners stack
    hijack
    checkpoint
    kill_it
    printf '#!/bin/sh\nexec setarch -R %q "$@"\n' "$GDB_HIJACK" >"$DIR/fixed"
    chmod 755 "$DIR/fixed"
    GDB_HIJACK=$DIR/fixed
    restart_ready --rollback-files
    [ "$(cat "/proc/$PID/personality")" = "$(cat /proc/self/personality)" ]
    finish
}

@test "a shared mapping in tmpfs, written to after the image: the file cannot tell, so it is refused" {
    [ "$(stat -f -c %T /dev/shm)" = tmpfs ] || skip "no tmpfs in /dev/shm"
    MEMORY=$(mktemp -d /dev/shm/hijack-test.XXXXXX)
    chown "$WHO" "$MEMORY"
    start_target corners shared "$MEMORY/file"
    hijack
    checkpoint
    kill_it
    restart
    ends_with 1
    grep -q 'went on writing to it.*--accept-changed-files' "$DIR/err"
    restart_ready --rollback-files
    finish
}

# bats test_tags=as-root
@test "a shared mapping in tmpfs, of a program that ended with its image" {
    [ "$(stat -f -c %T /dev/shm)" = tmpfs ] || skip "no tmpfs in /dev/shm"
    MEMORY=$(mktemp -d /dev/shm/hijack-test.XXXXXX)
    chown "$WHO" "$MEMORY"
    start_target corners shared "$MEMORY/file"
    hijack
    checkpoint_exit
    restart_ready
    finish
}

# The image has no name yet, or, where the file system cannot do that, a temporary one.
image_under_way() { readlink "/proc/$PID/fd"/* | grep -qE "^$DIR/(#|.*\.tmp)"; }

@test "killed while it writes an image: the older image is whole, and nothing else is left" {
    start_target corners large
    hijack
    checkpoint
    before=$(stat -c '%i %s %y' "$DIR/job.ckpt")
    expect 4 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt" &
    tool=$!
    wait_until image_under_way
    kill_it
    wait "$tool"
    grep -q "the process ended before the checkpoint was taken" "$DIR/errors" || complain "$(cat "$DIR/errors")"
    [ "$(stat -c '%i %s %y' "$DIR/job.ckpt")" = "$before" ]
    if [ -n "$(find "$DIR" -name '*.tmp')" ]; then skip "this file system has no O_TMPFILE"; fi
    [ "$(find "$DIR" -type f -size +1M)" = "$DIR/job.ckpt" ]
    restart_ready
    finish
}

@test "--rollback-files warns when the program does not only append: what was overwritten stays" {
    for place in 0 4; do
        cat >"$DIR/writer.py" <<END
import os, time
f = os.open("records", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
os.write(f, b"0000")
open("ready", "w").close()
while not os.path.exists("stop"):
    if os.path.exists("go"): os.lseek(f, $place, 0); os.write(f, b"11111111"); os.rename("go", "gone")
    if $place == 0: os.lseek(f, 0, 0)
    time.sleep(0.01)
END
        rm -f "$DIR/gone" "$DIR/records"
        start_program "$PYTHON" "$DIR/writer.py"
        wait_until test -e "$DIR/ready"
        wait_until is_blocked "$PID"
        [ "$place" = 4 ] || wait_until grep -q '^pos:.0$' "/proc/$PID/fdinfo/3"
        hijack
        checkpoint
        touch "$DIR/go"
        wait_until test -e "$DIR/gone"
        kill_it
        restart_ready --rollback-files
        finish
        if [ "$place" = 0 ]; then
            grep -q "records.*overwritten" "$DIR/err"
        else
            [ ! -s "$DIR/err" ] || complain "$(cat "$DIR/err")"
            [ "$(cat "$DIR/records")" = 0000 ]
        fi
    done
}

@test "a hard limit of the stack that is too low for the program: refused by name" {
    start_target corners stack
    hijack
    checkpoint
    kill_it
    expect 1 as env -C "$DIR" prlimit --stack=65536:65536 "$GDB_HIJACK" restart --rollback-files "$DIR/job.ckpt" </dev/null
    grep -q 'stack may grow to.*ulimit -Hs' <<<"$errors"
    restart_ready --rollback-files
    finish
}

# bats test_tags=as-root
@test "an interval timer whose signal is pending during the checkpoint goes on" {
    for ((n = 0; n < 5; n++)); do
        start_target corners interval
        from_image
    done
}

@test "a checkpoint asked for while another, by a raw signal, is written: both are there, each under its name" {
    start_target corners large
    hijack
    kill -63 "$PID"
    wait_until image_under_way
    checkpoint
    [[ $output == "$DIR/job.ckpt"* ]]
    kill_it
    [ -s "$DIR/job.ckpt" ]
    [ -n "$(find "$DIR" -name 'hijack.*.ckpt' -size +1M)" ]
    restart_ready --rollback-files
    finish
}
