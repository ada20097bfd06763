#!/usr/bin/env bats
# The shadow at home: nobody notices that it is there; what the tools say about it; when it is gone.

load shadow/lib

setup_file() { shadow_build; }
setup() { work_begin; }
teardown() { work_end; }

@test "500 shadows started: no child, no SIGCHLD, no descriptor" {
    run "${AS[@]}" "$TRIAL" spawn 500 "$SHADOW"
    [ "$status" = 0 ]
    [ "$output" = "nothing noticed" ]
}

@test "50 shadows started by the test's own user" {
    run "$TRIAL" spawn 50 "$SHADOW"
    [ "$status" = 0 ]
    [ "$output" = "nothing noticed" ]
}

@test "refused where the shadow would become a child of the program: a subreaper, process 1" {
    run "${AS[@]}" "$TRIAL" refused "$SHADOW"
    [ "$output" = ECHILD ]
    unshare -pf true 2>/dev/null || skip "no pid namespace to be had"
    run unshare -pf --mount-proc "$TRIAL" refused "$SHADOW"
    [ "$output" = ECHILD ]
}

@test "a shadow that cannot be executed is an error, not a process" {
    run "${AS[@]}" "$TRIAL" spawn 1 /dev/null
    [ "$status" = 1 ]
    [[ $output == *"Permission denied"* ]]
}

