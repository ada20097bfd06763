#!/usr/bin/env bats
# Files as an image knows them: the program went on after its checkpoint, its calls made at home, and was lost; the shadow has
# kept what a restart needs. And one image is one program at a time.

load lib
load away
load remote

setup_file() { away_begin; }
teardown_file() { away_end; }
setup() { work_begin && away_use; }
teardown() { work_end; }

start_steps() {
    seq -f 'rec-%03g' 1 50 >"$DIR/input"
    echo 'it was early' >"$DIR/early"
    cp "$BATS_TEST_DIRNAME/consistent.py" "$DIR/"
    as touch "$DIR/log"
    chmod 644 "$DIR"/{input,early,consistent.py}
    start_program "$PYTHON" consistent.py "$@" && wait_until test -e "$DIR/done.0"
}

# steps NUMBER...: orders them, and waits until they are done
steps() {
    local n
    for n; do as touch "$DIR/order.$n" && wait_until test -e "$DIR/done.$n" || return 1; done
}

# ended_well STEPS: to be called after so many steps; all of them were made once, in their order
ended_well() {
    as touch "$DIR/order.end" && ends_with 0 || return 1
    { echo 'it was early' && head -n "$1" "$DIR/input"; } | cmp - "$DIR/out" && head -n "$1" "$DIR/input" | cmp - "$DIR/log"
}

checkpoint_away() {
    expect 0 gdb_hijack checkpoint "$PID" -o /home/job.ckpt && as cp "$AWAY_HOME/job.ckpt" "$DIR/job.ckpt"
}

# The program is killed; what it has open at home is closed then.
lose() {
    local executor
    executor=$(pgrep -P "$SHADOW" -x hijack-executor) || complain "no executor" || return 1
    kill -KILL "$PID" && wait_until is_gone "$executor" && wait_until is_gone "$MAIN"
    wait "$MAIN" 2>/dev/null || true
}

go_away_from_step_2() {
    away_or_skip
    start_steps "$@"
    hijack_for_away
    leave_home
    go_away
    steps 1 2
}

@test "lost there after its image: offsets are put back, what it has closed and removed since is there" {
    go_away_from_step_2
    checkpoint_away
    steps 3 4
    [ ! -e "$DIR/early" ]
    lose
    expect 1 away_run gdb-hijack restart --remote-io job.ckpt
    [[ $errors == *"descriptor 4 ($DIR/log): the file has grown since the image, from 16 to 32 bytes; --rollback-files"* ]]
    [[ $errors == *"descriptor 6 ($DIR/scratch): the file has grown"* ]]
    [[ $errors != *early* ]]
    rm "$DIR"/done.[34]
    as touch "$DIR/early" # which step 3 removes again
    away_restart --remote-io --rollback-files
    grep -q "the program went on after this image, until it ended" "$DIR/err"
    steps 3 4 5
    ended_well 5
}

@test "... and goes on at home" {
    go_away_from_step_2
    checkpoint_away
    steps 3 4
    lose
    expect 1 gdb_hijack restart job.ckpt
    [[ $errors == *"grown since the image"* ]]
    rm "$DIR"/done.[34]
    as touch "$DIR/early"
    restart_ready --rollback-files
    steps 3 4
    ended_well 4
    wait_until is_gone "$SHADOW"
}

@test "a newer image, once it is complete, is the only one that files are kept for" {
    go_away_from_step_2
    checkpoint_away
    as cp "$DIR/job.ckpt" "$DIR/older.ckpt"
    steps 3
    checkpoint_away
    as prlimit --pid "$PID" --fsize=4096:unlimited
    expect 3 gdb_hijack checkpoint "$PID" -o /home/job.ckpt
    as prlimit --pid "$PID" --fsize=unlimited:unlimited
    lose
    expect 1 gdb_hijack restart --accept-changed-files older.ckpt
    [[ $errors == *"scratch): the file had no name any more when the image was taken, and its shadow keeps the descriptors of a newer image"* ]]
    away_restart --remote-io --rollback-files # of err, to which its shell said that it was killed
    steps 4
    ended_well 4
}

