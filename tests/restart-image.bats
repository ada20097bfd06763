#!/usr/bin/env bats
# The image as a file: no changed bit and no missing byte goes unseen; what stands against writing it is told, and the
# program goes on.

load lib

setup() { work_begin; }
teardown() { work_end; }

make_image() {
    start_target alloc
    hijack
    checkpoint
    kill -KILL "$PID"
    wait_until is_gone "$PID"
}

refused_as_damaged() {
    expect 1 as env -C "$DIR" "$GDB_HIJACK" restart --rollback-files "$DIR/bad.ckpt" </dev/null || return 1
    grep -qE 'damaged|no image' <<<"$errors" || complain "$errors"
}

@test "a flipped bit, anywhere: in the head, the notes, the memory, the padding" {
    make_image
    cat >"$DIR/flip.py" <<'END'
import os, sys
source, to, n, of = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
data = bytearray(open(source, "rb").read())
head = 65536  # every second one in the head
place = (n * 7919) % head if n % 2 else n * len(data) // of
data[min(place, len(data) - 1)] ^= 1 << n % 8
open(to, "wb").write(data)
os.chmod(to, 0o644)
END
    for ((n = 0; n < 60; n++)); do
        "$PYTHON" "$DIR/flip.py" "$DIR/job.ckpt" "$DIR/bad.ckpt" "$n" 60
        refused_as_damaged || complain "flip $n went unseen"
    done
}

@test "cut short or longer, by a byte or a page" {
    make_image
    size=$(stat -c %s "$DIR/job.ckpt")
    for change in -1 -4096 +1 +4096 "-$((size / 2))" "-$((size - 10))" "-$size"; do
        cp "$DIR/job.ckpt" "$DIR/bad.ckpt"
        chmod 644 "$DIR/bad.ckpt"
        truncate -s "$((size + change))" "$DIR/bad.ckpt"
        refused_as_damaged || complain "change by $change went unseen"
    done
}

@test "another user's image is refused" {
    [ "$(id -u)" = 0 ] || skip "not root"
    work_as "$(ordinary_user)"
    make_image
    # shellcheck disable=SC2034 # for lib.bash
    WHO=root
    expect 1 gdb_hijack restart "$DIR/job.ckpt" </dev/null
    grep -q 'restart it as that user' <<<"$errors"
}

# bats test_tags=as-root
@test "a program that has used up its descriptors is checkpointed all the same" {
    cat >"$DIR/full.py" <<'END'
import os, resource, time
open("ready", "w").close()
while not os.path.exists("go"): time.sleep(0.01)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 200))
try:
    while True: os.dup(0)
except OSError: pass
os.rename("go", "gone")
while not os.path.exists("stop"): time.sleep(0.01)
try: print(os.dup(0), os.dup(0))
except OSError: print("full", resource.getrlimit(resource.RLIMIT_NOFILE))
END
    start_program "$PYTHON" full.py
    wait_until test -e "$DIR/ready"
    hijack
    as touch "$DIR/go"
    wait_until test -e "$DIR/gone"
    checkpoint
    kill -KILL "$PID"
    wait_until is_gone "$PID"
    restart_ready --rollback-files
    finish
    grep -q 'full (64, 200)' "$DIR/out"
}

# bats test_tags=as-root
@test "what cannot be written to is told, and the program goes on" {
    start_target alloc
    hijack
    mkfifo "$DIR/pipe"
    ln -s job.ckpt "$DIR/link"
    for path in /nonexistent/job.ckpt /dev/null "$DIR" "$DIR/" "$DIR/pipe" "$DIR/link" /proc/job.ckpt; do
        wanted=1
        [ "$WHO $path" != "root /proc/job.ckpt" ] || wanted=3 # only trying tells root
        expect $wanted gdb_hijack checkpoint "$PID" -o "$path"
        [[ $errors == *"${path%/job.ckpt}"* || $errors == *"directory '/dev'"* ]] || complain "$errors"
    done
    checkpoint
    [ -z "$(find "$DIR" -name '*.tmp')" ]
    finish
}

@test "--map is refused, with the reason; the image is as good as before" {
    make_image
    expect 1 gdb_hijack restart --map --rollback-files "$DIR/job.ckpt" </dev/null
    grep -q 'map is refused.*madvise' <<<"$errors"
    restart_ready --rollback-files
    finish
}
