#!/usr/bin/env bats
# How the tools find a shadow: by its socket in the runtime directory, or as the program itself has it.

load lib

setup() { work_begin; }
teardown() { work_end; }

@test "a tool with another XDG_RUNTIME_DIR finds the shadow; a directory that others can use is not believed" {
    start_target childless
    as mkdir -m 700 "$DIR/run"
    XDG_RUNTIME_DIR="$DIR/run" hijack
    socket=("$DIR"/run/gdb-hijack/*.sock)
    [ -S "${socket[0]}" ]
    [ "$(shadow_of)" = "$SHADOW" ]
    expect 0 gdb_hijack status --json
    [ "$(json "$output" "[p['shadow'] for p in d['processes'] if p['pid'] == $PID]")" = "[$SHADOW]" ]
    checkpoint
    chmod 755 "$DIR/run/gdb-hijack"
    expect 1 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt"
    [[ $errors == *"the shadow of process $PID is gone"* ]] || complain "$errors"
    chmod 700 "$DIR/run/gdb-hijack"
    checkpoint
    release
    [ ! -e "${socket[0]}" ]
    finish
}

socket_of() {
    expect 0 gdb_hijack status "$PID" --json || return 1
    json "$output" "first(d, 'socket')"
}

@test "the socket of a killed shadow is removed by the next tool of its user, one that is listened on is not" {
    start_target childless
    hijack
    alive=$(socket_of)
    first=$PID
    start_target childless
    hijack
    dead=$(socket_of)
    kill -KILL "$SHADOW"
    wait_until is_gone "$SHADOW"
    if [ "$(id -un)" != "$WHO" ]; then # to root the directory is another's
        "$GDB_HIJACK" status >"$DIR/roots" 2>&1
        [ -S "$dead" ]
    fi
    expect 0 gdb_hijack status
    [ ! -e "$dead" ] && [ ! -e "${dead%.sock}.dead" ]
    [ -S "$alive" ]
    PID=$first
    checkpoint
}

@test "a program that maps the library to read it is not hijacked, and can be" {
    start "$PYTHON" -c '
import mmap, os, sys, time
f = open(sys.argv[1], "rb")
m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
whole = m[:]
open(os.environ["READY"], "w").close()
while not os.path.exists(os.environ["STOP"]): time.sleep(0.01)
assert m[:] == whole and f.read(4) == b"\x7fELF"' "$(dirname "$GDB_HIJACK")/libhijack.so"
    wait_until test -e "$DIR/ready"
    expect 0 gdb_hijack status
    not grep -q "process $PID " <<<"$output" || complain "$output"
    expect 1 gdb_hijack release "$PID"
    hijack
    checkpoint
    release
    finish
}
