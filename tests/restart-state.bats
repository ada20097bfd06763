#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031 # each test has its own variables, by design
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
    work_as root
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

# odd_program PYTHON [LATER]: does PYTHON, and LATER when the file `go` is there, and waits
odd_program() {
    local later=
    [ -z "${2:-}" ] || later=$(printf 'wait_for("go")\n%s\nos.rename("go", "gone")' "$2")
    cat >"$DIR/odd.py" <<END
import ctypes, mmap, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
def wait_for(name):
    while not os.path.exists(name):
        time.sleep(0.01)
$1
open("ready", "w").close()
$later
wait_for("stop")
END
    chmod 644 "$DIR/odd.py"
    start_program "$PYTHON" odd.py
    wait_until test -e "$DIR/ready" -o ! -e "/proc/$PID/exe"
    can_be "$DIR/ready"
}

# can_be FILE: the program has made it, or has said that this machine cannot
can_be() {
    if [ ! -e "$1" ] && grep -q '^AssertionError: no ' "$DIR/err"; then
        skip "$(sed -n 's/^AssertionError: //p' "$DIR/err")"
    fi
    [ -e "$1" ] || complain "$(cat "$DIR/err")"
}

# doctor_says ROW: a checkpoint of $PID will be refused because of it
doctor_says() {
    expect 0 gdb_hijack doctor --json "$PID" || expect 1 gdb_hijack doctor --json "$PID" || return 1
    [[ $(json "$output" "[f['severity'] for f in d['findings'] if f['id'] == '$1']") == "['checkpoint']" ]] ||
        complain "$1 is not among: $output"
}

# not_checkpointed PATTERN [OPTION]: refused, with a message that says PATTERN; it goes on and ends well
not_checkpointed() {
    expect 1 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt" "${@:2}" || return 1
    # shellcheck disable=SC2154 # set by expect
    grep -q "$1" <<<"$errors" || complain "$errors" || return 1
    [ ! -e "$DIR/job.ckpt" ] && finish
}

# refused ROW PATTERN PYTHON: a python that has done PYTHON is not checkpointed; the message says PATTERN. doctor says so
# beforehand, where it shows from outside (ROW is not -).
refused() {
    odd_program "$3"
    [ "$1" = - ] || doctor_says "$1"
    hijack
    not_checkpointed "$2"
}

# refused_later PATTERN PYTHON: what would refuse a hijack, but came after it
refused_later() {
    odd_program "" "$2"
    hijack
    as touch "$DIR/go"
    wait_until test -e "$DIR/gone" -o ! -e "/proc/$PID/exe"
    can_be "$DIR/gone"
    not_checkpointed "$1"
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

@test "refused: shared anonymous memory" { refused shared_anonymous "shared anonymous" 'm = mmap.mmap(-1, 4096)'; }
@test "refused: a memfd mapped" {
    refused shared_anonymous "shared anonymous" 'f = os.memfd_create("x"); os.ftruncate(f, 4096); m = mmap.mmap(f, 4096); os.close(f)'
}
@test "refused: a shared mapping of a file that was removed" {
    refused shared_anonymous "shared anonymous" 'f = open("mapped", "w+b"); f.truncate(4096); m = mmap.mmap(f.fileno(), 4096)
f.close(); os.unlink("mapped")'
}
@test "refused: System V shared memory" {
    refused sysv_shm "System V" 'libc.shmat.restype = ctypes.c_void_p
i = libc.shmget(0, 4096, 0o1600); libc.shmat(i, None, 0); libc.shmctl(i, 0, None)'
}
@test "refused: mlockall(MCL_FUTURE)" { refused - "MCL_FUTURE" 'assert libc.mlockall(6) == 0'; }
@test "refused: a child" { refused children "child" 'import subprocess; p = subprocess.Popen(["sleep", "2"])'; }
@test "refused: sealed memory" {
    refused sealed_memory "sealed" 'a = libc.mmap(None, 4096, 3, 0x22, -1, 0)
assert libc.syscall(462, ctypes.c_void_p(a), 4096, 0) == 0, "no mseal in this kernel"'
}
@test "refused: an aio context" {
    refused async_io "asynchronous" 'c = ctypes.c_ulong(0); assert libc.syscall(206, 1, ctypes.byref(c)) == 0, "no aio here"'
}
@test "refused: hugetlb memory" {
    # Reserved (MAP_NORESERVE) and never touched: that needs no huge page.
    refused huge_pages "hugetlb" 'a = libc.mmap(None, 2 << 20, 3, 0x44022, -1, 0)
assert a != ctypes.c_void_p(-1).value, "no hugetlb memory here"'
}
@test "refused: secret memory" {
    refused special_memory "special mapping" 'f = libc.syscall(447, 0); assert f >= 0, "no memfd_secret here"
os.ftruncate(f, 4096); m = mmap.mmap(f, 4096); os.close(f)'
}
@test "refused: memory protection keys" {
    refused protection_keys "protection keys" 'k = libc.pkey_alloc(0, 0); assert k > 0, "no protection keys on this CPU"
a = libc.mmap(None, 4096, 3, 0x22, -1, 0); assert libc.pkey_mprotect(ctypes.c_void_p(a), 4096, 3, k) == 0'
}
@test "refused: a local descriptor table" {
    refused - "local descriptor" 'import struct; e = struct.pack("4I", 1, 0, 0xfffff, 0x51)
assert libc.syscall(154, 1, e, 16) == 0, "no modify_ldt here"'
}
@test "refused: a mapped device" {
    [ "$(id -u)" = 0 ] || skip "not root: no device that may be mapped"
    work_as root
    truncate -s 1M "$DIR/disk"
    device=$(losetup --find --show "$DIR/disk") || skip "no loop device"
    status=0
    DEVICE=$device refused device_memory "mapped device" 'f = os.open(os.environ["DEVICE"], os.O_RDWR); m = mmap.mmap(f, 4096)
os.close(f)' || status=$?
    losetup --detach "$device"
    [ "$status" -eq 0 ]
}
@test "refused: memory under userfaultfd, since the hijack" {
    refused_later "userfaultfd" 'import fcntl, struct
u = libc.syscall(323, 1); assert u >= 0, "no userfaultfd here"
fcntl.ioctl(u, 0xc018aa3f, struct.pack("3Q", 0xaa, 0, 0))
area = libc.mmap(None, 4096, 3, 0x22, -1, 0)
fcntl.ioctl(u, 0xc020aa00, struct.pack("4Q", area, 4096, 1, 0))'
}
@test "refused: a seccomp filter, since the hijack" {
    refused_later "seccomp filter" 'f = ctypes.create_string_buffer(b"\x06\0\0\0\0\0\xff\x7f", 8)
class Program(ctypes.Structure): _fields_ = [("n", ctypes.c_ushort), ("f", ctypes.c_void_p)]
p = Program(1, ctypes.addressof(f))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(p)) == 0'
}
@test "refused: an io_uring instance, since the hijack" {
    refused_later "io_uring" 'assert libc.syscall(425, 4, ctypes.create_string_buffer(120)) >= 0, "no io_uring here"'
}
@test "refused: not dumpable, since the hijack" { refused_later "not dumpable" 'assert libc.prctl(4, 0) == 0'; }

