#!/usr/bin/env bats
# The same on programs linked to musl.

load lib

setup() {
    work_begin
    BLOCKED=musl/blocked
}
teardown() { work_end; }

stays_blocked() {
    start_blocked "$1"
    rounds 1
    finish
}

goes_through() {
    start_target "$@"
    rounds 2 "${SAME:-same_but_maps}"
    finish
}

restarts() {
    start_target "$@"
    hijack
    checkpoint_exit
    restart
    finish
}

@test "they are linked to musl" {
    readelf -l "$TARGETS/musl/alloc" | grep -q 'interpreter: /lib/ld-musl'
}

@test "read" { stays_blocked read; }
@test "nanosleep" { stays_blocked nanosleep; }
@test "select" { stays_blocked select; }
@test "epoll_wait" { stays_blocked epoll_wait; }
# Not futex: blocked.c makes that call through syscall(), and musl's keeps the number nowhere (README, Limits).
@test "poll" { stays_blocked poll; }
@test "sigtimedwait" { stays_blocked sigtimedwait; }
@test "accept" { stays_blocked accept; }
# bats test_tags=as-root
@test "malloc, free, fprintf" { goes_through musl/alloc "$DIR/lines"; }
@test "registers" { goes_through musl/registers; }
@test "its own SIGTRAP and SIGSEGV handlers" { SAME=same_but_maps_and_mask goes_through musl/handlers; }
@test "the red zone" { goes_through musl/redzone; }
@test "a signal every millisecond" { SAME=same_but_maps_and_mask goes_through musl/ticker; }
@test "no children" { goes_through musl/childless; }
# bats test_tags=as-root
@test "at home nothing shows" {
    start_target musl/home "$DIR"
    hijack
    finish
}
@test "at home nothing shows after a checkpoint" {
    start_target musl/home "$DIR"
    hijack
    checkpoint
    finish
}
@test "at home nothing shows after a restart" { restarts musl/home "$DIR"; }
@test "one of everything that the kernel keeps for a process, restarted from the image alone" {
    start_target musl/process
    hijack
    checkpoint
    kill -KILL "$PID"
    wait_until is_gone "$PID"
    restart_ready --rollback-files
    finish
}
@test "malloc, free, fprintf, restarted" { restarts musl/alloc "$DIR/lines"; }
# bats test_tags=as-root
@test "registers, restarted" { restarts musl/registers; }
# bats test_tags=as-root
@test "descriptors, restarted" { restarts musl/descriptors "$DIR"; }
# bats test_tags=as-root
@test "process state, restarted" { restarts musl/mask "$DIR"; }
@test "memory, restarted" { restarts musl/lots 64; }
@test "the red zone, restarted" { restarts musl/redzone; }
