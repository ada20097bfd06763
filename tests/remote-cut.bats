#!/usr/bin/env bats
# Remote calls are executed exactly once, wherever the connection to the shadow breaks

load lib
load cuts

setup() { work_begin; }
teardown() { work_end; }

# Cuts inside requests and inside replies are among them.
both_kinds() {
    read -r requests replies unread unanswered _ <<<"$(cuts_made)"
    ((requests > 0 && replies > 0)) || complain "cuts: $(cuts_made)"
}

@test "streams are cut at 40 places: nothing is lost, doubled or reordered" {
    start_records
    cuts_set 1 40 20000 0
    wait_until cuts_done
    finish
    both_kinds
}

@test "the same within large frames, and with the door's connection cut as well" {
    start_records
    cuts_set 2 40 900000 3
    wait_until cuts_done
    finish
    both_kinds
    ((unread > 0 && unanswered > 0)) || complain "cuts: $(cuts_made)"
}

@test "the same with musl" {
    start_records musl/records
    cuts_set 3 40 20000 5
    wait_until cuts_done
    finish
    both_kinds
}

@test "checkpoints between the cuts" {
    start_records
    cuts_set 4 1000000 900000 5
    for _ in 1 2 3 4 5 6; do checkpoint; done
    cuts_set 5 0 1 0
    finish
    both_kinds
}

@test "the program leaves and comes back between the cuts: remote again, at home, remote once more" {
    start_records
    cuts_set 6 1000000 50000 5
    checkpoint_exit
    restart_ready --remote-io
    checkpoint
    checkpoint_exit
    both_kinds
    restart_ready
    expect 0 gdb_hijack -q --remote-io "$PID"
    checkpoint
    cuts_set 7 0 1 0
    finish
}
