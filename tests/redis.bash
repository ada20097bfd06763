# shellcheck shell=bash
# redis.bash - redis-server and eight clients that stay connected, by TCP and a Unix socket: threads/clients.py.

free_port() { "$PYTHON" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# redis_begins: the server is $PID, its clients $CLIENTS
redis_begins() {
    local port
    port=$(free_port)
    start redis-server --bind 127.0.0.1 --port "$port" --unixsocket "$DIR/socket" --save "" --appendonly no
    wait_until test -S "$DIR/socket" || return 1
    cp "$TESTS/threads/clients.py" "$DIR" && chmod 644 "$DIR/clients.py"
    as env STOP="$DIR/enough" PROGRESS="$DIR/progress" \
        "$PYTHON" "$DIR/clients.py" "$DIR/socket" 8 "$port" >"$DIR/clients" 2>&1 3>&- &
    CLIENTS=$!
    started "$CLIENTS"
    redis_counts_on
}

progress() { cat "$DIR/progress" 2>/dev/null || echo 0; }
more_than() { [ "$(progress)" -gt "$1" ] || ! is_alive "$CLIENTS"; }

# redis_counts_on: every client gets more replies
redis_counts_on() {
    wait_until more_than "$(progress)" || return 1
    is_alive "$CLIENTS" || complain "$(cat "$DIR/clients")"
}

# At a moment that nobody chose.
redis_leaves_and_comes() {
    random_moment 100
    checkpoint_exit && restart_ready && redis_counts_on
}

redis_ends() {
    local status=0
    touch "$DIR/enough"
    wait "$CLIENTS" || status=$?
    [ "$status" = 0 ] && grep -q OK "$DIR/clients" || complain "$(cat "$DIR/clients")" || return 1
    kill -TERM "$PID"
    ends_with 0
}
