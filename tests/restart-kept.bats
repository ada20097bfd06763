#!/usr/bin/env bats
# Shared file mappings whose file has gone, has changed, or is not there after a restart (restart/starter_kept.c): a Java VM's
# performance counters are such.

load lib
load away
load remote

setup_file() { away_begin; }
teardown_file() { away_end; }
setup() { work_begin; }
teardown() { work_end; }

# start_kept [HOW]: targets/kept.c, hijacked
start_kept() {
    start_target kept "$DIR" "$@"
    hijack
}

# in_file: the number that the program has written last to its file
in_file() { od -A n -t u4 -j 4096 -N 4 "$DIR/kept" | tr -d ' '; }
counts_beyond() { [ "$(in_file)" -gt "$1" ]; }

# killed: it has written to its file since the image
killed() {
    wait_until counts_beyond "$(in_file)"
    kill -KILL "$PID" && wait_until is_gone "$PID"
}

# map_elsewhere: process $other maps the file as well
map_elsewhere() {
    (
        close_inherited && as_prefix
        exec "${AS[@]}" "$PYTHON" -c "import mmap, os, time
f = open('$DIR/kept', 'r+b'); m = mmap.mmap(f.fileno(), 0); open('$DIR/maps', 'w').close()
while not os.path.exists('$DIR/enough'): time.sleep(0.01)"
    ) 3>&- &
    other=$!
    started "$other"
    wait_until test -e "$DIR/maps"
}
unmap_elsewhere() { touch "$DIR/enough" && wait "$other"; }

warned() { grep -q "'[^']*$1[^']*' mapped, shared and writable, and the file is $2" "$DIR/err" || complain "$(cat "$DIR/err")"; }

@test "killed: the file has been changed, which is refused; --rollback-files puts back what it held" {
    start_kept
    checkpoint
    killed
    restart
    ends_with 1
    grep -q "'$DIR/kept' mapped, which has been changed.*--rollback-files puts its contents back" "$DIR/err"
    restart_ready --rollback-files
    not grep -q warning "$DIR/err"
    finish
    [ "$(in_file)" = "$(head -n 1 "$DIR/out")" ] || complain "$(in_file) in the file"
}

@test "nothing is put back to a file that another process maps too" {
    start_kept
    checkpoint
    killed
    map_elsewhere
    restart --rollback-files
    ends_with 1
    grep -q "process $other has it mapped, too" "$DIR/err"
    unmap_elsewhere
    restart_ready --rollback-files
    finish
}

@test "the file is gone: memory stands for it, with a warning; and so in the next image" {
    start_kept
    checkpoint_exit
    rm "$DIR/kept"
    restart_ready
    warned "$DIR/kept" gone
    checkpoint
    kill -KILL "$PID" && wait_until is_gone "$PID"
    restart_ready
    checkpoint_exit
    restart_ready
    [ "$(grep -c 'shared and writable' "$DIR/err")" -eq 1 ] # once is enough
    finish
}

@test "another file has its name: it is left alone" {
    start_kept
    checkpoint
    killed
    as sh -c "echo another >$DIR/other && mv $DIR/other $DIR/kept" # not the number of the old one, which is there until then
    restart_ready --rollback-files
    warned "$DIR/kept" gone
    finish
    [ "$(cat "$DIR/kept")" = another ]
}

@test "the file had no name any more when the image was made" {
    start_kept remove
    expect 1 gdb_hijack doctor --json "$PID" # it is hijacked
    [[ $output != *shared_anonymous* ]] || complain "$output"
    checkpoint --exit
    restart_ready
    finish
}

@test "away: carried, with a warning of the checkpoint and of the restart; to and fro" {
    away_or_skip
    away_use
    start_target kept "$DIR"
    hijack_for_away
    AWAY_BINDS+=("$DIR")
    leave_home
    grep -q "warning: .*'$DIR/kept' mapped, shared and writable" <<<"$errors"
    go_away
    warned "$DIR/kept" "not here"
    leave_away
    go_home
    leave_home
    go_away
    finish
}

