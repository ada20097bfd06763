#!/usr/bin/env bats
# checkpoint --portable: an image that needs no file of its host, restarted where none of them is (tests/away.bash).

load lib
load away

setup() { work_begin; }
teardown() { work_end; }

away_or_skip() { away_possible || skip "no namespaces for this user"; }

kill_it() { kill -KILL "$PID" && wait_until is_gone "$PID"; }

portable_image() {
    start_target "${1:-portable}" "$DIR"
    hijack
    checkpoint --portable
    kill_it
}

# A target looks for the same names everywhere.
away_finish() {
    as mkdir -p "$AWAY$DIR" && as touch "$AWAY$DIR/stop" && ends_with 0
}

target_away() {
    away_root
    portable_image "$@"
    away_restart --away
    ! grep -E ' /(usr|lib|tmp)/' "/proc/$PID/maps" || complain "a file of that host is mapped"
    away_finish
}

@test "mapped files, touched or not: from the image alone, elsewhere" {
    away_or_skip
    target_away
}

@test "a program of musl" {
    away_or_skip
    target_away musl/portable
}

@test "the same as root" {
    [ "$(id -u)" = 0 ] || skip "not root"
    WHO=root
    chown root "$DIR"
    away_or_skip
    target_away
}

@test "at home too the files are not needed, and the summary says what they cost" {
    start_target portable "$DIR"
    hijack
    checkpoint --portable
    grep -qE 'job.ckpt: [0-9.]+ MB \([0-9.]+ MB of mapped files\)' <<<"$output"
    kill_it
    rm "$DIR/mapped"
    restart_ready
    finish
}

@test "programs that nobody here wrote compute elsewhere what they do at home" {
    away_or_skip
    away_root
    for command in \
        "gawk|BEGIN { for (i = 1; i < 7000000; i++) s = (s * 7 + i) % 1000003; print s, sin(s), substr(\"portable\", 3) }" \
        "perl|-e|my \$s = 0; \$s = (\$s * 7 + \$_) % 1000003 for 1..15000000; print \"\$s \", sin(\$s), \"\\n\"" \
        "$PYTHON|-c|s = 0
for i in range(7000000): s = (s * 7 + i) % 1000003
print(s, f'{s ** 0.5:.9f}', str(s).encode('utf-16'))"; do
        IFS='|' read -rd '' -a words < <(printf '%s\0' "$command") || true
        "${words[@]}" >"$DIR/expected"
        start_program "${words[@]}"
        random_moment 100
        hijack
        checkpoint --portable
        kill_it
        away_restart --away
        ends_with 0
        cmp "$DIR/out" "$DIR/expected"
    done
}

@test "an image that is not portable is refused elsewhere, and the refusal tells the remedy" {
    away_or_skip
    away_root
    start_target portable "$DIR"
    hijack
    checkpoint
    as cp "$DIR/job.ckpt" "$AWAY_HOME"
    expect 1 away_run gdb-hijack restart --away job.ckpt
    grep -q "mapped, which .*portable" <<<"$errors"
    finish
}

@test "without --away the directory, the user and the descriptors are asked for" {
    away_or_skip
    away_root
    portable_image
    as cp "$DIR/job.ckpt" "$AWAY_HOME"
    expect 1 away_run gdb-hijack restart job.ckpt
    grep -q 'restart it as that user' <<<"$errors"
}

@test "away: a descriptor that is not there is refused by name; --fd gives it" {
    away_or_skip
    away_root
    cat >"$DIR/log.py" <<'EOF'
import os
log = open("log", "w")
print("begun", file=log, flush=True)
open("ready", "w").close()
s = 0
while not os.path.exists(os.environ["STOP"]): s += 1
print("ended", file=log)
EOF
    start_program "$PYTHON" "$DIR/log.py"
    wait_until test -e "$DIR/ready"
    hijack
    checkpoint --portable
    kill_it
    as cp "$DIR/job.ckpt" "$AWAY_HOME"
    expect 1 away_run gdb-hijack restart --away job.ckpt
    grep -q "descriptor 3 ($DIR/log).*--fd 3=PATH" <<<"$errors"
    away_restart --away --fd 3=log
    away_finish
    grep -q ended "$AWAY_HOME/log"
}

@test "an image that belongs to another user is refused away, from root and from others" {
    [ "$(id -u)" = 0 ] || skip "not root"
    away_or_skip
    away_root
    portable_image
    as cp "$DIR/job.ckpt" "$AWAY_HOME"
    chown 1:1 "$AWAY_HOME/job.ckpt"
    chmod 644 "$AWAY_HOME/job.ckpt"
    expect 1 away_run gdb-hijack restart --away job.ckpt
    grep -q 'belongs to user' <<<"$errors"
    expect 1 env -C "$DIR" "$GDB_HIJACK" restart --away "$AWAY_HOME/job.ckpt" </dev/null
    grep -q 'belongs to user 1 ' <<<"$errors"
}

