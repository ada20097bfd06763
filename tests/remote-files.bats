#!/usr/bin/env bats
# What --io says of files while I/O is remote: buffered ones (write-behind, read-ahead, shared mappings), files of the host
# where the program is, and all others.

load lib
load away
load remote

setup_file() { away_begin; }
teardown_file() { away_end; }
setup() { work_begin && away_use; }
teardown() {
    [ ! -e "$DIR/small" ] || umount "$DIR/small" 2>/dev/null || true
    work_end
}

# From now on I/O is remote, and *.buf buffered.
buffered() { expect 0 gdb_hijack -q --remote-io --io '*.buf=buffer' "$PID"; }

# does WHAT: remote_files.py does it under remote I/O and finds all as it should be
does() {
    start "$PYTHON" "$TESTS/remote_files.py" "$1" && wait_until test -e "$DIR/ready" || return 1
    expect 0 gdb_hijack -q --remote-io --io '*.buf=buffer' --io '*/here/*=local' "$PID" || return 1
    as touch "$DIR/go"
    ends_with 0
}

small_file_system() {
    [ "$(id -u)" = 0 ] || skip "a small file system takes root to mount"
    mkdir "$DIR/small" && mount -t tmpfs -o "size=256k,uid=$(id -u "$WHO")" none "$DIR/small"
}

@test "buffered: small writes and reads, the offset seen by every way" { does buffer; }

@test "buffered: an error comes with a later call" {
    small_file_system
    does full
}

@test "buffered: ... with close at the latest, which closes all the same" {
    small_file_system
    does closes
}

@test "buffered: ... or with fsync alone" {
    small_file_system
    does syncs
}

@test "buffered: a file that changes by another descriptor, or name, is read as it is then" { does changes; }

@test "buffered: nothing that was known of a descriptor holds for the next of that number" { does numbers; }

@test "buffered: ... nor after a while at home" {
    start "$PYTHON" "$TESTS/remote_files.py" reused
    wait_until test -e "$DIR/ready"
    buffered
    as touch "$DIR/go"
    wait_until test -e "$DIR/remote.done"
    expect 0 gdb_hijack -q --local-io "$PID"
    as touch "$DIR/remote.go"
    wait_until test -e "$DIR/local.done"
    expect 0 gdb_hijack -q --remote-io "$PID"
    as touch "$DIR/local.go"
    ends_with 0
}

@test "buffered: threads that share a descriptor get every byte once" { does threads; }

@test "buffered: twenty thousand small writes and reads are few calls at home" {
    start "$PYTHON" "$TESTS/remote_files.py" many
    wait_until test -e "$DIR/ready"
    buffered
    gdb_hijack trace "$PID" --json >"$DIR/trace" 2>"$DIR/trace.err" 3>&- &
    started $!
    tracer=$!
    wait_until test -s "$DIR/trace"
    as touch "$DIR/go"
    ends_with 0
    ends_with 0 "$tracer"
    "$PYTHON" - "$DIR/trace" <<'PY'
import collections, json, sys
calls = [json.loads(line) for line in open(sys.argv[1])]
begin, end = (next(i for i, c in enumerate(calls) if f'"/{mark}"' in c["arguments"]) for mark in ("begin", "end"))
count = collections.Counter(c["call"] for c in calls[begin:end])
assert not any(c["lost"] for c in calls)
assert count["write"] == 100, count  # those that are not buffered
assert count["read"] <= 3 and count["lseek"] <= 6 and sum(count.values()) < 150, count
PY
}

# Checkpoints come in between, too, and so does home. Handlers leave by longjmp: the hijack is made before.
quick() {
    start_target "$1"
    for ((n = 0; n < 3; n++)); do
        buffered
        checkpoint
        expect 0 gdb_hijack -q --local-io "$PID"
    done
    buffered
    checkpoint
    finish
}
@test "buffered: small writes, from a handler in between, left by longjmp, from memory that is gone" { quick quick; }
@test "buffered: the same, musl" { quick musl/quick; }

