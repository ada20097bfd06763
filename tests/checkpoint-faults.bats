#!/usr/bin/env bats
# A checkpoint that cannot be written: the disk is full, a limit is reached, the directory is gone or not writable. The
# message says so, the program goes on unharmed, the older image is as it was and can be restarted. And the memory of a
# program that has left is free.

load lib

setup() { work_begin; }
teardown() {
    [ -z "$FULL" ] || umount "$FULL"
    work_end
}

begin() {
    start_target lots "${1:-4}"
    hijack
    mkdir "$DIR/images"
    chown "$WHO" "$DIR/images"
}

# fails STATUS PATTERN FILE OPTION...: a checkpoint to FILE; what was there is as it was, and nothing else is there
fails() {
    local before
    before=$(contents)
    expect "$1" gdb_hijack checkpoint "$PID" -o "$3" "${@:4}" || return 1
    # shellcheck disable=SC2154 # set by expect
    grep -qE "$2" <<<"$errors" || complain "$errors" || return 1
    [ "$(contents)" = "$before" ] || complain "left: $(contents)" || return 1
    untraced
}

contents() { find "$DIR/images" -type f -exec sha256sum {} + | sort; }

# the older image restarts, after the program has gone on and checked itself
older_image() {
    finish || return 1
    cp "$DIR/images/old.ckpt" "$DIR/job.ckpt"
    chown "$WHO" "$DIR/job.ckpt"
    rm -f "$DIR/stop"
    restart_ready --rollback-files && finish
}

full_disk() {
    [ "$(id -u)" = 0 ] || skip "only root can mount a small file system"
    begin 4
    FULL=$DIR/images
    mount -t tmpfs -o "size=6m,mode=777" tmpfs "$FULL"
    checkpoint
    cp "$DIR/job.ckpt" "$FULL/old.ckpt"
    chown "$WHO" "$FULL/old.ckpt"
}

@test "the disk is full: nothing is left of the attempt" {
    full_disk
    fails 3 "no space left on the device" "$DIR/images/new.ckpt"
    fails 3 "no space left on the device" "$DIR/images/new.ckpt" --exit
    older_image
}

@test "the disk is full when the older image is to be replaced: it stays" {
    full_disk
    fails 3 "no space left on the device" "$DIR/images/old.ckpt"
    fails 3 "no space left on the device" "$DIR/images/old.ckpt" --exit
    older_image
}

limited() { # RESOURCE, VALUE of $PID's soft limit
    as prlimit --pid "$PID" "--$1=$2:"
}

@test "RLIMIT_FSIZE: no signal kills the program, and its limit is what it was" {
    begin
    expect 0 gdb_hijack checkpoint "$PID" -o "$DIR/images/old.ckpt"
    limited fsize 1000000
    fails 3 "new.ckpt.*(too large|limit)" "$DIR/images/new.ckpt"
    fails 3 "old.ckpt.*(too large|limit)" "$DIR/images/old.ckpt" --exit
    grep -q '^Max file size *1000000 ' "/proc/$PID/limits"
    limited fsize unlimited
    older_image
}

# Whoever lowers the limit while the image is being written.
lowered_meanwhile() {
    as_prefix
    "${AS[@]}" "$PYTHON" "$TESTS/limit.py" "$PID" 1000000 >"$DIR/tracer" 2>&1 3>&- &
    local tracer=$!
    started "$tracer"
    wait_until grep -q ready "$DIR/tracer" || return 1
    fails 3 "$1.*(too large|limit)" "$DIR/images/$1" "${@:2}" || return 1
    wait "$tracer" || complain "$(cat "$DIR/tracer")" || return 1
    grep -q '^Max file size *1000000 ' "/proc/$PID/limits" && limited fsize unlimited
}