@test "home, elsewhere, elsewhere again from an image made there, home: nothing is lost and nothing left" {
    away_or_skip
    away_root
    portable_image
    away_restart --away
    expect 0 away_command gdb-hijack checkpoint "$(away_number "$PID")" -o /home/second.ckpt --portable
    kill_it
    wait_until is_gone "$MAIN"
    first=$(stat -c %s "$DIR/job.ckpt")
    as cp "$AWAY_HOME/second.ckpt" "$DIR/job.ckpt"
    [ "$(stat -c %s "$DIR/job.ckpt")" -le $((first + first / 50)) ]
    away_restart --away
    kill -63 "$PID" # a raw signal; the image has its default name, where the restart was ordered
    wait_until has_image
    kill_it
    wait_until is_gone "$MAIN"
    as cp "$AWAY_HOME"/hijack.*.ckpt "$DIR/job.ckpt"
    restart_ready --away
    finish
}
has_image() { [ -n "$(find "$AWAY_HOME" -name 'hijack.*.ckpt')" ]; }

@test "with a mapping that is shared and can be written to: all shared ones of that file stay one" {
    away_or_skip
    away_root
    start_target portable "$DIR" write
    hijack
    checkpoint --portable
    kill_it
    away_restart --away
    away_finish
    wait_until is_gone "$MAIN"
    restart_ready --rollback-files
    finish
}

@test "debuggers and readelf take it for a core file" {
    portable_image
    readelf -lnW "$DIR/job.ckpt" >"$DIR/elf" 2>"$DIR/complaints"
    [ ! -s "$DIR/complaints" ] || complain "$(cat "$DIR/complaints")"
    gdb -nx -batch -ex bt -ex 'x/s letters_of' -ex 'info sharedlibrary' "$TARGETS/portable" "$DIR/job.ckpt" \
        >"$DIR/gdb" 2>&1 || true
    grep -q 'main (' "$DIR/gdb"
    grep -q 'Yes.*libc\.so' "$DIR/gdb"
}

damaged() {
    expect 1 away_run gdb-hijack restart --away bad.ckpt || return 1
    grep -qE 'damaged|no image' <<<"$errors" || complain "$errors"
}

@test "damaged or cut short: refused elsewhere too" {
    away_or_skip
    away_root
    portable_image
    size=$(stat -c %s "$DIR/job.ckpt")
    for ((n = 0; n < 12; n++)); do
        as cp "$DIR/job.ckpt" "$AWAY_HOME/bad.ckpt"
        "$PYTHON" - "$AWAY_HOME/bad.ckpt" $((n * size / 12 + 17 * n)) <<'EOF'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2])); byte = f.read(1)
    f.seek(int(sys.argv[2])); f.write(bytes([byte[0] ^ 4]))
EOF
        damaged || complain "byte flipped in $n/12: unseen"
    done
    for cut in 1 4096 $((size / 2)) $((size - 10)); do
        as cp "$DIR/job.ckpt" "$AWAY_HOME/bad.ckpt"
        truncate -s "$((size - cut))" "$AWAY_HOME/bad.ckpt"
        damaged || complain "cut by $cut: unseen"
    done
}

# The starter takes this kernel for one that has another vdso.
bridged_restart() {
    as_prefix
    (close_inherited && cd "$DIR" && HIJACK_FAULT_VDSO=1 exec "${AS[@]}" "$GDB_HIJACK" restart "$DIR/job.ckpt") \
        <"${IN:-/dev/null}" >>"$DIR/out" 2>>"$DIR/err" 3>&- &
    MAIN=$! PID=$!
    started "$MAIN"
    wait_until restarted_or_gone "$MAIN" || return 1
    is_alive "$MAIN" || complain "not restarted: $(cat "$DIR/err")"
}

makes_system_calls_for_clocks() { ! grep -q '\[vdso\]' "/proc/$PID/maps" || complain "it has a vdso"; }

@test "another kernel's vdso: system calls in its place, for this image and those that follow" {
    for libc in '' musl/; do
        start_target "${libc}clocks"
        hijack
        checkpoint
        kill_it
        bridged_restart
        makes_system_calls_for_clocks
        checkpoint
        kill_it
        restart_ready # needs no bridge any more
        makes_system_calls_for_clocks
        release
        hijack
        checkpoint
        finish
    done
}

@test "another kernel's vdso: a program that was stopped within it is refused there, and goes on here" {
    start_target clocks within
    hijack
    checkpoint --portable
    grep -q 'warning: .*stopped within the vdso' <<<"$errors"
    kill_it
    expect 1 as env -C "$DIR" HIJACK_FAULT_VDSO=1 "$GDB_HIJACK" restart "$DIR/job.ckpt" </dev/null
    grep -q 'stopped within; take another image' <<<"$errors"
    restart_ready
    finish
}