@test "buffered: ... restarted where there are no restartable sequences" {
    start_target quick
    hijack_for_away
    checkpoint_exit
    UNDER=("$PYTHON" -c '
import ctypes, os, struct, sys
rseq, eperm, allow = 334, 0x50001, 0x7fff0000
steps = b"".join(struct.pack("HBBI", *s) for s in ((0x20, 0, 0, 0), (0x15, 0, 1, rseq), (6, 0, 0, eperm), (6, 0, 0, allow)))
kept = ctypes.create_string_buffer(steps)
program = struct.pack("HxxxxxxP", 4, ctypes.addressof(kept))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program) == 0
os.execv(sys.argv[1], sys.argv[1:])')
    restart_ready --remote-io --io '*.buf=buffer'
    wait_until is_larger "$DIR/quick.buf" 30000000
    finish
}
is_larger() { [ "$(stat -c %s "$1")" -gt "$2" ]; }

@test "buffered: a small write of a program with one thread makes no system call" {
    start "$PYTHON" -c '
import os
f = os.open("k.buf", os.O_WRONLY | os.O_CREAT)
open(os.environ["READY"], "w").close()
while not os.path.exists("stop"):
    for i in range(2000): os.write(f, b"%07d\n" % i)'
    wait_until test -e "$DIR/ready"
    buffered
    before=$(stat -c %s "$DIR/k.buf")
    timeout -s INT 2 strace -f -c -e trace=rt_sigprocmask,process_vm_readv -o "$DIR/counted" -p "$PID" 2>/dev/null || true
    records=$((($(stat -c %s "$DIR/k.buf") - before) / 8))
    calls=$(awk '$NF == "total" { print $4 }' "$DIR/counted")
    [ "$records" -gt 10000 ] && [ "${calls:-0}" -lt $((records / 5)) ] || complain "$calls calls for $records records"
    touch "$DIR/stop"
    ends_with 0
}

@test "buffered: what was written is there although the program is killed" {
    start "$PYTHON" -c '
import os, time
f = os.open("k.buf", os.O_WRONLY | os.O_CREAT)
open(os.environ["READY"], "w").close()
while not os.path.exists("go"): time.sleep(0.01)
for i in range(1000): os.write(f, b"%07d\n" % i)
os.kill(os.getpid(), 9)'
    wait_until test -e "$DIR/ready"
    buffered
    as touch "$DIR/go"
    ends_with 137
    wait_until test "$(stat -c %s "$DIR/k.buf")" = 8000
    seq -f '%07.0f' 0 999 | cmp - "$DIR/k.buf"
}

@test "files of this host: opened, copied, renamed here; never across" {
    as mkdir "$DIR/here"
    does local
}

@test "a checkpoint is refused while a file of this host is open" {
    as mkdir "$DIR/here"
    start "$PYTHON" -c '
import os, time
open(os.environ["READY"], "w").close()
while not os.path.exists("go"): time.sleep(0.01)
f = open(os.getcwd() + "/here/a", "w")
open("opened", "w").close()
while not os.path.exists("end"): time.sleep(0.01)'
    wait_until test -e "$DIR/ready"
    expect 0 gdb_hijack -q --remote-io --io '*/here/*=local' "$PID"
    as touch "$DIR/go"
    wait_until test -e "$DIR/opened"
    expect 1 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt"
    [[ $errors == *"a file of this host"* ]]
    as touch "$DIR/end"
    ends_with 0
}

@test "files of this host that are open stay so when I/O comes home" {
    as mkdir "$DIR/here"
    start "$PYTHON" "$TESTS/remote_files.py" stays
    wait_until test -e "$DIR/ready"
    expect 0 gdb_hijack -q --remote-io --io '*/here/*=local' "$PID"
    as touch "$DIR/go"
    wait_until test -e "$DIR/remote.done"
    expect 0 gdb_hijack -q --local-io "$PID"
    as touch "$DIR/remote.go"
    wait_until test -e "$DIR/local.done"
    expect 0 gdb_hijack -q --remote-io "$PID"
    as touch "$DIR/local.go"
    ends_with 0
}

