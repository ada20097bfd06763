#!/usr/bin/env bats
# Restarts of programs with memory of the kinds that are easily lost (tests/targets/corners.c), each from the image alone.

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
    restart --rollback-files
    ends_with 1
    grep -q 'went on writing to it.*--accept-changed-files' "$DIR/err"
}

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
