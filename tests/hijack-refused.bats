#!/usr/bin/env bats
# What cannot be hijacked is refused by name, with status 1, and not touched.

load lib

setup() { work_begin; }
teardown() { work_end; }

# refused PATTERN [PID]: status 1, one message that matches, nothing on stdout
refused() {
    expect 1 gdb_hijack "${2:-$PID}" || return 1
    [ -z "$output" ] || complain "on stdout: $output" || return 1
    grep -qiE "$1" <<<"$errors" || complain "no \"$1\" in: $errors"
}

@test "a process that does not exist" {
    start true
    ends_with 0
    refused "no (such )?process"
}

@test "a kernel thread" {
    thread=$(awk '$2 == "(kthreadd)" { print $1 }' /proc/[0-9]*/stat 2>/dev/null | head -n 1)
    [ -n "$thread" ] || skip "no kernel thread is visible here"
    [ "$(id -u)" != 0 ] || WHO=root
    refused "kernel thread" "$thread"
}

@test "another user's process" {
    [ "$(id -u)" = 0 ] || skip "not root: nobody else's process can be started"
    work_as "$(ordinary_user)"
    WHO=root start_blocked read
    snapshot before
    refused "user|permission|root"
    same
    finish
}

@test "a zombie" {
    # The child of a process that never waits for it.
    start "$PYTHON" -c 'import os, time
pid = os.fork()
if pid == 0: os._exit(0)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
print(pid, flush=True)
time.sleep(1000)'
    wait_until test -s "$DIR/out"
    refused zombie "$(cat "$DIR/out")"
}

@test "a stopped process stays stopped" {
    start_blocked read
    kill -STOP "$PID"
    wait_until in_state T "$PID"
    snapshot before
    refused stopped
    same
    kill -CONT "$PID"
    finish
}

@test "one that another tracer holds: the tracer is named" {
    start_blocked read
    strace -qq -o "$DIR/trace" -p "$PID" 3>&- &
    tracer=$!
    started "$tracer"
    wait_until grep -q "^TracerPid:[[:space:]]*$tracer$" "/proc/$PID/status"
    refused "strace.*$tracer|$tracer.*strace"
    kill -TERM "$tracer"
    wait "$tracer" || true
    finish
}

@test "a static program" {
    gcc -static -O1 -x c -o "$DIR/static" - <<<'#include <unistd.h>
int main(void) { for (;;) pause(); }'
    start_program "$DIR/static"
    wait_until is_blocked "$PID"
    snapshot before
    refused "static"
    same
}

@test "a seccomp filter" {
    gcc -O1 -x c -o "$DIR/filtered" - <<<'#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>
int main(void) {
    struct sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
    struct sock_fprog program = {1, &allow};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 1;
    for (;;) pause();
}'
    start_program "$DIR/filtered"
    wait_until grep -q '^Seccomp:.*2' "/proc/$PID/status"
    snapshot before
    refused seccomp
    same
}


@test "an io_uring instance" {
    gcc -O1 -x c -o "$DIR/uring" - <<<'#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
    struct io_uring_params p = {0};
    if (syscall(SYS_io_uring_setup, 4, &p) < 0) return 1;
    for (;;) pause();
}'
    start_program "$DIR/uring"
    wait_until is_blocked "$PID" || skip "this kernel gives no io_uring to an ordinary user"
    snapshot before
    refused io_uring
    same
}

sleeps_or_gone() { is_gone "$1" || pgrep -P "$1" -x sleep >/dev/null; }

@test "process 1 of a pid namespace" {
    start unshare --user --pid --fork --kill-child sleep 1000
    wait_until sleeps_or_gone "$PID"
    is_alive "$PID" || skip "no pid namespaces here: $(cat "$DIR/err")"
    PID=$(pgrep -P "$PID")
    wait_until is_blocked "$PID"
    snapshot before
    refused "process $PID is process 1 of its pid namespace and adopts orphans"
    same
    expect 1 gdb_hijack doctor "$PID"
    grep -q 'adopts orphans' <<<"$output" || complain "$output"
}
