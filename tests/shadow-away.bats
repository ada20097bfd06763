#!/usr/bin/env bats
# Descriptors between `checkpoint --exit` and the restart, and without a shadow, by name.

load shadow/lib

setup_file() { shadow_build; }
setup() { work_begin; }
teardown() { work_end; }

# leave SCENE: the program has ended with the image exit.ckpt.
leave() {
    start "$1"
    tool checkpoint "$APP" --exit -o exit.ckpt -q
    ended "$APP" 85
}

# killed SCENE: the program went on after the image go.ckpt and was killed; no shadow is left.
killed() {
    start "$1"
    tool checkpoint "$APP" -o go.ckpt -q
    kill -9 "$APP"
    until_true gone "$SHADOW_PID"
}

@test "all kinds of descriptors come back from the shadow, state and locks included" {
    leave all
    run tool status
    [[ $output == *"shadow $SHADOW_PID keeps"* ]]
    back all exit.ckpt <in >/dev/null
    grep -q "all there, from the shadow" err
    until_true gone "$SHADOW_PID"
}

@test "locks are kept while the program is away" {
    leave named
    run "${AS[@]}" "$TRIAL" locked a
    [ "$output" = posix ]
    run "${AS[@]}" "$TRIAL" locked l
    [ "$output" = flock ]
    kill "$SHADOW_PID"
    until_true gone "$SHADOW_PID"
    run "${AS[@]}" "$TRIAL" locked a
    [ "$output" = none ]
}

@test "a pipe's reader does not notice that the program was away" {
    mkfifo fifo
    chmod 666 fifo
    timeout 20 cat fifo >seen 3>&- &
    reader=$!
    leave fifo
    back fifo exit.ckpt
    ended $reader 0
    [ "$(cat seen)" = "before after" ]
}

@test "900 descriptors" {
    leave many
    back many exit.ckpt
    grep -q "all there, from the shadow" out err
}

@test "the shadow has no room for the descriptors: the program goes on" {
    start many
    "${AS[@]}" prlimit --pid "$SHADOW_PID" --nofile=300:300
    run tool checkpoint "$APP" --exit -o exit.ckpt
    [ "$status" = 3 ]
    [[ $output == *"Too many open files"* ]]
    [ "$(find "/proc/$SHADOW_PID/fd" -mindepth 1 | wc -l)" -lt 20 ] # what was given is given back
    exec 8>&-
    ended "$APP" 0
}

@test "another exit status" {
    start none
    tool checkpoint "$APP" --exit --exit-status 7 -q
    ended "$APP" 7
}

@test "a restart that failed leaves the shadow as it was" {
    leave all
    back all exit.ckpt --abandon
    run "${AS[@]}" "$TRIAL" locked a
    until_true holds_posix a
    back all exit.ckpt
    grep -q "all there, from the shadow" err
}
holds_posix() { [ "$("${AS[@]}" "$TRIAL" locked "$1")" = posix ]; }

@test "the same image a second time: by name, or refused with the reason" {
    leave all
    back all exit.ckpt
    run back all exit.ckpt
    [ "$status" = 1 ]
    [[ $output == *"descriptor 13 ($WORK/u): the file had no name any more"* ]]
    [[ $output == *"descriptor 22 (socket:"*"a socket cannot be opened by name, and its shadow is gone; give another one with --fd 22=PATH"* ]]
    leave2=$(grep -c "all there" err)
    [ "$leave2" = 1 ]
}

@test "the restarted program has its shadow: the same one after --exit, and another checkpoint" {
    leave named
    mkfifo in2
    chmod 666 in2
    exec 9<>in2
    "${AS[@]}" "$TRIAL" back named exit.ckpt --stay <in2 8>&- 9>&- 3>&- &
    BACK=$!
    echo >&8 # its input is what it was
    until_true grep -q "all there" err
    ended $BACK 0
}

@test "a restart without a shadow starts one" {
    killed named
    exec 9<>in
    "${AS[@]}" "$TRIAL" back named go.ckpt --stay --accept-changed-files <in 8>&- 9>&- 3>&- &
    BACK=$!
    until_true grep -q "back $BACK" out
    run tool status "$BACK"
    [ "$status" = 0 ]
    [[ $output == "process $BACK (trial) is hijacked: shadow"* ]]
    tool checkpoint "$BACK" -o second.ckpt -q
    [ -s second.ckpt ]
    echo >&8
    ended $BACK 0
}

