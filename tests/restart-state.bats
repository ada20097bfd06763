#!/usr/bin/env bats
# What restart/state.def calls RESTORED is there again after a restart: tests/targets/process.c sets one of everything and
# checks itself. What it calls REFUSED is refused by name, with the program unharmed.

load lib

setup() { work_begin; }
teardown() { work_end; }

# restarted_once: through an image, with nothing of the old process left but its files
restarted_once() {
    checkpoint && kill -KILL "$PID" && wait_until is_gone "$PID" && restart_ready --rollback-files
}

@test "one of everything, restarted by an ordinary user" {
    start_target process
    hijack
    restarted_once
    finish
}

@test "one of everything, restarted by root" {
    [ "$(id -u)" = 0 ] || skip "not root"
    work_end
    # shellcheck disable=SC2034 # for lib.bash
    WHO=root
    work_begin
    start_target process
    hijack
    restarted_once
    finish
}

@test "one of everything, after ten generations; the address map does not grow" {
    start_target process
    hijack
    for ((n = 1; n <= 10; n++)); do
        restarted_once
        [ "$n" -ne 3 ] || third=$(wc -l <"/proc/$PID/maps")
    done
    [ "$(wc -l <"/proc/$PID/maps")" -le "$third" ]
    finish
}

# refused NAME PYTHON: a python that has done PYTHON is not checkpointed; the message says NAME; it goes on and ends well
refused() {
    cat >"$DIR/odd.py" <<END
import ctypes, mmap, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
$2
open("ready", "w").close()
while not os.path.exists("stop"):
    time.sleep(0.01)
END
    chmod 644 "$DIR/odd.py"
    start_program "$PYTHON" odd.py
    wait_until test -e "$DIR/ready" -o ! -e "/proc/$PID/exe"
    [ -e "$DIR/ready" ]
    hijack
    expect 1 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt"
    # shellcheck disable=SC2154 # set by expect
    grep -q "$1" <<<"$errors" || complain "$errors"
    [ ! -e "$DIR/job.ckpt" ]
    finish
}

# What shm_open makes is a file as long as it has its name: a checkpoint takes it, and doctor finds nothing. Then it is none.
@test "a file in /dev/shm that is mapped: doctor and checkpoint agree, while it has its name and when it has none" {
    name=$(as mktemp /dev/shm/hijack-test.XXXXXX)
    start_program "$PYTHON" -c "import mmap, os, time
f = open('$name', 'w+b'); f.truncate(4096); m = mmap.mmap(f.fileno(), 4096); f.close(); open('ready', 'w').close()
while not os.path.exists('stop'): time.sleep(0.01)"
    wait_until test -e "$DIR/ready"
    findings() { expect 0 gdb_hijack doctor --json "$PID" || expect 1 gdb_hijack doctor --json "$PID"; }
    findings
    [[ $output != *shared_anonymous* && $output != *device_memory* ]] || complain "$output"
    hijack
    checkpoint
    rm "$name"
    expect 1 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt"
    [[ $errors == *"shared anonymous"* ]] || complain "$errors"
    release
    findings
    [[ $output == *shared_anonymous* ]] || complain "$output"
    finish
}

@test "refused: shared anonymous memory" { refused "shared anonymous" 'm = mmap.mmap(-1, 4096)'; }
@test "refused: a memfd mapped" { refused "shared anonymous" 'f = os.memfd_create("x"); os.ftruncate(f, 4096); m = mmap.mmap(f, 4096); os.close(f)'; }
@test "refused: a shared mapping of a file that was removed" {
    refused "shared anonymous" 'f = open("mapped", "w+b"); f.truncate(4096); m = mmap.mmap(f.fileno(), 4096); f.close(); os.unlink("mapped")'
}
@test "refused: System V shared memory" {
    refused "System V" 'libc.shmat.restype = ctypes.c_void_p
i = libc.shmget(0, 4096, 0o1600); libc.shmat(i, None, 0); libc.shmctl(i, 0, None)'
}
@test "refused: mlockall(MCL_FUTURE)" { refused "MCL_FUTURE" 'assert libc.mlockall(6) == 0'; }
@test "refused: a child" { refused "child" 'import subprocess; p = subprocess.Popen(["sleep", "2"])'; }
@test "refused: sealed memory" { refused "sealed" 'libc.mmap.restype = ctypes.c_void_p
a = libc.mmap(None, 4096, 3, 0x22, -1, 0); assert libc.syscall(462, ctypes.c_void_p(a), 4096, 0) == 0'; }
@test "refused: an aio context" { refused "asynchronous" 'c = ctypes.c_ulong(0); assert libc.syscall(206, 1, ctypes.byref(c)) == 0'; }
