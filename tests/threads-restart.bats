#!/usr/bin/env bats
# Programs with threads: checkpointed while they work, killed, restarted; they check themselves. What cannot be brought to
# stand still is named. ROUNDS (default 2) generations.

load lib

setup() { work_begin; }
teardown() { work_end; }

restarted() { checkpoint && kill -KILL "$PID" && wait_until is_gone "$PID" && restart_ready --rollback-files; }

# goes_on TARGET...: hijacked; goes on after a checkpoint; and after each of some restarts
goes_on() {
    start_target "$@"
    hijack
    checkpoint
    for ((n = 1; n <= ${ROUNDS:-2}; n++)); do
        restarted
    done
    finish
}

# Its sockets go with the shadow.
leaves_and_comes() {
    start_target "$@"
    hijack
    for ((n = 1; n <= ${ROUNDS:-2}; n++)); do
        checkpoint_exit
        restart_ready
    done
    finish
}

as_root() {
    [ "$(id -u)" = 0 ] || skip "not root"
    work_end
    # shellcheck disable=SC2034 # for lib.bash
    WHO=root
    work_begin
}

@test "every lock, held and fought for; signals, timers and attributes of one thread" { goes_on threads; }
@test "the same, musl" { goes_on musl/threads; }

@test "locks taken and given all the time, and waited for by threads with their own id in variables" { ROUNDS=4 goes_on locks; }
@test "the same locks, musl" { ROUNDS=4 goes_on musl/locks; }

@test "a condition waited for with a mutex that another thread holds" { goes_on conditions; }
@test "the same condition, musl" { goes_on musl/conditions; }

# Locks that nobody has touched since the restart.
released() {
    start_target "$1"
    hijack
    restarted
    release
    finish
}
@test "every lock, held, when the program is released after a restart" { released threads; }
@test "the same locks, released, musl" { released musl/threads; }

@test "every synchronisation object, in use" { goes_on sync; }
@test "every synchronisation object, in use, musl" { goes_on musl/sync; }
@test "a thread blocked in each call" { leaves_and_comes threads_blocked; }
@test "a thread blocked in each call, musl" { leaves_and_comes musl/threads_blocked checkpointed; }
@test "threads created and ended all the time" { goes_on storm; }
@test "threads created and ended all the time, musl" { goes_on musl/storm; }

@test "1000 threads" { ROUNDS=1 goes_on threads 1000; }

@test "a debugger sees every thread" {
    start_target threads
    hijack
    checkpoint
    [ "$(gdb -nx -batch -ex 'info threads' "$TARGETS/threads" "$DIR/job.ckpt" 2>&1 | grep -c '(LWP [0-9]*)).*threads.c\|Thread 0x')" -ge 20 ]
    finish
}

# python that does what the file `do` says, in a thread of its own
start_obedient() {
    cat >"$DIR/obey.py" <<'END'
import os, signal, threading, time
def obey():
    open("/proc/thread-self/comm", "w").write("obedient")
    while not os.path.exists("stop"):
        if os.path.exists("do"):
            exec(open("do").read())
            os.rename("do", "done")
        time.sleep(0.005)
t = threading.Thread(target=obey)
t.start()
open("ready", "w").close()
t.join()
END
    chmod 644 "$DIR/obey.py"
    start_program "$PYTHON" obey.py
    wait_until test -e "$DIR/ready"
}

# obey PYTHON
obey() {
    rm -f "$DIR/done"
    echo "$1" >"$DIR/order" && mv "$DIR/order" "$DIR/do" && wait_until test -e "$DIR/done"
}

# Every thread but the main one; the process is the restart command's.
thread_ids() { find "/proc/$PID/task" -mindepth 1 -maxdepth 1 ! -name "$PID" -printf '%f\n' | sort; }

@test "root: every thread gets its id again" {
    as_root
    start_obedient
    hijack
    before=$(thread_ids)
    restarted
    [ "$(thread_ids)" = "$before" ]
    finish
}

@test "no thread gets an id that another one had" {
    local unshare=(unshare --user --map-current-user --keep-caps --pid --fork --mount-proc --kill-child)
    as "${unshare[@]}" true 2>"$DIR/err" || skip "no namespaces for this user"
    cd "$DIR"
    as "${unshare[@]}" "$PYTHON" "$TESTS/other_ids.py" "$GDB_HIJACK"
}

@test "words that only look like locks of its threads are as they were" { goes_on decoys; }
@test "words that only look like locks, musl" { goes_on musl/decoys; }

