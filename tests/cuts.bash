# shellcheck shell=bash
# cuts.bash - a program whose connections to its shadow break: what remote-cut.bats and scripts/soak-cut.sh share. After lib.bash.
#
# The shadow is the one of tests/shadow/cutting.c; $DIR/bin/cuts tells it what to cut and tells us what it has cut.

# cutting_programs: from now on gdb-hijack starts the shadow that cuts
cutting_programs() {
    mkdir -p "$DIR/bin" || return 1
    cp "$BUILD"/{gdb-hijack,gdb-blank,libhijack.so,hijack-starter,librestart.so} "$BUILD/tests/cutting/hijack-shadow" \
        "$DIR/bin" || return 1
    cuts_set 0 0 1 0
    chown "$WHO" "$DIR/bin/cuts"
    # shellcheck disable=SC2034 # for lib.bash
    GDB_HIJACK=$DIR/bin/gdb-hijack
}

# cuts_set SEED STREAMS MOST DOOR: so many more streams are cut, each after up to MOST bytes; one in DOOR frames costs the
# door's connection (0: none)
cuts_set() {
    "$PYTHON" - "$DIR/bin/cuts" "$@" <<'PY'
import os, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
seed, streams, most, door = map(int, sys.argv[2:])
os.pwrite(fd, struct.pack("<3Q", most, door, seed), 8)
if os.fstat(fd).st_size < 96:
    os.pwrite(fd, bytes(64), 32)
os.pwrite(fd, struct.pack("<Q", streams), 0)
PY
}

# shadow_dies FRAME PASSED [after [SIGNAL]]: when the frame of that type (stubs/frame.h) comes to it that PASSED others came
# before; or once it is answered. SIGNAL: 9 (default), or 19, with which it stops there.
shadow_dies() {
    local -A types=([REQUEST]=4 [TAKE]=6 [OFFER]=7 [TABLE]=8 [DESCRIPTORS]=9 [COMMIT]=10 [REPORT]=11 [ADOPT]=14 [DONE]=15)
    "$PYTHON" - "$DIR/bin/cuts" "${types[$1]}" "$2" "${3:-}" "${4:-9}" <<'PY'
import os, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR)
kind, passed, after, signal = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "after", int(sys.argv[5])
os.pwrite(fd, struct.pack("<3Q", passed, after, signal), 72)
os.pwrite(fd, struct.pack("<Q", kind), 64)
PY
}

# cuts_made: streams cut while the shadow read, and wrote; frames of the door unread, and unanswered; cuts to come
cuts_made() {
    "$PYTHON" -c 'import struct, sys; w = struct.unpack("<8Q", open(sys.argv[1], "rb").read(64)); print(*w[4:8], w[0])' \
        "$DIR/bin/cuts"
}

cuts_done() { [ "$(cuts_made | cut -d" " -f5)" -eq 0 ]; }

# feed: the numbers 0, 1, 2, ... into $DIR/feed for as long as somebody reads them. Its process is $FEEDER.
feed() {
    as mkfifo "$DIR/feed" || return 1
    "$PYTHON" - "$DIR/feed" 3>&- <<'PY' &
import struct, sys
with open(sys.argv[1], "wb", 0) as feed:
    n = 0
    try:
        while True:
            feed.write(struct.pack("<Q", n))
            n += 1
    except BrokenPipeError:
        pass
PY
    FEEDER=$!
    started "$FEEDER"
}

# start_records [TARGET]: the program, hijacked, its I/O remote
start_records() {
    cutting_programs && feed && start_target "${1:-records}" feed &&
        expect 0 gdb_hijack -q --remote-io "$PID" && as touch "$DIR/go"
}
