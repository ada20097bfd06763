#!/usr/bin/env bats
# Remote calls by the table: each kind of argument travels as the kernel takes it

load lib

setup() { work_begin; }
teardown() { work_end; }

# plain PROGRAM: what it prints by itself, in an empty directory with the same kinds of standard streams
plain() {
    as mkdir "$DIR/plain"
    (cd "$DIR/plain" && close_inherited && HIJACK_TEST_WAIT=1 as "$1" <<<go >"$DIR/expected" 2>&1)
}

# go_remote PROGRAM: it waits for a line, its I/O becomes remote, it goes on
go_remote() {
    as mkfifo "$DIR/fifo"
    exec 9<>"$DIR/fifo"
    IN=$DIR/fifo HIJACK_TEST_WAIT=1 start_program "$1" || return 1
    wait_until grep -q pipe_read "/proc/$PID/wchan" || return 1
    expect 0 gdb_hijack -q --remote-io "$PID" || return 1
    [ ! -e "/proc/$PID/fd/0" ] || complain "it still has its standard input" || return 1
    echo >&9
}

@test "sizes of buffers, values of structs, bad pointers" {
    go_remote "$BUILD/tests/test_calls_kernel"
    ends_with 0
}

same_when_remote() {
    plain "$1" || return 1
    go_remote "$1" || return 1
    ends_with 0 || return 1
    diff "$DIR/expected" "$DIR/out"
}

@test "results, errors, values and offsets are those of the program by itself" {
    same_when_remote "$TARGETS/calls"
}
