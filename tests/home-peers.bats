#!/usr/bin/env bats
# What others see of a hijacked program: end of file, FIN, reset, locks, at the moment and in the order of an undisturbed run.
# tests/peers.py is the program and its peers; their log of an undisturbed run is what a hijacked one must show.

load lib

setup() { work_begin; }
teardown() { work_end; }

# play HOW TREATMENT...: the program does HOW at its end; the peers' log is $DIR/log
play() {
    rm -f "$DIR/executor" "$DIR/log" "$DIR/ready" "$DIR/stop" "$DIR/child" "$DIR/over" "$DIR/files"
    cp "$TESTS/peers.py" "$DIR" && chmod 644 "$DIR/peers.py"
    start "$PYTHON" peers.py "$1" || return 1
    wait_until test -e "$DIR/ready" || return 1
    PID=$(cat "$DIR/ready")
    started "$PID"
    "${@:2}" || return 1
    if [ "$1" = killed ]; then kill -KILL "$PID"; else as touch "$DIR/stop"; fi
    ends_with 0
}

hijacked() { hijack && checkpoint; }
remote() {
    expect 0 gdb_hijack -q --remote-io "$PID" && checkpoint || return 1
    pgrep -P "$(shadow_of)" >"$DIR/executor.tmp" && chmod 644 "$DIR/executor.tmp" && mv "$DIR/executor.tmp" "$DIR/executor"
}
undisturbed() { :; }

as_undisturbed() {
    play "$1" undisturbed
    [ "$(grep -c . "$DIR/log")" -ge 6 ] # it shows something
    mv "$DIR/log" "$DIR/expected"
    play "$1" "${2:-hijacked}"
    diff "$DIR/expected" "$DIR/log"
}

@test "closed one after the other" { as_undisturbed close; }
@test "dup2 of another over each" { as_undisturbed dup2; }
@test "close_range" { as_undisturbed close_range; }
@test "exec closes what is close-on-exec" { as_undisturbed exec; }
@test "exit" { as_undisturbed exit; }
@test "an exception of the program's" { as_undisturbed abort; }
@test "killed" { as_undisturbed killed; }
@test "shut down for writing, then unread data and a close: a reset" { as_undisturbed reset; }
@test "a daemon: double fork, setsid, everything closed" { as_undisturbed daemon; }

@test "with remote I/O: closed one after the other" { as_undisturbed close remote; }
@test "with remote I/O: dup2 of another over each" { as_undisturbed dup2 remote; }
@test "with remote I/O: close_range" { as_undisturbed close_range remote; }
@test "with remote I/O: exit" { as_undisturbed exit remote; }
@test "with remote I/O: an exception of the program's" { as_undisturbed abort remote; }
@test "with remote I/O: killed" { as_undisturbed killed remote; }
@test "with remote I/O: shut down for writing, then unread data and a close: a reset" { as_undisturbed reset remote; }

@test "a daemon's shadow ends with the process that was hijacked, not with the daemon" {
    shadow_watched() { hijack && shadow=$(shadow_of); }
    play daemon shadow_watched
    wait_until is_gone "$shadow"
}