@test "refused: another root directory, since the hijack; not within it" {
    [ "$(id -u)" = 0 ] || skip "not root"
    work_as root
    odd_program "" 'os.chroot("."); os.chdir("/")'
    hijack
    touch "$DIR/go"
    wait_until test -e "$DIR/gone"
    expect 1 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt"
    [[ $errors == *"another root directory ('$DIR')"* ]] || complain "$errors"
    doctor_says root_directory
    finish
}

# The other kinds that are bound to the process (perf events, virtual machines) are listed by the same rule.
@test "a descriptor that is bound to the process: doctor warns, checkpoint --exit is refused, a restart wants another" {
    odd_program 'f = os.open("/proc/self/status", os.O_RDONLY); os.dup2(f, 9); os.close(f)'
    expect 0 gdb_hijack doctor --json "$PID"
    [[ $(json "$output" "[f['severity'] for f in d['findings'] if f['id'] == 'odd_descriptors']") == "['warning']" ]] ||
        complain "$output"
    [[ $output == *"descriptor 9 of process $PID"*"--fd 9=PATH"* ]] || complain "$output"
    hijack
    expect 1 gdb_hijack checkpoint "$PID" --exit -o "$DIR/job.ckpt"
    [[ $errors == *"9 ("*"/status"*"bound to this process"* ]] || complain "$errors"
    checkpoint
    kill -KILL "$PID"
    wait_until is_gone "$PID"
    expect 1 gdb_hijack restart "$DIR/job.ckpt" </dev/null
    [[ $errors == *"descriptor 9 ("*"--fd 9=PATH"* ]] || complain "$errors"
    restart_ready --fd 9=/dev/null
    finish
}

@test "a BPF object and a fanotify group go to the shadow like any descriptor; doctor has nothing against them" {
    [ "$(id -u)" = 0 ] || skip "not root"
    work_as root
    odd_program 'import struct
a = ctypes.create_string_buffer(struct.pack("4I", 2, 4, 8, 1), 72) # an array of one element
bpf = libc.syscall(321, 0, a, 72); assert bpf >= 0, "no bpf here"
fan = libc.fanotify_init(1, 0); assert fan >= 0, "no fanotify here"'
    expect 0 gdb_hijack doctor --json "$PID"
    [[ $(json "$output" "d['can_be_checkpointed'], [f for f in d['findings'] if 'descriptor' in f['id']]") == "(True, [])" ]] ||
        complain "$output"
    hijack
    checkpoint_exit
    restart_ready
    [[ $(readlink "/proc/$PID/fd"/*) == *anon_inode:bpf-map*"anon_inode:[fanotify]"* ]]
    finish
}

@test "a program that has become the reaper of orphans is it after a restart" {
    odd_program "" 'assert libc.prctl(36, 1) == 0
open("is", "w").close(); wait_for("stop"); n = ctypes.c_int(0); libc.prctl(37, ctypes.byref(n)); assert n.value == 1'
    hijack
    as touch "$DIR/go"
    wait_until test -e "$DIR/is"
    restarted_once
    finish
}
