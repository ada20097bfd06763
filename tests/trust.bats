#!/usr/bin/env bats
# What others do while a process is in our hands: the user's Ctrl-C, a reader of our messages that goes away, a second
# gdb-hijack, a forked child, signals to the whole process group.

load lib

setup() {
    work_begin
    start_target childless
}
teardown() { work_end; }

mapped() { grep -q libhijack "/proc/$PID/maps"; }
shadow_of() { as "$GDB_HIJACK" status --json "$PID" | grep -o '"shadow": [0-9]*' | grep -o '[0-9]*'; }

# A gdb that starts late, so that others come between what is looked at before and the attach.
late_gdb() {
    mkdir "$DIR/late"
    printf '#!/bin/sh\nwhile ! test -e "%s/go"; do sleep 0.01; done\nexec gdb-real "$@"\n' "$DIR" >"$DIR/late/gdb"
    ln -s "$(command -v gdb)" "$DIR/late/gdb-real"
    chmod 755 "$DIR/late" "$DIR/late/gdb"
}

# interrupted SIGNAL STEP: hijacks with the dialogue shown, sends SIGNAL once STEP has been reported
interrupted() {
    "$PYTHON" - "$@" "$GDB_HIJACK" "$PID" 3>&- <<'PY'
import os, signal, subprocess, sys
name, step, program, pid = sys.argv[1:]
p = subprocess.Popen([program, "hijack", "-v", pid], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                     preexec_fn=lambda: signal.signal(getattr(signal, name), signal.SIG_DFL))
for line in p.stderr:
    if line.startswith("  " + step + " "):
        p.send_signal(getattr(signal, name))
sys.exit(p.wait() % 256)
PY
}

@test "Ctrl-C, a hang-up or a SIGTERM in mid-hijack: rolled back, or done when it was done" {
    for signal in SIGINT SIGTERM SIGHUP SIGQUIT; do
        for step in attach "safe point" load shadow replace; do
            status=0
            interrupted "$signal" "$step" || status=$?
            [ "$status" = 0 ] || [ "$status" = 1 ] || [ "$status" = 3 ] || complain "$signal at $step: status $status"
            if [ "$status" = 0 ]; then release; else not mapped || complain "$signal at $step: half a hijack"; fi
        done
    done
    is_alive "$PID"
}

@test "a signal early in the hijack does stop it" {
    status=0
    interrupted SIGINT load || status=$?
    [ "$status" = 3 ]
    not mapped
}

@test "the reader of the messages goes away: the hijack is finished all the same" {
    as "$GDB_HIJACK" "$PID" 2>&1 >/dev/null | true
    [ "${PIPESTATUS[0]}" = 0 ]
    mapped
    release
}

@test "no standard descriptors at all" {
    as "$GDB_HIJACK" hijack -v "$PID" <&- >&- 2>&-
    mapped
    release
}

@test "two hijacks of one process: the second refuses, the first stays complete" {
    late_gdb
    as env PATH="$DIR/late:$PATH" "$GDB_HIJACK" -q "$PID" 2>"$DIR/errors" 3>&- &
    second=$!
    wait_until pgrep -P "$second" >/dev/null
    hijack
    touch "$DIR/go"
    status=0
    wait "$second" || status=$?
    [ "$status" = 1 ]
    grep -q "meanwhile\|hijacked already" "$DIR/errors"
    checkpoint
    release
    not mapped
}

@test "signals to the whole process group leave the shadow alone" {
    hijack
    shadow=$(shadow_of)
    for signal in HUP INT QUIT USR1 USR2 ALRM VTALRM PROF 40; do kill -"$signal" "$shadow"; done
    checkpoint
    [ "$(shadow_of)" = "$shadow" ]
}

@test "stopped by its user after gdb-hijack has looked at it: refused, and it stays stopped" {
    late_gdb
    as env PATH="$DIR/late:$PATH" "$GDB_HIJACK" -q "$PID" 2>"$DIR/errors" 3>&- &
    late=$!
    wait_until pgrep -P "$late" >/dev/null
    kill -STOP "$PID"
    wait_until in_state T "$PID"
    touch "$DIR/go"
    status=0
    wait "$late" || status=$?
    [ "$status" = 1 ]
    grep -q "kill -CONT $PID" "$DIR/errors"
    in_state T "$PID"
    kill -CONT "$PID"
}

