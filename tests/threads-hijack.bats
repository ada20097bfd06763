#!/usr/bin/env bats
# Programs with threads: all of them stand still while one is served, and none notices. ROUNDS (default 3).

load lib

setup() { work_begin; }
teardown() { work_end; }

# A checkpoint has tests of its own.
round() { hijack && release && untraced && "${1:-same_but_maps}"; }

goes_through() {
    start_target "$@"
    rounds "${ROUNDS:-3}" "${SAME:-same_but_maps}"
    finish
}

hijack_by_dlopen() { expect 0 gdb_hijack -q --loader=dlopen "$PID"; }

# Threads come and go.
same_but_threads() { same '^map |^Threads:|^SigBlk:'; }

@test "a thread blocked in each call: none returns" { SAME=same goes_through threads_blocked; }
@test "a thread blocked in each call, musl" { SAME=same goes_through musl/threads_blocked; }
@test "a thread blocked in each call: none returns while dlopen and dlclose are called in the program" {
    HIJACK_OPTIONS=(--loader=dlopen)
    SAME=same_but_maps goes_through threads_blocked
}
@test "threads created and ended all the time" { SAME=same_but_threads goes_through storm; }
@test "threads created and ended all the time, musl" { SAME=same_but_threads goes_through musl/storm; }
@test "every synchronisation object, in use" { SAME=same_but_threads goes_through sync; }
@test "every synchronisation object, in use, musl" { SAME=same_but_threads goes_through musl/sync; }
@test "signals for single threads all the time: none lost, none new" { goes_through threads_signals; }
@test "signals for single threads all the time, musl" { goes_through musl/threads_signals; }

# stackless TARGET: it is not for the server; a checkpoint cannot reach it, and says which thread that is
stackless() {
    SAME=same goes_through "$1"
    start_target "$1"
    hijack
    expect 1 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt"
    grep -q "thread [0-9]* (stackless) blocks the checkpoint signal" <<<"$errors" || complain "$errors"
    release
    finish
}
@test "a thread whose stack is gone, as in the last moments of musl's: left alone" { stackless stackless; }
@test "a thread whose stack is gone, musl" { stackless musl/stackless; }

@test "attach, doctor and status say how many; the interactive mode shows where they stand" {
    start_target threads_blocked
    expect 0 gdb_hijack doctor "$PID"
    grep -q "has 26 threads" <<<"$output"
    printf '%s\n' "" threads "" "" "" "" "" "" >"$DIR/lines"
    expect 0 gdb_hijack -i "$PID" <"$DIR/lines"
    grep -q "attach.* 26 threads" <<<"$errors"
    [ "$(grep -cE "[0-9]+ +(0x)?[0-9a-f]{10,} " <<<"$errors")" = 26 ]
    [ "$(grep -c "(served)" <<<"$errors")" = 1 ]
    grep -q "epoll_wait" <<<"$errors"
    expect 0 gdb_hijack status "$PID"
    grep -q "26 threads" <<<"$output"
    release
    finish
}

@test "dlopen waits for the lock of a thread that runs meanwhile" {
    start_target loading
    snapshot before
    for ((n = 0; n < ${ROUNDS:-3}; n++)); do
        hijack_by_dlopen
        release
        same_but_maps
    done
    finish
}

