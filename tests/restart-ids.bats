#!/usr/bin/env bats
# restart --keep-ids: process and threads have the ids that they had, in a pid namespace; what stays outside is to its caller
# what the program would be. As an ordinary user, and as root.

load lib
load away
load remote

setup_file() { away_begin; }
teardown_file() { away_end; }
setup() { work_begin; }
teardown() { work_end; }

as_root() {
    [ "$(id -u)" = 0 ] || skip "not root"
    work_end
    # shellcheck disable=SC2034 # for lib.bash
    WHO=root
    work_begin
}

# ids PID: as the process and its threads see themselves
ids() { sed -n 's/^NSpid:.*\t//p' /proc/"$1"/task/*/status | sort -n; }

killed() { checkpoint && kill -KILL "$PID" && wait_until is_gone "$PID"; }

own_id() { sed -n 's/^NSpid:.*\t//p' "/proc/$1/status"; }

capabilities() { grep -E '^Cap(Inh|Prm|Eff|Amb)' "/proc/$1/status"; }

# keeps ITS TARGET...: `ids` or `own_id`, for threads that come and go, through two restarts, the second of an image that was
# made inside
keeps() {
    local before n
    start_target "${@:2}"
    before=$("$1" "$PID")
    hijack
    for n in 1 2; do
        killed
        wait_until is_gone "$MAIN"
        restart_kept --rollback-files
        [ "$("$1" "$PID")" = "$before" ]
        [ "$(program_of "$MAIN")" = "$PID" ]
        [ "$(capabilities "$PID")" = "$(capabilities "$MAIN")" ]
    done
}

@test "every id in every use" { keeps ids ids; finish; }
@test "the same, musl" { keeps ids musl/ids; finish; }
@test "the same, root" { as_root; keeps ids ids; finish; }
@test "signals for single threads all the time" { keeps ids threads_signals; finish; }
@test "every lock, held and fought for; signals, timers and attributes of one thread" { keeps own_id threads; finish; }
@test "every synchronisation object, in use" { keeps own_id sync; finish; }
@test "... root" { as_root; keeps own_id sync; finish; }

# --- to its caller --------------------------------------------------------------------------------------------------------

# python that does what the file `do` says, and writes the name of each signal that comes to the file `signals`. It is
# restarted in a process group of its own.
start_obedient() {
    cat >"$DIR/obey.py" <<'END'
import os, signal, sys, threading, time
def note(number, frame):
    os.write(log, (signal.Signals(number).name if number < 34 else "RT").encode() + b"\n")
log = os.open("signals", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for s in "HUP INT QUIT TERM USR1 USR2 WINCH CHLD ALRM".split():
    signal.signal(getattr(signal, "SIG" + s), note)
signal.signal(40, note)
open("ready", "w").close()
while True:
    if os.path.exists("do"):
        exec(open("do").read())
        os.rename("do", "done")
    time.sleep(0.005)
END
    chmod 644 "$DIR/obey.py"
    start_program "$PYTHON" obey.py
    wait_until test -e "$DIR/ready"
    hijack
    killed
    UNDER=("$PYTHON" -c 'import os, sys; os.setpgid(0, 0); os.execv(sys.argv[1], sys.argv[1:])')
    restart_kept
}

# order PYTHON, and it is done some time; obey PYTHON: it is done
order() { echo "$1" >"$DIR/order" && mv "$DIR/order" "$DIR/do"; }
obey() {
    rm -f "$DIR/done"
    order "$1" && wait_until test -e "$DIR/done"
}

come() { [ "$(grep -cx "$1" "$DIR/signals")" -ge "$2" ]; }   # NAME COUNT
exactly() { [ "$(grep -cx "$1" "$DIR/signals")" -eq "$2" ]; }

family() { echo "$MAIN" "$(children_of "$MAIN")" "$(init_of "$MAIN")"; }
init_of() { # PARENT
    local child
    for child in $(children_of "$1"); do
        [ "$(cat "/proc/$child/comm")" != hijack-guard ] || children_of "$child"
    done
}
all_gone() { local pid; for pid in "$@"; do is_gone "$pid" || return 1; done; }

@test "its exit status" {
    start_obedient
    all=$(family)
    order "os._exit(7)"
    ends_with 7
    # shellcheck disable=SC2086 # words
    wait_until all_gone $all
}

@test "its death by a signal, without a core" {
    start_obedient
    obey "signal.signal(signal.SIGTERM, signal.SIG_DFL)"
    kill -TERM "$MAIN"
    ends_with 143
    [ -z "$(find "$DIR" -name 'core*')" ]
}

@test "a signal for the parent reaches the program, once; one for the group, once" {
    start_obedient
    for name in HUP INT QUIT TERM USR1 USR2 WINCH ALRM; do
        kill "-$name" "$MAIN"
        wait_until come "SIG$name" 1
        kill "-$name" -- "-$MAIN"
        wait_until come "SIG$name" 2
        kill "-$name" "$MAIN"
        wait_until come "SIG$name" 3
    done
    for name in HUP INT QUIT TERM USR1 USR2 WINCH ALRM; do exactly "SIG$name" 3; done
}

@test "none is lost, none comes twice, in a storm to both" {
    start_obedient
    obey "signal.pthread_sigmask(signal.SIG_BLOCK, [40, 41])
def count(counted=0):
    while signal.sigwait([40, 41]) == 40: counted += 1
    open('counted', 'w').write(str(counted))
    os.rename('counted', 'count')
threading.Thread(target=count).start()"
    for ((n = 0; n < 200; n++)); do
        kill -40 "$MAIN"
        kill -40 -- "-$MAIN"
    done
    kill -41 "$MAIN" # behind all of them, on either way
    wait_until test -e "$DIR/count"
    [ "$(cat "$DIR/count")" = 400 ]
}

@test "the parent stops when the program stops, and both go on" {
    start_obedient
    kill -TSTP "$MAIN"
    wait_until in_state T "$PID"
    wait_until in_state T "$MAIN"
    kill -CONT "$MAIN"
    wait_until in_state S "$PID"
    wait_until in_state S "$MAIN"
    kill -STOP "$PID"
    wait_until in_state T "$MAIN"
    kill -CONT -- "-$MAIN"
    wait_until in_state S "$PID"
    kill -STOP -- "-$MAIN"
    wait_until in_state T "$PID"
    wait_until in_state T "$MAIN"
    kill -CONT -- "-$MAIN"
    wait_until in_state S "$PID"
    order "os._exit(0)"
    ends_with 0
}

@test "stopped and continued all the time, neither is left behind" {
    start_obedient
    # After each round a signal must come through: nothing wakes a parent that would be stopped by then.
    "$PYTHON" - "$MAIN" "$DIR/signals" <<'END'
import os, signal, sys, time
parent, signals = int(sys.argv[1]), sys.argv[2]
for n in range(500):
    os.killpg(parent, signal.SIGTSTP)
    for m in range(4 * (n % 100)): os.getppid() # CONT comes later and later in what the parent does about TSTP
    os.killpg(parent, signal.SIGCONT)
    os.kill(parent, signal.SIGUSR2)
    end = time.monotonic() + 10
    while os.path.getsize(signals) < 8 * (n + 1):
        if time.monotonic() > end: sys.exit(f"stopped for ever in round {n}")
        time.sleep(0.0002)
END
}

@test "a guard that is killed is not missed" {
    start_obedient
    init=$(init_of "$MAIN")
    for pid in $(children_of "$MAIN"); do [ "$pid" = "$PID" ] || kill -KILL "$pid"; done
    kill -TERM "$MAIN"
    wait_until come SIGTERM 1
    order "os._exit(5)"
    ends_with 5
    [ -n "$init" ]
    wait_until is_gone "${init% }"
}

@test "a parent that is killed takes all along" {
    start_obedient
    all=$(family)
    kill -KILL "$MAIN"
    # shellcheck disable=SC2086 # words
    wait_until all_gone $all
}

@test "what it leaves behind lives on" {
    start_obedient
    obey "if os.fork() == 0: time.sleep(0.1), open('child', 'w').write('%d %d' % (os.getppid(), os.getpid())), time.sleep(1000)"
    wait_until test -s "$DIR/child"
    init=$(init_of "$MAIN")
    child=$(children_of "$PID")
    started "${child% }"
    order "os._exit(3)"
    ends_with 3
    is_alive "${child% }"
    [ "$(awk '/^PPid:/ { print $2 }' "/proc/${child% }/status")" = "${init% }" ]
    kill -KILL "${child% }"
    wait_until is_gone "${init% }"
}

# --- for the tools --------------------------------------------------------------------------------------------------------

@test "checkpoint, status, release and a hijack, by the program's number and by its parent's" {
    start_target ids
    was=$PID
    hijack
    killed
    restart_kept
    expect 0 gdb_hijack status "$MAIN" --json
    [ "$(json "$output" "first(d, 'pid')")" = "$PID" ]
    [ "$(json "$output" "first(d, 'own_pid')")" = "$was" ]
    expect 0 gdb_hijack checkpoint "$MAIN" -o "$DIR/by-parent.ckpt"
    expect 0 gdb_hijack checkpoint "$PID"
    [ -n "$(find "$DIR" -name "hijack.$was.*.ckpt")" ]
    shadow=$(shadow_of)
    is_alive "$shadow"
    release
    wait_until is_gone "$shadow"
    expect 0 gdb_hijack doctor "$MAIN"
    expect 0 gdb_hijack "$MAIN"
    checkpoint
    finish
}

@test "its shadow lives outside: it keeps the descriptors of a program that left, for a restart of either kind" {
    start_target threads
    hijack
    killed
    for how in restart_kept restart_ready; do
        restart_kept --rollback-files
        shadow=$(shadow_of)
        expect 0 gdb_hijack checkpoint "$MAIN" -o "$DIR/job.ckpt" --exit
        ends_with "$STATUS_CHECKPOINTED"
        is_alive "$shadow"
        "$how"
        [ "$(shadow_of)" = "$shadow" ]
        [ "$how" = restart_ready ] || killed
    done
    finish
}

# --- with remote I/O ------------------------------------------------------------------------------------------------------

@test "remote I/O: begun inside, ended inside; a restart with it" {
    start_target ids remote
    before=$(ids "$PID")
    hijack
    killed
    restart_kept
    expect 0 gdb_hijack --remote-io "$PID"
    expect 0 gdb_hijack --local-io "$PID"
    expect 0 gdb_hijack --remote-io "$PID"
    expect 0 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt" --exit
    ends_with "$STATUS_CHECKPOINTED"
    restart_kept --remote-io
    [ "$(ids "$PID")" = "$before" ]
    expect 0 gdb_hijack status "$MAIN"
    finish
}

@test "away with remote I/O, and home again" {
    away_or_skip
    away_use
    start_target ids remote
    before=$(ids "$PID")
    hijack_for_away
    leave_home
    away_restart --remote-io --keep-ids
    [ "$(ids "$PID")" = "$before" ]
    leave_away
    restart_kept
    [ "$(ids "$PID")" = "$before" ]
    finish
}

# --- what cannot be -------------------------------------------------------------------------------------------------------

# refused PATTERN: the restart, with nothing left of it
refused() {
    restart --keep-ids
    ends_with 1
    grep -qE "$1" "$DIR/err" || { cat "$DIR/err" >&2; return 1; }
    not is_alive "$MAIN"
}

# UNDER, with the same user in a user namespace of its own, where $1 is done first, and then without any right.
# shellcheck disable=SC2016 # of the inner shell
under() {
    UNDER=(unshare --user --map-current-user --keep-caps --mount sh -c
        'eval "$1" && shift && exec setpriv --inh-caps=-all --ambient-caps=-all "$@"' sh "$1")
}

begin_refusal() {
    away_or_skip
    start_target ids
    hijack
    killed
}

@test "refused: no user namespaces" {
    begin_refusal
    under "echo 0 >/proc/sys/user/max_user_namespaces"
    refused "cannot make a user namespace: no more of them are allowed .*max_user_namespaces"
    UNDER=()
    restart_kept --rollback-files
    finish
}

@test "refused: no pid namespaces" {
    begin_refusal
    under "echo 0 >/proc/sys/user/max_pid_namespaces"
    refused "cannot make namespaces for the program.*max_pid_namespaces"
}

@test "refused: a /proc of which something is hidden" {
    begin_refusal
    under "mount --bind /dev/null /proc/uptime"
    refused "cannot mount the program's own /proc: .*must be whole"
}

@test "root without CAP_SYS_ADMIN: as an ordinary user" {
    as_root
    start_target ids
    hijack
    killed
    UNDER=(setpriv --bounding-set=-sys_admin)
    restart_kept
    [ "$(capabilities "$PID")" = "$(capabilities "$MAIN")" ]
    finish
}

has_image_of() { [ -n "$(find "$DIR" -name "hijack.$1.*.ckpt")" ]; }

# The image of a program that a plain restart has made process 1; its ids are $before
image_of_process_1() {
    start_target "$@"
    hijack
    killed
    UNDER=(unshare --pid --fork --kill-child --mount-proc)
    restart --rollback-files
    wait_until grep -q . "/proc/$MAIN/task/$MAIN/children"
    PID=$(children_of "$MAIN") PID=${PID% }
    wait_until is_restarted "$PID"
    before=$(ids "$PID")
    kill -63 "$PID"
    wait_until has_image_of 1
    kill -KILL "$PID"
    wait_until is_gone "$MAIN"
    mv "$(find "$DIR" -name "hijack.1.*.ckpt")" "$DIR/job.ckpt"
    UNDER=()
}

@test "a program that was process 1 is so again" {
    as_root
    image_of_process_1 ids
    restart_kept --rollback-files
    [ "$(ids "$PID")" = "$before" ]
    [ "$(own_id "$PID")" = 1 ]
    [ -z "$(init_of "$MAIN")" ]
}

@test "... and goes with its parent" {
    as_root
    image_of_process_1 ids
    restart_kept --rollback-files
    kill -KILL "$MAIN"
    wait_until is_gone "$PID"
}
