#!/usr/bin/env bats
# What others see of a hijacked program: end of file, FIN, reset, locks, at the moment and in the order of an undisturbed run; across
# an exit and a restart nothing. tests/peers.py is the program and its peers; their log of an undisturbed run is what a hijacked one
# must show.

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

# tcp_peer: writes the port to `port`; then, line for line, does what comes into the fifo `say` and logs what it sees: `send TEXT`,
# `look` (nothing is there to be read, no end of file, no error), `line` (one is awaited)
tcp_peer() {
    cat >"$DIR/peer.py" <<'END'
import os, select, socket
listener = socket.create_server(("127.0.0.1", 0))
with open("port.tmp", "w") as f:
    f.write(str(listener.getsockname()[1]))
os.rename("port.tmp", "port")
peer, address = listener.accept()
lines = peer.makefile("r")
with open("say") as orders, open("peer", "w") as log:
    for order in orders:
        word, _, text = order.rstrip("\n").partition(" ")
        if word == "send":
            peer.sendall(text.encode() + b"\n")
        elif word == "look":
            poll = select.poll()
            poll.register(peer, select.POLLIN | select.POLLRDHUP)
            print("events", [event for _, event in poll.poll(0)], file=log, flush=True)
        else:
            print(repr(lines.readline()), peer.getpeername() == address, file=log, flush=True)
END
    cat >"$DIR/client.py" <<'END'
import os, socket
s = socket.create_connection(("127.0.0.1", int(open("port").read())))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
names = s.getsockname(), s.getpeername()
open("ready", "w").close()
while got := s.recv(100):
    same = names == (s.getsockname(), s.getpeername()) and s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    s.sendall(b"%d got " % same + got)
    if got == b"last\n":
        break
END
    chmod 644 "$DIR"/{peer,client}.py
    mkfifo "$DIR/say" && chown "$WHO" "$DIR/say" || return 1
    start "$PYTHON" peer.py
    peer=$MAIN
    wait_until test -e "$DIR/port"
}

logged() { [ "$(wc -l <"$DIR/peer")" -ge "$1" ]; } # LINES

@test "a TCP connection across checkpoint --exit and restart: its peer notices nothing" {
    tcp_peer
    start_program "$PYTHON" client.py
    exec 7<>"$DIR/say"
    wait_until test -e "$DIR/ready"
    hijack
    printf 'send before\nline\n' >&7
    wait_until logged 1
    wait_until is_blocked "$PID"
    checkpoint_exit
    printf 'look\nsend meanwhile\nlook\n' >&7
    wait_until logged 3
    restart_ready
    printf 'line\nlook\nsend last\nline\nline\n' >&7
    exec 7>&-
    ends_with 0 "$peer"
    ends_with 0
    diff "$DIR/peer" - <<'END'
'1 got before\n' True
events []
events []
'1 got meanwhile\n' True
events []
'1 got last\n' True
'' True
END
}
