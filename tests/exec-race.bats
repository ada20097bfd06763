#!/usr/bin/env bats
# A program that executes others while it is being hijacked: hijacked or left alone, and never harmed.

load lib

setup() { work_begin; }
teardown() { work_end; }

one_race() {
    local status=0
    start "$PYTHON" -S -E chain.py 25
    random_moment 100
    gdb_hijack -q "$PID" 2>"$DIR/errors" 3>&- || status=$?
    [ "$status" -le 1 ] || complain "status $status: $(cat "$DIR/errors")" || return 1
    ends_with 0 && grep -qx end "$DIR/out"
}

@test "executing another program all the time, at 20 moments: it ends as if nothing had been" {
    cat >"$DIR/chain.py" <<'END_OF_CHAIN'
import os, sys
left = int(sys.argv[1])
if left:
    os.execv("/bin/sh", ["sh", "-c", f"exec /usr/bin/python3 -S -E chain.py {left - 1}"])
print("end")
END_OF_CHAIN
    chmod 644 "$DIR/chain.py"
    RANDOM=${SEED:-$$}
    for ((n = 1; n <= 20; n++)); do
        one_race || complain "moment $n of seed ${SEED:-$$}"
    done
}
