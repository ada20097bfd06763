#!/usr/bin/env bats
# The shadow and the program that comes back: it lets go before the program runs, and a release ends the one that lives.

load lib

setup() { work_begin; }
teardown() { work_end; }

no_trace_of_us() { not grep -q libhijack "/proc/$PID/maps"; }

# The program computes, on the same processor as its shadow, which runs only when nobody else wants to: it goes on before
# the shadow does, unless the restart waits for that.
# bats test_tags=as-root
@test "after --exit and restart the program's locks and pipes are its own at once" {
    cat >"$DIR/quick.py" <<'END'
import fcntl, os
from errno import EAGAIN
lock = os.open("lock", os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
reader, writer = os.pipe()
os.set_blocking(reader, False)
open("ready", "w").close()
while not os.path.exists("go"): pass
os.close(lock)
os.close(writer)
again = os.open("lock", os.O_RDWR)
try: fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError: print("locked by somebody else")
try: print(os.read(reader, 1))
except OSError: print("no end of file")
END
    start_program "$PYTHON" quick.py
    wait_until test -e "$DIR/ready"
    hijack
    shadow=$(shadow_of)
    cpu=$(taskset -pc "$PID" | sed 's/.*: \([0-9]*\).*/\1/')
    taskset -pc "$cpu" "$PID" >/dev/null
    checkpoint_exit
    taskset -pc "$cpu" "$shadow" >/dev/null
    chrt --idle --pid 0 "$shadow"
    as touch "$DIR/go"
    restart
    ends_with 0
    [ "$(cat "$DIR/out")" = "b''" ] || complain "$(cat "$DIR/out")"
}

# bats test_tags=as-root
@test "release after a restart that started a new shadow: nothing of us is left, no shadow either" {
    start_target alloc
    hijack
    old=$(shadow_of)
    checkpoint
    kill -KILL "$PID"
    wait_until is_gone "$PID"
    wait_until is_gone "$old"
    restart_ready
    new=$(shadow_of)
    [ "$new" != "$old" ]
    release
    no_trace_of_us
    wait_until is_gone "$new"
    finish
}

@test "release after a restart from the living shadow" {
    start_target alloc
    hijack
    shadow=$(shadow_of)
    checkpoint_exit
    restart_ready
    [ "$(shadow_of)" = "$shadow" ]
    release
    no_trace_of_us
    wait_until is_gone "$shadow"
    finish
}