# blocking: how many threads block the checkpoint signal
blocking() { grep -cE '^SigBlk:.[4-7c-f]' <(cat "/proc/$PID"/task/*/status); }
block_all='signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))'

@test "a thread that blocks all signals after the hijack, and one born so, can be checkpointed and restarted" {
    start_obedient
    hijack
    obey "$block_all; threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()"
    [ "$(blocking)" = 0 ]
    restarted
    [ "$(grep -c '^SigBlk:.bf' <(cat "/proc/$PID"/task/*/status))" = 2 ]
    obey "$block_all" # the same in the restarted program
    [ "$(blocking)" = 0 ]
    restarted
    obey 'signal.pthread_sigmask(signal.SIG_UNBLOCK, range(1, 65))'
    finish
}

# A call of its own, which nobody sees: python's ctypes has libc make it, in libc's function for any call.
@test "a thread that does so without libc is unblocked for the checkpoint, and blocks again after a release" {
    start_obedient
    hijack
    obey 'import ctypes
full = ctypes.c_ulong(2**64 - 1)
assert ctypes.CDLL(None).syscall(14, 2, ctypes.byref(full), None, 8) == 0
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()'
    [ "$(blocking)" = 2 ]
    checkpoint
    [ "$(blocking)" = 0 ]
    restarted
    [ "$(blocking)" = 0 ]
    release
    [ "$(blocking)" = 2 ]
    finish
}

@test "a thread that has come to wait for every signal is named, and is not given the checkpoint's" {
    start_obedient
    hijack
    obey "def wait():
    $block_all
    given = signal.sigwait(range(1, 65))
    open('given', 'w').write(str(int(given)))
threading.waiting = threading.Thread(target=wait)
threading.waiting.start()"
    wait_until eval 'grep -q "^128 " /proc/$PID/task/*/syscall' # rt_sigtimedwait
    kill -s 63 "$PID"                                           # by hand: nobody has looked before
    expect 1 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt"
    # shellcheck disable=SC2154 # set by expect
    grep -q "thread [0-9]* ([a-z0-9]*) of process $PID waits for signal 63 .*sigwait" <<<"$errors" || complain "$errors"
    [ ! -e "$DIR/given" ]
    obey 'signal.pthread_kill(threading.waiting.ident, signal.SIGUSR1); threading.waiting.join()'
    [ "$(cat "$DIR/given")" = 10 ]
    checkpoint
    finish
}

@test "a thread in a vfork, which no signal reaches, is named, and all go on" {
    gcc -O1 -w -x c -pthread -o "$DIR/vforking" - <<<'#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
static void *spawn(void *p) {
    while (access("go", F_OK)) usleep(1000);
    if (!vfork()) { while (access("stop", F_OK)) usleep(1000); _exit(0); }
    wait(0);
    return p;
}
int main(void) {
    pthread_t thread;
    pthread_create(&thread, 0, spawn, 0);
    pthread_join(thread, 0);
    return 0;
}'
    start_program "$DIR/vforking"
    hijack
    touch "$DIR/go"
    wait_until eval 'grep -q "^[^)]*) D" /proc/$PID/task/*/stat'
    started "$(pgrep -P "$PID")"
    expect 1 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt"
    grep -q "thread [0-9]* (vforking) waits in the kernel where it cannot be interrupted" <<<"$errors" || complain "$errors"
    finish
}

# It is another one's, who does nothing with it: a thread alone is stopped by a tracer only.
@test "a thread that is stopped is named, and all go on" {
    start_obedient
    hijack
    thread=$(thread_ids)
    as "$PYTHON" -c 'import ctypes, os, sys, time
tid = int(sys.argv[1])
assert ctypes.CDLL(None).ptrace(ctypes.c_long(16), tid, None, None) == 0
os.waitpid(tid, 0x40000000)
while not os.path.exists(sys.argv[2]): time.sleep(0.005)' "$thread" "$DIR/enough" 3>&- &
    tracer=$!
    started "$tracer"
    wait_until in_state t "$PID/task/$thread"
    expect 1 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt"
    grep -q "thread $thread (obedient) is stopped" <<<"$errors" || complain "$errors"
    touch "$DIR/enough"
    wait "$tracer"
    checkpoint
    finish
}

@test "a thread with a working directory of its own is named" {
    start_obedient
    hijack
    obey 'import ctypes; assert ctypes.CDLL(None).unshare(0x200) == 0'
    expect 1 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt"
    grep -q "(thread [0-9]*, obedient)" <<<"$errors" || complain "$errors"
    finish
}