@test "... and when it is released" {
    as mkdir "$DIR/here"
    start "$PYTHON" "$TESTS/remote_files.py" stays
    wait_until test -e "$DIR/ready"
    expect 0 gdb_hijack -q --remote-io --io '*/here/*=local' "$PID"
    as touch "$DIR/go"
    wait_until test -e "$DIR/remote.done"
    release
    as touch "$DIR/remote.go"
    wait_until test -e "$DIR/local.done"
    as touch "$DIR/local.go"
    ends_with 0
}

@test "shared mappings: written back where only this program uses the file, else refused" {
    does shared
    [ "$(tail -c 4 "$DIR/m.buf")" = aend ]
}

@test "a mapping for reading becomes one for writing: written back, or refused" { does protection; }
@test "mappings unmapped in part, moved, grown, replaced" { does parts; }
@test "what can be written to is not mapped twice" { does twice; }
@test "the file of a mapping cannot be closed, nor does a limit stand in its way" { does held; }

@test "what is written back in part only is an error" {
    small_file_system
    does full_mapping
}

@test "what cannot be written back is not lost when I/O comes home" {
    small_file_system
    start "$PYTHON" "$TESTS/remote_files.py" not_written
    wait_until test -e "$DIR/ready"
    hijack
    buffered
    as touch "$DIR/go"
    wait_until test -e "$DIR/full"
    expect 0 gdb_hijack -q --local-io "$PID"
    as touch "$DIR/home"
    ends_with 0
}

@test "a limit of the file's size that stands in the way is an error, no signal" { does limited; }

# --- a program that writes into its mapping whenever it is told to ------------------------------------------------------

steps_begin() {
    start "$PYTHON" "$TESTS/remote_files.py" steps && wait_until test -e "$DIR/ready" || return 1
    STEP=0
    hijack_for_away && buffered || return 1
    as touch "$DIR/go"
    wait_until test -e "$DIR/mapped"
}

step() {
    STEP=$((STEP + 1))
    as touch "$DIR/step.$STEP"
    wait_until test -e "$DIR/done.$STEP"
}

in_file() { [ "$(tr -d a <"$DIR/s.buf")" = "$1" ] || complain "the file has '$(tr -d a <"$DIR/s.buf")', not '$1'"; }

# The digits in the order of the pages that they are in.
@test "mappings are written back by a checkpoint; real ones when I/O comes home" {
    steps_begin
    step
    in_file ''
    checkpoint
    in_file 1
    step
    expect 0 gdb_hijack -q --local-io "$PID"
    in_file 12
    step
    in_file 123
    as touch "$DIR/end"
    ends_with 0
    in_file 4123
}

@test "... by a checkpoint that ends the program; real ones when it is restarted" {
    steps_begin
    step
    checkpoint_exit
    in_file 1
    restart_ready
    in_file 1
    step
    in_file 12
    as touch "$DIR/end"
    ends_with 0
    in_file 123
}

@test "... away, by a checkpoint there; real ones at home again" {
    away_or_skip
    steps_begin
    step
    leave_home
    in_file 1
    go_away
    step
    in_file 1
    expect 0 gdb_hijack checkpoint "$PID" -o /home/here.ckpt
    in_file 12
    step
    leave_away
    in_file 123
    go_home
    step
    in_file 4123
}

@test "... away, by the end there" {
    away_or_skip
    steps_begin
    leave_home
    go_away
    step
    in_file ''
    as touch "$DIR/end"
    ends_with 0
    in_file 12
}

@test "--io: what it takes, and when" {
    expect 2 gdb_hijack --io '*.x=buffer' 1
    expect 2 gdb_hijack --remote-io --io '*.x=fast' 1
    expect 2 gdb_hijack --remote-io --io =buffer 1
}
