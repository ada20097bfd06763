# lib.bash - for shadow-*.bats: the programs of tests/shadow/, and one application in a directory of its own.
#
# As root every test runs the application as an ordinary user; without, as whoever runs the tests.

shadow_build() {
    export DIRECTORY=$BATS_FILE_TMPDIR
    chmod 755 "$DIRECTORY" "$BATS_RUN_TMPDIR"
    tests/shadow/build.sh "$DIRECTORY/trial"
    cp "${BUILD:-build}"/{hijack-shadow,gdb-hijack,gdb-blank,libhijack.so} "$DIRECTORY/"
    export TRIAL=$DIRECTORY/trial TOOL=$DIRECTORY/gdb-hijack SHADOW=$DIRECTORY/hijack-shadow
}

work_begin() {
    unset XDG_RUNTIME_DIR
    WORK=$(mktemp -d "$DIRECTORY/work.XXXXXX")
    USER_ID=$(id -u)
    AS=()
    if [ "$USER_ID" = 0 ]; then
        USER_ID=65534
        AS=(setpriv --reuid=65534 --regid=65534 --clear-groups)
        chown 65534:65534 "$WORK"
    fi
    cd "$WORK" || return
    touch out err
    chmod 666 out err # opened again by name, by that user
    APP='' BACK=''
}

# Whatever a test left: the application, what was restarted, their shadows. Each by its number.
work_end() {
    local pid
    for pid in $APP $BACK $(shadows); do kill -9 "$pid" 2>/dev/null || true; done
}

shadows() { cat "$WORK"/*.shadow 2>/dev/null || true; }

# start SCENE: $APP and $SHADOW_PID run; a line to descriptor 8 is a line of input, closing it the end.
start() {
    mkfifo in
    chmod 666 in
    exec 8<>in
    "${AS[@]}" "$TRIAL" app "$1" . "$SHADOW" <in >out 2>err 8<&- 3>&- &
    APP=$!
    for _ in $(seq 500); do
        if grep -q shadow out; then break; fi
        kill -0 "$APP" 2>/dev/null || { cat err; return 1; }
        sleep 0.01
    done
    SHADOW_PID=$(awk '{print $4; exit}' out)
    echo "$SHADOW_PID" >"app.shadow"
}

tool() { "${AS[@]}" "$TOOL" "$@"; }
back() { "${AS[@]}" "$TRIAL" back "$@"; }

# until_true COMMAND...: waits for it, five seconds at most.
until_true() {
    for _ in $(seq 500); do
        if "$@"; then return 0; fi
        sleep 0.01
    done
    echo "did not come true: $*" >&2
    return 1
}

gone() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status"; }

# ended PID STATUS: the child ends so.
ended() {
    local status=0
    wait "$1" || status=$?
    [ "$status" = "$2" ] || { echo "process $1 ended with status $status, not $2" >&2; return 1; }
}