@test "what others can see is closed when the program is lost: a pipe ends, a lock is free" {
    as mkfifo "$DIR/pipe"
    as cat "$DIR/pipe" >"$DIR/piped" 3>&- &
    reader=$!
    started $reader
    go_away_from_step_2 pipe
    checkpoint_away
    steps 3
    lose
    wait_until is_gone $reader
    head -n 3 "$DIR/input" | cmp - "$DIR/piped"
    is_alive "$SHADOW"
    expect 1 gdb_hijack restart --accept-changed-files job.ckpt
    [[ $errors == *"descriptor 7 ($DIR/pipe): a named pipe cannot be opened by name, and its shadow has kept only its files"* ]]
    expect 1 away_run gdb-hijack restart --remote-io --accept-changed-files job.ckpt
    [[ $errors == *"descriptor 7 ($DIR/pipe): its shadow has kept only its files"*"--fd 7=PATH"* ]]
    rm "$DIR"/done.3
    as touch "$DIR/early" "$DIR/rest"
    restart_ready --rollback-files --fd 7="$DIR/rest"
    steps 3
    ended_well 3
    sed -n 3p "$DIR/input" | cmp - "$DIR/rest"
}

@test "a file that has its name, at home: the shadow ends with the program, the restart opens it by name" {
    start_target alloc
    hijack
    expect 0 gdb_hijack hijack --remote-io "$PID"
    checkpoint
    kill -KILL "$PID"
    wait_until is_gone "$SHADOW"
    restart_ready
    finish
}

@test "a program that ends by itself leaves no shadow, whatever its images" {
    go_away_from_step_2
    checkpoint_away
    steps 3
    ended_well 3
    wait_until is_gone "$SHADOW"
}

# --- one image, one program ----------------------------------------------------------------------------------------------

@test "the program lives: its image is refused, or becomes a copy with descriptors of its own" {
    start_steps
    hijack
    steps 1
    checkpoint
    expect 1 gdb_hijack restart --fd 6=log job.ckpt
    [[ $errors == *"the program lives: it is process $PID ("*"--copy starts a second one"* ]]
    kill -KILL "$SHADOW"
    wait_until is_gone "$SHADOW"
    expect 1 gdb_hijack restart --fd 6=log job.ckpt
    [[ $errors == *"the program lives: it is process $PID ("* ]]
    as touch "$DIR/own"
    first=$PID
    pos=$(cat "/proc/$first/fdinfo/3")
    OUT=other restart_ready --copy --fd 6="$DIR/own"
    second=$PID
    [ "$second" != "$first" ]
    kill -STOP "$first"
    steps 2
    [ "$pos" = "$(cat "/proc/$first/fdinfo/3")" ]
    kill -CONT "$first"
    as touch "$DIR/order.end"
    ends_with 0 "$first"
    ends_with 0
}

# Of a program with remote I/O there is no second one, since its shadow has one executor; a copy begins at home.
@test "the program is away and lives: a copy of it begins at home, and goes away, too" {
    away_or_skip
    seq -f 'rec-%03g' 1 50 >"$DIR/input"
    start_program "$PYTHON" -c '
import os, time
source = open("input", "rb", buffering=0)
print("begun", flush=True)
while not os.path.exists("go"): time.sleep(0.005)
while record := source.read(8): print(record.decode().strip(), flush=True)'
    wait_until grep -q begun "$DIR/out"
    hijack_for_away
    leave_home
    go_away
    first=$PID first_main=$MAIN
    checkpoint_away
    expect 1 away_run gdb-hijack restart --remote-io job.ckpt
    expect 2 gdb_hijack restart --remote-io --copy job.ckpt
    [[ $errors == *"restart --copy"*"checkpoint --exit"*"restart --remote-io"* ]] || complain "$errors"
    expect 1 gdb_hijack restart job.ckpt
    as touch "$DIR/other"
    restart_ready --copy --fd 1="$DIR/other"
    leave_home
    go_away
    [ "$PID" != "$first" ]
    as touch "$DIR/go"
    ends_with 0
    ends_with 0 "$first_main"
    cmp "$DIR/input" <(sed 1d "$DIR/out")
    cmp "$DIR/input" <(tail -c +7 "$DIR/other") # behind its offset at the image, that of the word
}

@test "an image that was restarted is refused while that program lives, and is its own after that" {
    start_steps
    hijack
    steps 1
    checkpoint_exit
    restart_ready
    first=$PID
    expect 1 gdb_hijack restart job.ckpt
    [[ $errors == *"the program lives: it is process $first ("* ]]
    kill -KILL "$first"
    wait_until is_gone "$first"
    expect 1 gdb_hijack restart job.ckpt
    [[ $errors == *"scratch"* ]]
    restart_ready --fd 6="$DIR/log"
    kill -KILL "$PID"
}
