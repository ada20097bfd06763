#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031 # each test has its own PID, by design
# `doctor` names every reason, touches nothing, and its exit status is the answer.

load lib

setup() { work_begin; }
teardown() { work_end; }

# found ID [SEVERITY [STATUS]]: doctor of $PID has this finding
found() {
    expect "${3:-1}" gdb_hijack doctor --json "$PID" || return 1
    local got
    got=$(json "$output" "[f['severity'] for f in d['findings'] if f['id'] == '$1']") || return 1
    [ "$got" = "['${2:-refused}']" ] || complain "$1: $got in: $output"
}

compile() { gcc -O1 -x c -o "$DIR/program" "$@" -; }

pause_program='#include <unistd.h>
int main(void) { for (;;) pause(); }'

@test "this machine" {
    expect 0 gdb_hijack doctor
    [ "$(tail -n 1 <<<"$output")" = "this machine is fit to hijack processes" ] || complain "$output"
    grep -q 'GNU gdb' <<<"$output"
    expect 0 gdb_hijack doctor --json
    [ "$(json "$output" "d['schema'], d['can_be_hijacked']")" = "(1, True)" ] || complain "$output"
}

@test "this machine, without gdb" {
    expect 1 env PATH=/nonexistent "$GDB_HIJACK" doctor
    grep -q 'refused *gdb is not installed' <<<"$output" || complain "$output"
    [ "$(tail -n 1 <<<"$output")" = "this machine is not fit" ]
}

@test "a process that can be hijacked" {
    start_blocked read
    snapshot before
    expect 0 gdb_hijack doctor "$PID"
    [ "$(tail -n 1 <<<"$output")" = "process $PID can be hijacked and checkpointed" ] || complain "$output"
    not grep -qE '^  (refused|checkpoint) ' <<<"$output"
    same
    finish
}

@test "it neither attaches nor signals nor writes" {
    start_blocked read
    as_prefix
    strace -f -o "$DIR/trace" -e trace=ptrace,kill,tgkill,rt_sigqueueinfo,pidfd_send_signal,process_vm_writev,unlink,rename,mkdir \
        "${AS[@]}" "$GDB_HIJACK" doctor "$PID" 3>&-
    not grep -vE '^[0-9]+ +\+\+\+ exited' "$DIR/trace"
    finish
}

@test "a program linked to musl can be hijacked" {
    command -v musl-gcc >/dev/null || skip "no musl-gcc"
    musl-gcc -O1 -x c -o "$DIR/program" - <<<"$pause_program"
    start_program "$DIR/program"
    wait_until is_blocked "$PID"
    expect 0 gdb_hijack doctor "$PID"
}

@test "no such process, and usage" {
    start true
    ends_with 0
    found no-process
    for arguments in "x" "0" "-5" "1 2" "--no-such-option"; do
        # shellcheck disable=SC2086 # words
        expect 2 gdb_hijack doctor $arguments
    done
}

@test "a kernel thread" {
    PID=$(awk '$2 == "(kthreadd)" { print $1 }' /proc/[0-9]*/stat 2>/dev/null | head -n 1)
    [ -n "$PID" ] || skip "no kernel thread is visible here"
    found kernel-thread
}

@test "another user's process, seen by an ordinary user and by root" {
    [ "$(id -u)" = 0 ] || skip "not root: nobody else's process can be started"
    work_as "$(ordinary_user)"
    WHO=root start_blocked read
    found other-user
    WHO=root
    expect 0 gdb_hijack doctor "$PID"
    finish
}

@test "a process that is not dumpable: by an ordinary user it is not hijacked, by root not checkpointed" {
    work_as "$(ordinary_user)"
    start "$PYTHON" -c 'import ctypes, time
ctypes.CDLL(None).prctl(4, 0)
print("ready", flush=True)
time.sleep(1000)'
    wait_until test -s "$DIR/out"
    found not-dumpable
    [ "$(id -u)" = 0 ] || return 0
    WHO=root
    found not-dumpable checkpoint 0
}

@test "a zombie" {
    start "$PYTHON" -c 'import os, time
pid = os.fork()
if pid == 0: os._exit(0)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
print(pid, flush=True)
time.sleep(1000)'
    wait_until test -s "$DIR/out"
    found children checkpoint 0
    PID=$(cat "$DIR/out")
    found zombie
}

@test "a stopped process stays stopped" {
    start_blocked read
    kill -STOP "$PID"
    wait_until in_state T "$PID"
    found stopped
    in_state T "$PID"
    kill -CONT "$PID"
    finish
}

