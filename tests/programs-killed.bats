#!/usr/bin/env bats
# The commonest use: checkpoint, go on, be killed one day, restart, with no shadow left. Files are opened again by name
# and must be what they were, or the restart is refused by name and nothing starts.

load lib
load programs

setup() { work_begin; }
teardown() { work_end; }

# killed_after_checkpoint: $PID and its shadow are gone
killed_after_checkpoint() {
    checkpoint || return 1
    random_moment 50
    killed
}

killed() {
    kill -KILL "$PID" 2>/dev/null # or it has ended just now
    wait_until is_gone "$PID" && wait_until is_gone "$SHADOW"
}

# A reader and writer of three files that waits until the file `go` is there. It works alone: what it has open, and where
# in the file it is, is all that matters.
start_worker() {
    seq 1000 1999 >"$DIR/data"
    : >"$DIR/log"
    chown "$WHO" "$DIR"/*
    cat >"$DIR/worker.py" <<'END'
import os, time
data = os.open("data", os.O_RDONLY)
log = os.open("log", os.O_RDWR)
first = os.read(data, 50)
os.write(log, first)
open("ready", "w").close()
while not os.path.exists("go"):
    time.sleep(0.01)
os.write(log, os.read(data, 50))
os.lseek(log, 0, 0)
os.write(1, os.read(log, 1000))
END
    start_program "$PYTHON" "$DIR/worker.py"
    wait_until test -e "$DIR/ready"
    wait_until is_blocked "$PID"
}

worker_is_right() {
    touch "$DIR/go"
    ends_with 0
    [ "$(cat "$DIR/out")" = "$(seq 1000 1019)" ] || complain "$(cat "$DIR/out")"
}

start_killed_worker() {
    start_worker && hijack && killed_after_checkpoint
}

# restart_refused PATTERN OPTION...: status 1, a message with PATTERN, and no program
restart_refused() {
    local pattern=$1
    shift
    expect 1 as env -C "$DIR" "$GDB_HIJACK" restart "$@" "$DIR/job.ckpt" || return 1
    [ -z "$output" ] || complain "on stdout: $output" || return 1
    grep -q -- "$pattern" <<<"$errors" || complain "no \"$pattern\" in: $errors"
}

# writes PROGRAM: its output may have grown since the image, and is cut back
writes() {
    program_prepare "$1"
    at_a_moment checkpoint_and_kill "$1"
    restart --rollback-files
    ends_with 0
    [ "$(outcome)" = "$UNDISTURBED" ]
}

checkpoint_and_kill() {
    program_inputs "$1" && start_program "${COMMAND[@]}" || return 1
    moment_of_program 20 50 # sqlite3 is in its transaction then
    order hijack && order checkpoint || return
    random_moment 50
    order killed || return
    [ "$1" != sqlite3 ] || [ -e "$DIR/base.db-journal" ] || return "$TOO_LATE" # its transaction was over
}

@test "python3, reading and writing files" { writes python3; }
@test "gzip of a large file" { writes gzip; }
# bats test_tags=as-root
@test "sqlite3 with an open transaction" { writes sqlite3; }

# start_spilling: a transaction is open in base.db, all of it still in memory; from `go` on more comes than sqlite's cache
# holds, and it spills into base.db, over old pages and behind them
start_spilling() {
    cat >"$DIR/spill.py" <<'END'
import os, sqlite3, time
def wait_for(name):
    while not os.path.exists(name):
        time.sleep(0.01)
d = sqlite3.connect("base.db", isolation_level=None)
for line in ("PRAGMA page_size = 1024", "PRAGMA cache_size = 10", "CREATE TABLE t (i INTEGER PRIMARY KEY, x TEXT)",
             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO t SELECT i, i FROM n",
             "BEGIN", "UPDATE t SET x = 'new' WHERE i = 1"):
    d.execute(line)
open("ready", "w").close()
wait_for("go")
d.execute("UPDATE t SET x = hex(zeroblob(50))")
open("spilled", "w").close()
wait_for("commit")
d.execute("COMMIT")
open("committed", "w").close()
wait_for("stop")
assert d.execute("PRAGMA integrity_check").fetchone() == ("ok",)
END
    chmod 644 "$DIR/spill.py"
    start_program "$PYTHON" "$DIR/spill.py"
    wait_until test -e "$DIR/ready"
    [ -s "$DIR/base.db-journal" ] # the transaction is open
    hijack
    checkpoint
}

@test "sqlite3 spills into its file after the image: refused by name; with --rollback-files warned of, never silently mixed" {
    start_spilling
    touch "$DIR/go"
    wait_until test -e "$DIR/spilled"
    killed
    restart_refused base.db
    restart_ready --rollback-files
    grep -q "base.db.*overwritten" "$DIR/err" || complain "$(cat "$DIR/err")"
}

@test "sqlite3 commits after the image: refused by name, its journal too, whatever it is to accept" {
    start_spilling
    touch "$DIR/go" "$DIR/commit"
    wait_until test -e "$DIR/committed"
    killed
    restart_refused base.db
    restart_refused "base.db-journal.*gone" --accept-changed-files
    restart_refused "base.db-journal.*gone" --rollback-files
}

# bats test_tags=as-root
@test "nothing changed: restarts without options" {
    start_killed_worker
    restart
    worker_is_right
}

@test "twice from the same image" {
    start_killed_worker
    restart_ready
    kill -KILL "$MAIN"
    ends_with 137
    restart
    worker_is_right
}

is_locked() { grep -q "^[0-9]*: FLOCK .*:$(stat -c %i "$1") " /proc/locks; }

# The first is stopped as soon as it has its lock, long before it would be the program.
@test "two at once from the same image: the second is refused by name" {
    start_killed_worker
    UNDER=(strace -qq -f -o /dev/null -e inject=flock:signal=STOP)
    restart
    wait_until is_locked "$DIR/job.ckpt"
    first=$(pgrep -P "$MAIN")
    started "$first"
    restart_refused 'job.ckpt.* is being restarted'
    kill -CONT "$first"
    worker_is_right
}

@test "a file is gone: refused by name; back again: restarts" {
    start_killed_worker
    mv "$DIR/data" "$DIR/elsewhere"
    restart_refused '/data"*'
    mv "$DIR/elsewhere" "$DIR/data"
    restart
    worker_is_right
}

@test "a file is replaced by another of the same name: refused by name" {
    start_killed_worker
    cp -p "$DIR/data" "$DIR/new"
    mv "$DIR/new" "$DIR/data"
    restart_refused /data
    restart --accept-changed-files
    worker_is_right
}

@test "a file is shorter: refused by name, with --rollback-files too" {
    start_killed_worker
    truncate -s 100 "$DIR/data"
    restart_refused /data
    restart_refused /data --rollback-files
}

@test "a file has other contents: refused by name, accepted with --accept-changed-files" {
    start_killed_worker
    seq 1000 1999 | dd of="$DIR/data" conv=notrunc status=none
    restart_refused /data
    restart_refused /data --rollback-files
    restart --accept-changed-files
    worker_is_right
}

# bats test_tags=as-root
@test "a file has grown: refused by name, cut back with --rollback-files" {
    start_killed_worker
    size=$(stat -c %s "$DIR/log")
    echo "more of it" >>"$DIR/log"
    restart_refused /log
    [ "$(stat -c %s "$DIR/log")" -gt "$size" ] # a refusal touches nothing
    restart_ready --rollback-files
    [ "$(stat -c %s "$DIR/log")" -eq "$size" ]
    worker_is_right
}

@test "--fd gives another file under a number" {
    start_killed_worker
    cp -p "$DIR/data" "$DIR/other"
    rm "$DIR/data"
    restart_refused /data
    restart --fd 3="$DIR/other"
    worker_is_right
}

@test "--fd: a fifo in place of a pipe that is gone, a device of a socket, files of the standard streams; what is not named is refused" {
    cat >"$DIR/ends.py" <<'END'
import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
os.dup2(s.fileno(), 7)
s.close()
reader, writer = os.pipe()
os.dup2(reader, 8)
os.close(reader)
os.close(writer)
open("ready", "w").close()
while not os.path.exists("go"):
    time.sleep(0.01)
print(os.read(0, 100), os.read(7, 100), os.read(8, 100))
END
    chmod 644 "$DIR/ends.py"
    start_program "$PYTHON" "$DIR/ends.py"
    wait_until test -e "$DIR/ready"
    hijack
    killed_after_checkpoint
    echo input >"$DIR/input"
    mkfifo "$DIR/fifo"
    touch "$DIR/given"
    chown "$WHO" "$DIR"/{input,fifo,given}
    restart_refused 'descriptor 7 (socket:.*a socket cannot be opened by name, and its shadow is gone; give another one with --fd 7=PATH'
    restart_refused 'descriptor 8 (pipe:.*--fd 8=PATH' --fd 7=/dev/null
    restart_refused "descriptor 8 .*'$DIR/none', given with --fd, cannot be opened" --fd 7=/dev/null --fd 8="$DIR/none"
    restart_refused "the image has no descriptor 9" --fd 7=/dev/null --fd 8="$DIR/fifo" --fd 9=/dev/null
    echo "through the fifo" >"$DIR/fifo" 3>&- &
    started "$!"
    restart --fd 7=/dev/null --fd 8="$DIR/fifo" --fd 0="$DIR/input" --fd 1="$DIR/given"
    touch "$DIR/go"
    ends_with 0
    [ "$(cat "$DIR/given")" = "b'input\\n' b'' b'through the fifo\\n'" ] || complain "$(cat "$DIR/given" "$DIR/out")"
}

@test "pipes of the program's own: what stands in them is there again, after two generations; one in packet mode is refused" {
    cat >"$DIR/pipes.py" <<'END'
import fcntl, os, time
token, large, packets = os.pipe(), os.pipe(), os.pipe2(os.O_DIRECT)
again = os.dup(token[0])
os.write(token[1], b"\0")
fcntl.fcntl(large[1], fcntl.F_SETPIPE_SZ, 1 << 18)
content = b"".join(b"%d\n" % n for n in range(30000))
os.write(large[1], content)
if os.path.exists("packets"):
    os.write(packets[1], b"one")
open("ready", "w").close()
while not os.path.exists("go"):
    time.sleep(0.01)
os.set_blocking(large[0], False)
os.write(large[1], b"end")
got = b""
while not got.endswith(b"end"):
    got += os.read(large[0], 1 << 20)
print(os.read(again, 10), got == content + b"end", len(got))
os.close(token[1])
print(os.read(token[0], 1))
os.write(packets[1], b"one")
os.write(packets[1], b"two")
print(os.read(packets[0], 10))
END
    chmod 644 "$DIR/pipes.py"
    start_program "$PYTHON" "$DIR/pipes.py"
    wait_until test -e "$DIR/ready"
    hijack
    killed_after_checkpoint
    restart_ready
    SHADOW=$(shadow_of)
    killed_after_checkpoint
    restart
    touch "$DIR/go"
    ends_with 0
    [ "$(cat "$DIR/out")" = "b'\\x00' True 168893"$'\n'"b''"$'\n'"b'one'" ] || complain "$(cat "$DIR/out" "$DIR/err")"
    rm "$DIR"/{ready,go}
    touch "$DIR/packets"
    start_program "$PYTHON" "$DIR/pipes.py"
    wait_until test -e "$DIR/ready"
    hijack
    killed_after_checkpoint
    restart_refused 'descriptor [0-9]* (pipe:.*a pipe cannot be opened by name'
}

@test "standard output was a pipe that is gone: it is the restart command's" {
    mkfifo "$DIR/pipe"
    chown "$WHO" "$DIR/pipe"
    cat "$DIR/pipe" >/dev/null 3>&- &
    reader=$!
    started "$reader"
    seq 1000 1999 >"$DIR/data"
    start sh -c "exec '$PYTHON' -c 'import os, time
while not os.path.exists(\"go\"): time.sleep(0.01)
print(\"here I am\")' >pipe"
    wait_until has_exec "$PID" "$(readlink -f "$PYTHON")"
    wait_until is_blocked "$PID"
    hijack
    killed_after_checkpoint
    ends_with 0 "$reader"
    restart
    touch "$DIR/go"
    ends_with 0
    grep -q "here I am" "$DIR/out"
}

@test "the restarted program has the restart command's process id, parent and exit status" {
    start "$PYTHON" -c 'import os, sys, time
while not os.path.exists("go"): time.sleep(0.01)
sys.exit(23)'
    wait_until has_exec "$PID" "$(readlink -f "$PYTHON")"
    wait_until is_blocked "$PID"
    hijack
    killed_after_checkpoint
    restart_ready
    [ "$(awk '{ print $4 }' "/proc/$MAIN/stat")" = $$ ] || [ "$(awk '{ print $4 }' "/proc/$MAIN/stat")" = "$BASHPID" ]
    touch "$DIR/go"
    ends_with 23
}

# bats test_tags=as-root
@test "a checkpoint is never half there: a full disk, RLIMIT_FSIZE; the older image stays" {
    start_blocked read
    hijack
    checkpoint
    sum=$(sha256sum <"$DIR/job.ckpt")
    expect 1 gdb_hijack checkpoint "$PID" -o /dev/full
    as prlimit --fsize=4096: --pid "$PID"
    status=0
    gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt" 2>"$DIR/errors" || status=$?
    [ "$status" -ne 0 ]
    grep -qi "RLIMIT_FSIZE\|file size\|too large" "$DIR/errors"
    [ "$(sha256sum <"$DIR/job.ckpt")" = "$sum" ]
    [ "$(find "$DIR" -name '*.ckpt*' | wc -l)" = 1 ] # no temporary file is left
    untraced
    finish
}

@test "damaged images are refused by name, nothing starts" {
    start_killed_worker
    size=$(stat -c %s "$DIR/job.ckpt")
    cp "$DIR/job.ckpt" "$DIR/whole"
    for keep in 0 10 100 $((size / 2)) $((size - 1)); do
        head -c "$keep" "$DIR/whole" >"$DIR/job.ckpt"
        restart_refused job.ckpt || complain "cut to $keep bytes"
    done
    for at in 0 5 40 100 $((size / 3)) $((size / 2)); do
        cp "$DIR/whole" "$DIR/job.ckpt"
        printf '\xa5' | dd of="$DIR/job.ckpt" bs=1 seek="$at" conv=notrunc status=none
        cmp -s "$DIR/whole" "$DIR/job.ckpt" || restart_refused job.ckpt || complain "byte $at changed"
    done
    echo "no image at all" >"$DIR/job.ckpt"
    restart_refused job.ckpt
}
