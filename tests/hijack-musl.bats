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
@test "malloc, free, fprintf" { goes_through musl/alloc "$DIR/lines"; }
@test "registers" { goes_through musl/registers; }
@test "its own SIGTRAP and SIGSEGV handlers" { SAME=same_but_maps_and_mask goes_through musl/handlers; }
@test "a signal every millisecond" { SAME=same_but_maps_and_mask goes_through musl/ticker; }
@test "no children" { goes_through musl/childless; }
@test "at home nothing shows" {
    start_target musl/home "$DIR"
    hijack
    finish
}
@test "malloc, free, fprintf, restarted" { restarts musl/alloc "$DIR/lines"; }
@test "registers, restarted" { restarts musl/registers; }
@test "descriptors, restarted" { restarts musl/descriptors "$DIR"; }
@test "process state, restarted" { restarts musl/mask "$DIR"; }
@test "memory, restarted" { restarts musl/lots 64; }