@test "another tracer is named" {
    start_blocked read
    strace -qq -o "$DIR/trace" -p "$PID" 3>&- &
    tracer=$!
    started "$tracer"
    wait_until grep -q "^TracerPid:[[:space:]]*$tracer$" "/proc/$PID/status"
    found tracer
    grep -q "cannot attach to process $PID: another tracer (strace, process $tracer) holds it; stop that first" <<<"$output" ||
        complain "$output"
    kill -TERM "$tracer"
    wait "$tracer" || true
    finish
}

@test "a static program, position-independent or not" {
    for how in -static -static-pie; do
        compile "$how" <<<"$pause_program"
        start_program "$DIR/program"
        wait_until is_blocked "$PID"
        found static
        kill -KILL "$PID"
        ends_with 137
    done
}

@test "a 32-bit program" {
    as_prefix
    printf "%s\n" ".globl _start" "_start: mov \$29, %eax" "int \$0x80" "jmp _start" >"$DIR/program.s"
    command as --32 -o "$DIR/program.o" "$DIR/program.s" || skip "no 32-bit assembler"
    ld -m elf_i386 -o "$DIR/program" "$DIR/program.o" || skip "no 32-bit linker"
    start_program "$DIR/program" || skip "no 32-bit programs here"
    wait_until is_blocked "$PID"
    found machine
}

@test "threads whose first one has ended" {
    compile -pthread <<<'#include <pthread.h>
#include <unistd.h>
static void *wait_here(void *p) { for (;;) pause(); return p; }
int main(void) {
    pthread_t thread;
    pthread_create(&thread, 0, wait_here, 0);
    pthread_exit(0);
}'
    start "$DIR/program"
    wait_until in_state Z "$PID"
    found leader
}

@test "threads, a seccomp filter" {
    compile -pthread <<<'#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>
static void *wait_here(void *p) { for (;;) pause(); return p; }
int main(void) {
    struct sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
    struct sock_fprog program = {1, &allow};
    pthread_t thread;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) || pthread_create(&thread, 0, wait_here, 0)) return 1;
    puts("ready"), fflush(stdout);
    wait_here(0);
}'
    start_program "$DIR/program"
    wait_until test -s "$DIR/out"
    found threads note
    found seccomp
    expect 0 gdb_hijack doctor --trust-seccomp --json "$PID"
    [ "$(json "$output" "[f['severity'] for f in d['findings'] if f['id'] == 'seccomp']")" = "['checkpoint']" ]
}

@test "children refuse a checkpoint, not a hijack" {
    start /bin/sh -c 'sleep 1000; :'
    wait_until pgrep -P "$PID" >/dev/null
    started "$(pgrep -P "$PID")"
    expect 0 gdb_hijack doctor "$PID"
    [ "$(tail -n 1 <<<"$output")" = "process $PID can be hijacked, but not be checkpointed as things are now" ] ||
        complain "$output"
}

@test "a mount namespace where our library is another file, or none" {
    [ "$(id -u)" = 0 ] || skip "not root"
    WHO=root
    library=$(dirname "$(readlink -f "$GDB_HIJACK")")
    # shellcheck disable=SC2016 # the inner shell's
    start unshare --mount sh -c 'mount -t tmpfs none "$1" && echo ready && exec sleep 1000' sh "$library"
    wait_until test -s "$DIR/out"
    wait_until has_exec "$PID" "$(readlink -f "$(command -v sleep)")"
    found library-place
}

@test "the table of kernel state" {
    expect 0 gdb_hijack doctor --state
    [ "$(wc -l <<<"$output")" -eq "$(grep -c '^STATE(' "$TESTS/../restart/state.def")" ]
    grep -q '^refused *an io_uring instance' <<<"$output"
}

@test "the table of system calls" {
    expect 0 gdb_hijack doctor --calls
    grep -qxE ' *0  read +forwarded' <<<"$output" || complain "$output"
    grep -qxE ' *57  fork +refused: ENOSYS +a child has no descriptors.*' <<<"$output" || complain "$output"
    grep -qxE ' *39  getpid +emulated +the process id that the program knows' <<<"$output"
    not grep -qE ' $' <<<"$output"
    text=$output
    expect 0 gdb_hijack doctor --calls --json
    [ "$(json "$output" "d['schema'], len(d['calls']), len({c['number'] for c in d['calls']})")" = \
        "(1, $(($(wc -l <<<"$text") - 1)), $(($(wc -l <<<"$text") - 1)))" ] || complain "$output"
    [ "$(json "$output" "[(c['away'], c['errno']) for c in d['calls'] if c['name'] == 'fork']")" = \
        "[('refused', 'ENOSYS')]" ]
    [ "$(json "$output" "{c['away'] for c in d['calls']} == {'forwarded', 'local', 'emulated', 'refused'}")" = True ]
}