@test "two restarts of one image: the second is refused, or is a copy with a session of its own" {
    killed named
    "${AS[@]}" "$TRIAL" back none go.ckpt --stay --accept-changed-files <in 8>&- 3>&- &
    BACK=$!
    until_true grep -q "back $BACK" out
    run back none go.ckpt --accept-changed-files
    [ "$status" = 1 ]
    [[ $output == *"the program lives: it is process $BACK"* ]]
    run back none go.ckpt --accept-changed-files --copy
    [ "$status" = 1 ] # the first one holds the record lock
    [[ $output == *"process $BACK has locked"* ]]
    echo >&8
    ended $BACK 0
}

@test "no shadow: files, directory, null, eventfd, timerfd, epoll, pipe and locks by name" {
    killed named
    back named go.ckpt </dev/null
    grep -q "all there$" err
}

@test "a file gone or replaced is refused by name, or taken as it is" {
    killed append
    mv log saved # which keeps its inode
    run back append go.ckpt
    [ "$status" = 1 ]
    [[ $output == *"descriptor 10 ($WORK/log): the file is gone"* ]]
    cp -p saved log
    run back append go.ckpt
    [ "$status" = 1 ]
    [[ $output == *"replaced by another"* ]]
    run back append go.ckpt --accept-changed-files
    [ "$status" = 0 ]
    [ "$(cat log)" = $'one\ntwo' ]
}

@test "a file shortened, changed, grown: refused by name; growth cut back, or taken as it is" {
    killed append
    echo more >>log
    run back append go.ckpt
    [ "$status" = 1 ]
    [[ $output == *"has grown since the image, from 4 to 9 bytes; --rollback-files"* ]]
    [ "$(cat log)" = $'one\nmore' ]
    back append go.ckpt --rollback-files
    [ "$(cat log)" = $'one\ntwo' ]
    : >log
    run back append go.ckpt --rollback-files
    [ "$status" = 1 ]
    [[ $output == *"has been shortened since the image, from 4 to 0 bytes"* ]]
    echo ONE >log
    run back append go.ckpt --rollback-files
    [ "$status" = 1 ]
    [[ $output == *"changed since the image (same size)"* ]]
    back append go.ckpt --accept-changed-files
    [ "$(cat log)" = $'ONE\ntwo' ]
}

@test "--fd names another file; what the image does not have is refused" {
    killed append
    rm log
    back append go.ckpt --fd 10=other
    [ "$(cat other)" = two ]
    run back append go.ckpt --fd 10=other --fd 77=x
    [ "$status" = 1 ]
    [[ $output == *"the image has no descriptor 77"* ]]
    run back append go.ckpt --fd 10
    [ "$status" = 1 ]
    [[ $output == *"not of the form N=PATH"* ]]
}

@test "a standard stream that was a pipe is the restart command's" {
    mkfifo in
    chmod 666 in
    exec 8<>in
    "${AS[@]}" "$TRIAL" app append . "$SHADOW" <in 2>err 8<&- 3>&- | cat >piped &
    until_true grep -q shadow piped
    APP=$(awk '{print $2}' piped)
    tool checkpoint "$APP" -o go.ckpt -q
    kill -9 "$APP"
    back append go.ckpt >given --stay </dev/null
    grep -q back given
}

@test "the terminal is the restart command's" {
    mkfifo in
    chmod 666 in
    exec 8<>in # script(1) passes an end of file on
    "${AS[@]}" script -qec "$TRIAL app terminal . $SHADOW" /dev/null <in >out 2>&1 8<&- 3>&- &
    until_true grep -q shadow out
    APP=$(awk '/^app/ {print $2}' out)
    tool checkpoint "$APP" --exit -o exit.ckpt -q
    run "${AS[@]}" script -qec "$TRIAL back terminal exit.ckpt" /dev/null <in
    [ "$status" = 0 ]
    [[ $output == *"terminal /dev/pts/"*"all there, from the shadow"* ]]
}

@test "a damaged table is refused" {
    killed append
    size=$(stat -c %s go.ckpt)
    truncate -s $((size - 1)) go.ckpt
    run back append go.ckpt
    [ "$status" = 1 ]
    [[ $output == *"damaged"* ]]
}
