#!/usr/bin/env bats
# gdb-hijack trace: what it prints of a program is what strace prints of the same program run plainly.

load lib
load away
load remote

setup_file() { away_begin; }
teardown_file() { away_end; }
setup() { work_begin; }
teardown() { work_end; }

# between: the calls between the two marks of traced.py, without what differs from run to run: addresses, ports, data that
# the program has from outside; and without calls that one of the two cannot see, or that libc makes under another name
between() {
    sed -n '\|"/begin"|,\|"/end"|p' "$1" |
        sed -E 's/^[0-9]+\.[0-9]+ //; s/ <[0-9.]+>$//; s/ +=/ =/; s/0x[0-9a-f]{6,}|0x\.\.\./ADDRESS/g' |
        sed -E 's/htons\([1-9][0-9]*\)/PORT/g; s/u64=[0-9]+/u64=N/g; s/TIOCGPTN, \[[0-9]+\]/TIOCGPTN, [N]/' |
        grep -vE '^(mmap|munmap|brk|mprotect|madvise|rt_sig|futex|clock_nanosleep|getrandom|fstat|newfstatat|access|faccessat)\b'
}

traced_program() {
    start_program "$PYTHON" "$TESTS/traced.py" "$DIR/go"
    wait_until is_blocked "$PID"
    expect 0 gdb_hijack --remote-io -q "$PID"
}

# trace OPTION...: in the background, as $TRACER; it listens
trace() {
    as_prefix
    (cd "$DIR" && exec "${AS[@]}" "$GDB_HIJACK" trace "$PID" "$@") >"$DIR/trace.out" 2>"$DIR/trace.err" 3>&- &
    TRACER=$!
    started "$TRACER"
    wait_until test -s "$DIR/${LISTENS:-trace}"
}

go_on() {
    as touch "$DIR/go"
    ends_with 0 && ends_with 0 "$TRACER"
}

@test "the same calls, arguments and results as strace" {
    start strace -o plain "$PYTHON" "$TESTS/traced.py"
    ends_with 0
    traced_program
    trace -o trace
    go_on
    diff <(between "$DIR/plain") <(between "$DIR/trace")
    [ "$(between "$DIR/trace" | wc -l)" -gt 50 ]
    grep -qE '^[0-9]+\.[0-9]{6} openat\(.* <[0-9]+\.[0-9]{6}>$' "$DIR/trace"
}

@test "a summary as strace -c, JSON, and two at once" {
    traced_program
    gdb_hijack trace -c -o sums "$PID" 3>&- &
    started $!
    summary=$!
    LISTENS=trace.out trace --json
    go_on
    ends_with 0 "$summary"
    [ "$(head -n 1 "$DIR/sums")" = "% time     seconds  usecs/call     calls    errors syscall" ]
    grep -qE '^ *[0-9.]+ +[0-9.]+ +[0-9]+ +1 +fsync$' "$DIR/sums"
    grep -qE '^100\.00 .* total$' "$DIR/sums"
    "$PYTHON" - "$DIR/trace.out" <<'PY'
import json, sys
calls = [json.loads(line) for line in open(sys.argv[1])]
opened = [c for c in calls if c["call"] == "openat" and '"/end"' in c["arguments"]][0]
assert opened["arguments"] == ["AT_FDCWD", '"/end"', "O_RDONLY|O_CLOEXEC"], opened
assert opened["result"] == -1 and opened["errno"] == "ENOENT", opened
assert all(c["lost"] == 0 and c["took_us"] >= 0 for c in calls)
PY
}

# At its end; the executor, whose sockets are streams, is not asked so.
asks_shadow() { [ "$(cat "/proc/$PID/wchan")" = __skb_wait_for_more_packets ]; }

# The program's end has come before the shadow has read a word of its last calls.
@test "the last calls are told, too, by a shadow that comes to it late" {
    traced_program
    trace -o trace
    shadow=$(shadow_of)
    kill -STOP "$shadow"
    as touch "$DIR/go"
    wait_until asks_shadow
    kill -CONT "$shadow"
    ends_with 0 && ends_with 0 "$TRACER"
    [ "$(grep -c '"/end"' "$DIR/trace")" = 1 ]
    [ "$(grep -c '^---' "$DIR/trace")" = 0 ]
}

@test "of a program that is away, seen from home and from there" {
    away_or_skip
    away_use
    start_program "$PYTHON" "$TESTS/traced.py" "$DIR/go"
    wait_until is_blocked "$PID"
    hijack_for_away
    leave_home
    away_restart --remote-io
    trace -o trace
    away_command gdb-hijack trace "$(away_number "$PID")" >"$DIR/there" 2>&1 3>&- &
    there=$!
    started "$there"
    wait_until test -s "$DIR/there"
    go_on
    wait_until is_gone "$there" # its host went with the program
    [ "$(between "$DIR/trace" | wc -l)" -gt 50 ]
    diff <(between "$DIR/trace") <(between "$DIR/there")
}

@test "Ctrl-C ends the trace, not the program" {
    traced_program
    trace -o trace
    kill -INT "$TRACER"
    ends_with 0 "$TRACER"
    as touch "$DIR/go"
    ends_with 0
}

@test "refused: not hijacked, I/O at home, no such process" {
    start_blocked read
    expect 1 gdb_hijack trace "$PID"
    [[ $errors == *"is not hijacked"* ]]
    hijack
    expect 1 gdb_hijack trace "$PID"
    [[ $errors == *"gdb-hijack --remote-io $PID"* ]]
    expect 1 gdb_hijack trace 999999999
    expect 2 gdb_hijack trace
    finish
}