# write_back OPTION...: goes on away, where the file is written back, and nothing is said of it
write_back() {
    local said
    said=$(wc -l <"$DIR/err")
    away_restart --remote-io "$@"
    not grep -q "mapped, shared and writable" <(tail -n +$((said + 1)) "$DIR/err")
    said=$(in_file)
    expect 0 gdb_hijack checkpoint "$PID" -o /home/here.ckpt || return 1
    counts_beyond "$said" || complain "$(in_file) in the file, $said before"
}

is_last_in_file() { [ "$(in_file)" = "$(head -n 1 "$DIR/out")" ] || complain "$(in_file) in the file"; }

@test "away: written back to the file, of which --io says that only the program uses it; to and fro" {
    away_or_skip
    away_use
    start_target kept "$DIR"
    hijack_for_away
    leave_home
    write_back --io "$DIR/*=buffer"
    leave_away
    go_home
    wait_until counts_beyond "$(in_file)" # by itself, at home
    grep -q "$DIR/kept" "/proc/$PID/maps"
    leave_home
    write_back --io kept=buffer
    finish
    is_last_in_file
}

@test "... and with what --io said at home" {
    away_or_skip
    away_use
    start_target kept "$DIR"
    hijack_for_away
    expect 0 gdb_hijack -q --remote-io --io kept=buffer "$PID"
    leave_home
    write_back
    leave_away
    restart_ready --remote-io
    finish
    is_last_in_file
}

@test "... but not over what has been changed at home, or is there no more" {
    away_or_skip
    away_use
    start_target kept "$DIR"
    hijack_for_away
    leave_home
    as cp "$DIR/job.ckpt" "$AWAY_HOME/job.ckpt"
    as sh -c "printf '\0\0\0\0' | dd of='$DIR/kept' bs=4096 seek=1 conv=notrunc status=none"
    expect 1 away_run gdb-hijack restart --remote-io --io kept=buffer job.ckpt
    [[ $errors == *"'$DIR/kept' mapped, shared and writable, to be written back"*"been changed"*--rollback-files* ]] || complain "$errors"
    expect 1 away_run gdb-hijack restart --remote-io --io kept=buffer --accept-changed-files job.ckpt
    as truncate -s +1 "$DIR/kept"
    expect 1 away_run gdb-hijack restart --remote-io --io kept=buffer --rollback-files job.ckpt
    [[ $errors == *"'$DIR/kept' mapped, shared and writable, to be written back"*"another size"* ]] || complain "$errors"
    as truncate -s -1 "$DIR/kept"
    as mv "$DIR/kept" "$DIR/was"
    expect 1 away_run gdb-hijack restart --remote-io --io kept=buffer --rollback-files job.ckpt
    [[ $errors == *"'$DIR/kept' mapped, shared and writable, to be written back"*"No such file"* ]]
    as mv "$DIR/was" "$DIR/kept"
    write_back --io kept=buffer --rollback-files
    finish
    is_last_in_file
}

@test "as JSON: the warning is one of the image's" {
    start_kept
    checkpoint --portable --json
    [[ $(json "$output" "first(d, 'warning')") == *"$DIR/kept"* ]]
    checkpoint --json
    [[ $output != *warning* ]]
    finish
}

@test "refused with --portable: a descriptor of the file is open, another process maps it" {
    start_kept open
    expect 1 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt" --portable
    grep -q "shared file mapping .*$DIR/kept, which is open as descriptor" <<<"$errors"
    checkpoint
    finish
    start_kept
    map_elsewhere
    expect 1 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt" --portable
    grep -q "$DIR/kept, which process $other maps too" <<<"$errors"
    rm "$DIR/kept"
    expect 1 gdb_hijack doctor --json "$PID"
    [[ $output == *shared_anonymous* ]] || complain "$output"
    expect 1 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt"
    grep -q "which process $other maps too" <<<"$errors"
    unmap_elsewhere
    checkpoint
    finish
}