@test "the shadow holds nothing of the program and ignores the terminal's signals" {
    start all
    for signal in INT QUIT HUP TSTP TTIN TTOU PIPE; do kill -s $signal "$SHADOW_PID"; done
    run tool status "$APP"
    [ "$status" = 0 ]
    [[ $output == "process $APP (trial) is hijacked: shadow $SHADOW_PID, signal 63 takes a checkpoint"* ]]
    [ "$(cat "/proc/$SHADOW_PID/comm")" = hijack-shadow ]
    for fd in "/proc/$SHADOW_PID"/fd/*; do
        [[ $(readlink "$fd") =~ ^(/dev/null|anon_inode:\[(pidfd|signalfd)\]|socket:.*)$ ]]
    done
    [ "$(tr '\0' '\n' <"/proc/$SHADOW_PID/environ")" = "" ]
    [ "$(ps -o sid=,pgid= -p "$SHADOW_PID")" = "$(ps -o sid=,pgid= -p "$APP")" ]
}

@test "the shadow ends with the program and takes its socket along" {
    start none
    socket=$(tr '\0' '\n' <"/proc/$SHADOW_PID/cmdline" | sed -n 2p)
    [ -S "$socket" ]
    [ "$(stat -c '%a %u' "$(dirname "$socket")")" = "700 $USER_ID" ]
    [ "$(stat -c %a "$socket")" = 600 ]
    kill -9 "$APP"
    until_true gone "$SHADOW_PID"
    [ ! -e "$socket" ]
}

@test "a pipe's reader gets its end of file when the program closes or is killed" {
    mkfifo fifo
    chmod 666 fifo
    timeout 20 cat fifo >seen 3>&- &
    reader=$!
    start fifo
    kill -9 "$APP"
    ended $reader 0
    [ "$(cat seen)" = "before " ]
}

@test "locks are free when the program is killed" {
    start named
    run "${AS[@]}" "$TRIAL" locked l
    [ "$output" = flock ]
    kill -9 "$APP"
    wait "$APP" || true
    run "${AS[@]}" "$TRIAL" locked l
    [ "$output" = none ]
    run "${AS[@]}" "$TRIAL" locked a
    [ "$output" = none ]
}

@test "checkpoint: the image where -o says, or where the hijack was ordered; the program goes on" {
    start none
    run tool checkpoint "$APP" -o relative.ckpt
    [ "$status" = 0 ]
    [[ $output == "$WORK/relative.ckpt: "*"process $APP stood still"* ]]
    [ -s relative.ckpt ]
    run tool checkpoint "$APP" -q
    [ "$status" = 0 ]
    [ -z "$output" ]
    ls "hijack.$APP."*.ckpt
    run tool status --json
    echo "$output" | python3 -c '
import json, sys
status = json.load(sys.stdin)
[p] = [p for p in status["processes"] if p["pid"] == int(sys.argv[1])]
assert len(p["images"]) == 2 and p["signal"] == 63 and p["held"] == 0, p
' "$APP"
    exec 8>&-
    ended "$APP" 0
}

@test "checkpoint --json tells what happened" {
    start none
    run tool checkpoint "$APP" -o 'odd "name"' --json
    echo "$output" | python3 -c '
import json, sys
r = json.load(sys.stdin)
assert r["schema"] == 1 and r["outcome"] == "done" and r["image"].endswith("odd \"name\""), r
assert r["bytes"] > 0 and not r["ended"], r
'
}

@test "the shadow killed: said clearly, and a raw signal still takes a checkpoint" {
    start none
    kill -9 "$SHADOW_PID"
    until_true gone "$SHADOW_PID"
    run tool checkpoint "$APP"
    [ "$status" = 1 ]
    [[ $output == *"process $APP is not hijacked"* ]] # no library of ours is mapped here by which to tell
    kill -s 63 "$APP"
    until_true compgen -G "hijack.$APP.*.ckpt"
    exec 8>&-
    ended "$APP" 0
}

@test "the program dies during the checkpoint: status 4" {
    start dies
    run tool checkpoint "$APP"
    [ "$status" = 4 ]
    [[ $output == *"process $APP"*"ended"* ]]
}

@test "the program breaks off the checkpoint: status 3, it runs on" {
    start mute
    run tool checkpoint "$APP"
    [ "$status" = 3 ]
    [[ $output == *"broke off"* ]]
    exec 8>&-
    ended "$APP" 0
}

@test "a checkpoint that does not begin is withdrawn: the late signal takes none" {
    start blocked
    run tool checkpoint "$APP" --timeout 1 -o late.ckpt
    [ "$status" = 1 ]
    [[ $output == *"did not begin within 1 seconds"* ]]
    echo >&8
    until_true grep -q canceled out
    [ ! -e late.ckpt ]
    run tool checkpoint "$APP" -o next.ckpt
    [ "$status" = 0 ]
}

@test "after an exec the signal would kill: refused" {
    start exec
    echo >&8
    until_true grep -q cat "/proc/$APP/comm"
    run tool checkpoint "$APP"
    [ "$status" = 1 ]
    [[ $output == *"does not handle signal 63 any more"* ]]
    exec 8>&-
    ended "$APP" 0
}

@test "refused by name: stopped, no free descriptor, a directory it cannot write, no such process, not hijacked" {
    start none
    kill -STOP "$APP"
    until_true grep -q '^State:.T' "/proc/$APP/status"
    run tool checkpoint "$APP"
    [ "$status" = 1 ]
    [[ $output == *"is stopped"*"kill -CONT $APP"* ]]
    kill -CONT "$APP"
    until_true grep -q '^State:.S' "/proc/$APP/status"
    run tool checkpoint "$APP" -o /proc/sys/x.ckpt
    [ "$status" = 1 ]
    [[ $output == *"cannot write an image into directory '/proc/sys'"* ]]
    run tool checkpoint 999999999
    [ "$status" = 1 ]
    [[ $output == *"there is no process 999999999"* ]]
    run "${AS[@]}" bash -c "exec 3>&-; sleep 20 & $TOOL checkpoint \$!; s=\$?; kill \$!; exit \$s"
    [ "$status" = 1 ]
    [[ $output == *"is not hijacked"* ]]
    "${AS[@]}" prlimit --pid "$APP" --nofile=5:5
    run tool checkpoint "$APP"
    [ "$status" = 1 ]
    [[ $output == *"has 3 of at most 5 descriptors open"*"prlimit --pid $APP"* ]]
}

@test "root takes a checkpoint of a user's process, another user may not" {
    [ "$(id -u)" = 0 ] || skip "only root can be two users"
    start none
    run "$TOOL" checkpoint "$APP" -o byroot.ckpt
    [ "$status" = 0 ]
    [ "$(stat -c %u byroot.ckpt)" = "$USER_ID" ]
    mkdir -m 700 roots
    run "$TOOL" checkpoint "$APP" -o roots/x.ckpt
    [ "$status" = 1 ]
    [[ $output == *"cannot write an image"* ]]
    run setpriv --reuid=65533 --regid=65533 --clear-groups "$TOOL" checkpoint "$APP"
    [ "$status" = 1 ]
    [[ $output == *"belongs to another user"* ]]
}

@test "usage errors: status 2" {
    for arguments in "" "x" "1 2" "1 --exit-status 3" "1 --exit --exit-status 300"; do
        # shellcheck disable=SC2086 # words
        run tool checkpoint $arguments
        [ "$status" = 2 ]
    done
}