@test "RLIMIT_FSIZE is lowered in mid-write: the signal that the kernel then sends kills nobody" {
    begin 16
    expect 0 gdb_hijack checkpoint "$PID" -o "$DIR/images/old.ckpt"
    lowered_meanwhile new.ckpt
    lowered_meanwhile old.ckpt
    lowered_meanwhile old.ckpt --exit
    older_image
}

# SigPnd, ShdPnd: bit 24 is SIGXFSZ
pending() { awk '/^(SigPnd|ShdPnd)/ { print $1, $2 }' "/proc/$PID/status"; }

# own_signal NAME SEND: a program that blocks SIGXFSZ and has sent itself one keeps just that
own_signal() {
    start_program "$PYTHON" -c "
import os, signal, threading, time
from signal import SIGXFSZ
signal.signal(SIGXFSZ, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_BLOCK, [SIGXFSZ])
$1
open('ready', 'w').close()
while not os.path.exists('stop'): time.sleep(0.01)
"
    wait_until test -e "$DIR/ready"
    hijack
    pending >"$DIR/pending"
    lowered_meanwhile new.ckpt
    diff "$DIR/pending" <(pending)
    finish
}

@test "... and a SIGXFSZ that the program has pending itself stays, the thread's or the process's or none" {
    mkdir "$DIR/images"
    chown "$WHO" "$DIR/images"
    own_signal "signal.pthread_kill(threading.get_ident(), SIGXFSZ)"
    own_signal "os.kill(os.getpid(), SIGXFSZ)"
    own_signal "pass"
}

@test "RLIMIT_NOFILE, soft and hard: refused by name, or not needed" {
    begin
    expect 0 gdb_hijack checkpoint "$PID" -o "$DIR/images/old.ckpt"
    as prlimit --pid "$PID" --nofile=4:4
    fails 1 "descriptors open .*raise its limit" "$DIR/images/new.ckpt"
    older_image
}

@test "the directory is gone, is a file, is not writable: refused, nothing touched" {
    begin
    expect 0 gdb_hijack checkpoint "$PID" -o "$DIR/images/old.ckpt"
    fails 1 "No such file" "$DIR/gone/new.ckpt"
    fails 1 "Not a directory" "$DIR/images/old.ckpt/new.ckpt"
    chmod 555 "$DIR/images"
    [ "$WHO" = root ] || fails 1 "Permission denied" "$DIR/images/new.ckpt" --exit
    older_image
}

@test "the directory where the hijack was ordered is gone: refused by name, -o names another" {
    start_target lots 4
    mkdir "$DIR/there"
    chown "$WHO" "$DIR/there"
    as_prefix
    (cd "$DIR/there" && "${AS[@]}" "$GDB_HIJACK" -q "$PID")
    rmdir "$DIR/there"
    expect 1 gdb_hijack checkpoint "$PID"
    grep -q "No such file.*name another place with -o" <<<"$errors" || grep -q "name another place with -o.*No such file" <<<"$errors"
    kill -s "${SIGNAL:-63}" "$PID" # a raw signal finds no place either; the program goes on
    checkpoint
    finish
}

# the shadow's memory, in KiB
pss_of() { sed -n 's/^Pss: *\([0-9]*\) kB/\1/p' "/proc/$1/smaps_rollup"; }

@test "swap relief: 256 MiB are free after checkpoint --exit, the shadow is small; the pattern comes back" {
    begin 256
    shadow=$(shadow_of)
    used=$(pss_of "$PID")
    [ "$used" -gt 262144 ]
    checkpoint_exit
    not test -e "/proc/$PID/exe"
    [ "$(pss_of "$shadow")" -lt 2048 ]
    # shellcheck disable=SC2143 # ! would not fail the test
    [ -z "$(grep -l "$DIR/job.ckpt" /proc/[0-9]*/maps 2>/dev/null)" ] # nobody maps the image either
    [ "$(stat -c %s "$DIR/job.ckpt")" -gt 268435456 ]
    restart_ready
    finish
}