@test "a handler that leaves by longjmp all the time: refused within seconds, nothing changed" {
    cat >"$DIR/longjmp.c" <<'END'
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>
static sigjmp_buf again;
static volatile long n;
static void leave(int s) { (void)s; siglongjmp(again, 1); }
int main(void)
{
    struct itimerval t = {{0, 1000}, {0, 1000}};
    signal(SIGALRM, leave);
    setitimer(ITIMER_REAL, &t, 0);
    sigsetjmp(again, 1);
    for (;;)
        n++;
}
END
    cc -O1 -o "$DIR/longjmp" "$DIR/longjmp.c"
    start_program "$DIR/longjmp"
    wait_until catches_alarm
    snapshot before
    expect 3 gdb_hijack -q "$PID"
    grep -q 'everything was undone' <<<"$errors"
    same_but_maps_and_mask
    untraced
    kill -KILL "$PID"
}

catches_alarm() { [ $((0x$(awk '/^SigCgt/ { print $2 }' "/proc/$PID/status") & 0x2000)) -ne 0 ]; }

@test "a subreaper: its shadow would be its child; rolled back, and said" {
    gcc -O1 -x c -o "$DIR/reaper" - <<<'#include <sys/prctl.h>
#include <unistd.h>
int main(void) { prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); for (;;) pause(); }'
    start_program "$DIR/reaper"
    wait_until is_blocked "$PID"
    snapshot before
    expect 3 gdb_hijack -q "$PID"
    grep -q 'adopts orphans' <<<"$errors"
    same
    kill -KILL "$PID"
}

# make_inside: a program whose handler of SIGUSR1, raised in its only thread or in a second one (an argument), will return into
# the first instructions of read()
make_inside() {
    cat >"$DIR/inside.c" <<'END'
#include <pthread.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>
static void handler(int s, siginfo_t *i, void *context)
{
    ucontext_t *uc = context;
    greg_t place = uc->uc_mcontext.gregs[REG_RIP];
    char byte;
    (void)s, (void)i;
    uc->uc_mcontext.gregs[REG_RIP] = (greg_t)read + 3;
    read(0, &byte, 1);
    uc->uc_mcontext.gregs[REG_RIP] = place;
}
static void *enter(void *unused)
{
    raise(SIGUSR1);
    for (;;) pause();
    return unused;
}
int main(int count, char **arguments)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    pthread_t thread;
    (void)arguments;
    sigaction(SIGUSR1, &action, 0);
    if (count > 1) pthread_create(&thread, 0, enter, 0), pause();
    enter(0);
}
END
    cc -D_GNU_SOURCE -O1 -pthread -o "$DIR/inside" "$DIR/inside.c"
}

in_pipe_read() { grep -qE '^(anon_)?pipe_read' "/proc/$PID"/task/*/wchan; }

# not_inside [second]: not patched until the thread is out of there
not_inside() {
    make_inside
    as mkfifo "$DIR/fifo"
    exec 9<>"$DIR/fifo"
    IN=$DIR/fifo start_program "$DIR/inside" "$@"
    wait_until in_pipe_read
    snapshot before
    expect 1 gdb_hijack -q --wait 1 "$PID"
    grep -q 'in the first instructions of read' <<<"$errors"
    same
    echo >&9
    wait_until not in_pipe_read
    hijack
    release
    kill -KILL "$PID"
}

@test "a signal handler that goes back into a function's first instructions: not patched until it has" { not_inside; }
@test "the same in a thread that is not the first" { not_inside second; }

@test "a signal handler that goes back into our stub of sigprocmask: not released until it has" {
    gcc -O1 -w -x c -o "$DIR/within" - <<<'#include <signal.h>
#include <unistd.h>
static void handler(int s) { char byte; read(0, &byte, 1); }
int main(void) {
    sigset_t all, but_one;
    sigfillset(&all);
    sigfillset(&but_one);
    sigdelset(&but_one, SIGUSR1);
    sigprocmask(SIG_SETMASK, &all, 0);
    signal(SIGUSR1, handler);
    raise(SIGUSR1);
    while (access("go", F_OK)) usleep(1000);
    sigprocmask(SIG_SETMASK, &but_one, 0);
    for (;;) pause();
}'
    as mkfifo "$DIR/fifo"
    exec 9<>"$DIR/fifo"
    IN=$DIR/fifo start_program "$DIR/within"
    hijack
    touch "$DIR/go"
    wait_until in_pipe_read
    checkpoint
    expect 1 gdb_hijack release -q --wait 1 "$PID"
    grep -q 'in a call that waits in our code' <<<"$errors" || complain "$errors"
    echo >&9
    wait_until not in_pipe_read
    release
    untraced
    kill -KILL "$PID"
}
