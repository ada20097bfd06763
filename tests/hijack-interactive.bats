#!/usr/bin/env bats
# The interactive mode: a teacher stops the hijack at each step and shows the jump that was written.

load lib

setup() { work_begin; }
teardown() { work_end; }

# interactively LINE...: a hijack whose user types these lines
interactively() {
    status=0
    printf '%s\n' "$@" >"$DIR/lines"
    output=$( (cd "$DIR" && exec "$GDB_HIJACK" -i "$PID" <"$DIR/lines") 2>&1 3>&-) || status=$?
}

@test "the entry of read before and after, its slot, and on with it" {
    start_blocked read
    interactively "" "jump read" "" "" "" "jump read" "" ""
    [ "$status" -eq 0 ] || complain "$output"
    grep -q 'its slot in the island does not exist yet' <<<"$output"
    [ "$(grep -c 'jmp    \*0x2(%rip)' <<<"$output")" = 1 ]
    grep -q "process $PID is hijacked" <<<"$output"
    release
    finish
}

@test "undo, or the end of the input, undoes everything" {
    start_blocked read
    snapshot before
    for lines in 3 4 5 6; do
        mapfile -t typed < <(for ((n = 1; n < lines; n++)); do echo; done; echo undo)
        interactively "${typed[@]}"
        [ "$status" -eq 3 ] || complain "undo at line $lines: status $status: $output"
        same
    done
    interactively "" "" ""
    [ "$status" -eq 3 ] || complain "end of input: status $status: $output"
    same
    untraced
    finish
}

@test "what would change the process does not reach gdb" {
    start_blocked read
    interactively "" "kill" "print \$rip = 0" "jumps" "maps" "" "" "" "" ""
    [ "$status" -eq 0 ] || complain "$output"
    [ "$(grep -c 'to look, not to change' <<<"$output")" = 2 ]
    grep -q 'write .* -> slot' <<<"$output"
    release
    finish
}

# killed_after STEP STATUS: the program is killed while the user looks at it after STEP
killed_after() {
    local tool step
    start_blocked read
    rm -f "$DIR/lines"
    mkfifo "$DIR/lines"
    (cd "$DIR" && exec "$GDB_HIJACK" -i "$PID" <"$DIR/lines") >"$DIR/said" 2>&1 3>&- &
    tool=$!
    exec 5>"$DIR/lines"
    for step in "${STEPS[@]}"; do
        wait_until grep -q "  $step  *[0-9.]* ms" "$DIR/said"
        [ "$step" != "$1" ] || { kill -KILL "$PID" && wait_until is_gone "$PID"; }
        echo >&5
        [ "$step" != "$1" ] || break
    done
    exec 5>&-
    ends_with "$2" "$tool" || complain "killed after $1: $(cat "$DIR/said")"
    grep -q "process $PID has ended" "$DIR/said" || complain "killed after $1: $(cat "$DIR/said")"
    ends_with 1 # the target tells which signal killed it
}

@test "the program is killed while it stands still: that is said; status 1 before the first change, 4 after it" {
    STEPS=("attach" "safe point" "load" "shadow" "replace" "start")
    killed_after "attach" 1
    for after in "${STEPS[@]:1}"; do
        killed_after "$after" 4
    done
}