# masks: of every thread
masks() { grep -h ^SigBlk: "/proc/$PID"/task/*/status; }
reachable() { not grep -qv "[0-389ab]...............$" <(masks); }

@test "threads that block every signal: a hijack unblocks the checkpoint's, a release blocks it again" {
    start "$PYTHON" -c '
import signal, threading, time
def wait():
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    print("blocked", flush=True)
    time.sleep(1000)
for i in range(3): threading.Thread(target=wait).start()
wait()'
    wait_until eval '[ "$(grep -o blocked "$DIR/out" | wc -l)" -eq 4 ]'
    before=$(masks)
    not reachable
    hijack
    reachable
    release
    [ "$(masks)" = "$before" ]
}

# A program that blocks all signals. For each line it says whether it finds the checkpoint's in its mask, once it has set that: to
# "all" or "none", or only to "ask".
start_asking() {
    mkfifo "$DIR/ask" && chown "$WHO" "$DIR/ask" || return 1
    exec 7<>"$DIR/ask"
    IN=$DIR/ask start "$PYTHON" -uc '
import signal, sys
every = range(1, 65)
signal.pthread_sigmask(signal.SIG_BLOCK, every)
print("ready")
while line := sys.stdin.readline():
    if line != "ask\n":
        signal.pthread_sigmask(signal.SIG_SETMASK, every if line == "all\n" else [])
    print(line.strip(), 63 in signal.pthread_sigmask(signal.SIG_BLOCK, []))'
    wait_until test -s "$DIR/out"
}

# answers "WORD ANSWER"
answers() {
    echo "${1% *}" >&7
    asked=$((${asked:-1} + 1))
    wait_until eval '[ "$(wc -l <"$DIR/out")" -eq "$asked" ]' || return 1
    [ "$(tail -n 1 "$DIR/out")" = "$1" ] || complain "$(cat "$DIR/out")"
}

@test "what a program finds in its mask: not the checkpoint signal, until a release, which puts back what a hijack took" {
    start_asking
    answers "ask True"
    hijack
    answers "ask False"
    release
    answers "ask True"
}

@test "... a mask that was set meanwhile stays as it was set, without it, until the next is set" {
    start_asking
    answers "none False"
    hijack
    answers "all False"
    checkpoint
    answers "ask False"
    release
    answers "ask False"
    answers "all True"
}

@test "a thread on a stack without room for us keeps its mask, and is named" {
    gcc -O1 -w -x c -pthread -o "$DIR/small" - <<<'#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>
static void *wait_blocked(void *p) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, 0);
    write(1, "blocked", 7);
    for (;;) pause();
}
int main(void) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, mmap(0, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 16384);
    pthread_create(&thread, &attributes, wait_blocked, 0);
    for (;;) pause();
}'
    start "$DIR/small"
    wait_until grep -q blocked "$DIR/out"
    snapshot before
    expect 0 gdb_hijack "$PID"
    grep -q "detach.*; thread [0-9]* (small) still blocks signal 63" <<<"$errors" || complain "$errors"
    release
    same
}

@test "a thread that waits for every signal would be given the checkpoint's: refused" {
    start "$PYTHON" -c '
import signal, threading, time
every = range(1, 65)
signal.pthread_sigmask(signal.SIG_BLOCK, every)
threading.Thread(target=signal.sigwait, args=(every,)).start()
print("ready", flush=True)
time.sleep(1000)'
    wait_until test -s "$DIR/out"
    wait_until eval 'grep -q "^128 " /proc/$PID/task/*/syscall' # rt_sigtimedwait
    expect 1 gdb_hijack "$PID"
    grep -q "waits for every signal" <<<"$errors"
}

@test "a thread in a vfork cannot be stopped: named, and the others run on meanwhile" {
    gcc -O1 -w -x c -pthread -o "$DIR/vforking" - <<<'#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static void *spawn(void *p) { if (!vfork()) { sleep(1000); _exit(0); } return p; }
static void *count(void *p) { for (long n = 0;; n++) { printf("%ld\n", n); fflush(stdout); usleep(1000); } return p; }
int main(void) {
    pthread_t thread;
    pthread_create(&thread, 0, spawn, 0);
    pthread_create(&thread, 0, count, 0);
    for (;;) pause();
}'
    start "$DIR/vforking"
    wait_until eval 'grep -q "^[^)]*) D" /proc/$PID/task/*/stat'
    started "$(pgrep -P "$PID")"
    expect 1 gdb_hijack --wait 1 "$PID"
    grep -q "thread [0-9]* (vforking) of process $PID .*cannot be stopped" <<<"$errors"
    untraced
    seen=$(wc -l <"$DIR/out")
    wait_until eval '[ "$(wc -l <"$DIR/out")" -gt "$seen" ]'
}
