# shellcheck shell=bash
# lib.bash - what the tests and the soak scripts share.
#
# The flow of a test: `work_begin` (a directory that the test's user owns), `start` a program, `hijack` it, do things, `finish`
# it; `work_end` ends what is left, by process id. Everything runs as $WHO, an ordinary user (made once when root
# runs the tests), or as root when a test sets WHO=root. Nothing here sleeps to wait: `wait_until` polls a condition
# with a deadline. Every function returns non-zero and says on stderr what was wrong.

TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BUILD=${BUILD:-$(dirname "$TESTS")/build}
DEADLINE=${DEADLINE:-30}
PYTHON=/usr/bin/python3
# shellcheck disable=SC2034 # for the tests
STATUS_CHECKPOINTED=85
unset XDG_RUNTIME_DIR READY STOP ROUNDS
export LC_ALL=C

complain() {
    echo "$*" >&2
    return 1
}

# `! command` alone never fails a test (set -e does not look at it); this does.
not() { ! "$@"; }

# --- who, and where ---------------------------------------------------------------------------------------------------

ordinary_user() {
    [ "$(id -u)" = 0 ] || { id -un; return; }
    id hjtest >/dev/null 2>&1 || useradd --no-create-home --home-dir / --shell /bin/sh hjtest || return 1
    echo hjtest
}

# as_prefix: sets AS, the words that run a command as $WHO
as_prefix() {
    AS=()
    [ "$WHO" = "$(id -un)" ] ||
        AS=(setpriv --reuid "$WHO" --regid "$(id -g "$WHO")" --init-groups --)
}

as() {
    as_prefix
    "${AS[@]}" "$@"
}

# A build in a directory that $WHO cannot enter (a home of mode 0700) is copied to one that it can.
find_programs() {
    GDB_HIJACK=$BUILD/gdb-hijack TARGETS=$BUILD/targets
    as test -x "$BUILD" -a -r "$BUILD" && return
    PROGRAMS=$(mktemp -d /tmp/hijack-programs.XXXXXX) && chmod 755 "$PROGRAMS" || return 1
    cp -r "$BUILD"/{gdb-hijack,gdb-blank,libhijack.so,hijack-shadow,hijack-starter,librestart.so} "$PROGRAMS" || return 1
    [ ! -d "$TARGETS" ] || cp -r "$TARGETS" "$PROGRAMS"
    GDB_HIJACK=$PROGRAMS/gdb-hijack TARGETS=$PROGRAMS/targets
}

work_begin() {
    WHO=${WHO:-$(ordinary_user)} STARTED=() PROGRAMS='' || return 1
    DIR=$(mktemp -d "${TMPDIR:-/tmp}/hijack-test.XXXXXX") || return 1
    chown "$WHO" "$DIR"
    find_programs
}

# work_as USER: another directory, for another $WHO
work_as() {
    work_end
    WHO=$1
    work_begin
}

# birth PID: when it was started: with its number, what tells it from a later process of that number
birth() {
    local line
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
    read -ra line <<<"${line##*) }"
    echo "${line[19]}"
}

# started PID: work_end will end it
started() {
    local born
    born=$(birth "$1") || return 0
    STARTED+=("$1:$born")
}

work_end() {
    local one
    for one in "${STARTED[@]}"; do
        [ "$(birth "${one%:*}")" != "${one#*:}" ] || kill -KILL "${one%:*}" 2>/dev/null
    done
    [ -z "$PROGRAMS" ] || rm -rf "$PROGRAMS"
    rm -rf "$DIR"
    return 0
}

# --- waiting ----------------------------------------------------------------------------------------------------------

# wait_until COMMAND...: until it succeeds, at most $DEADLINE seconds. The clock of a virtual machine leaps when that is paused: a
# look that seems to have taken ten seconds does not count.
wait_until() {
    local last=${EPOCHREALTIME/./} left=$((DEADLINE * 1000000)) now
    until "$@"; do
        now=${EPOCHREALTIME/./}
        [ $((now - last)) -gt 10000000 ] || left=$((left - now + last))
        [ "$left" -gt 0 ] || { complain "waited $DEADLINE s in vain: $*"; return 1; }
        last=$now
        sleep 0.005
    done
}

# state_of PID: R, S, D, T, t, Z, or nothing when there is none
state_of() {
    local line
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 0
    line=${line##*) }
    echo "${line%% *}"
}

is_blocked() { [ "$(state_of "$1")" = S ] && [ "$(cat "/proc/$1/wchan")" != 0 ]; }
is_gone() { case $(state_of "$1") in Z | X | '') ;; *) false ;; esac }
is_alive() { ! is_gone "$1"; }
has_exec() { [ "$(readlink "/proc/$1/exe")" = "$2" ]; } # PID FILE
in_state() { [ "$(state_of "$2")" = "$1" ]; } # STATE PID

# A moment that nobody chose: up to $1 (below 1000) milliseconds from now.
random_moment() { sleep "0.$(printf %03d $((RANDOM % $1)))"; }

# --- programs ---------------------------------------------------------------------------------------------------------

# Descriptors that bats, make or a shell above left open are not for the program: a restart would ask for them.
close_inherited() {
    local fd
    for fd in "/proc/$BASHPID/fd"/*; do
        fd=${fd##*/}
        [ "$fd" -le 2 ] || [ "$fd" = 255 ] || eval "exec $fd>&-"
    done
}

# start COMMAND...: as $WHO in $DIR, reading $IN (default: nothing), writing $DIR/out and $DIR/err. Its process is $MAIN.
start() {
    as_prefix
    rm -f "$DIR/ready" "$DIR/stop"
    "${AS[@]}" touch "$DIR/out" "$DIR/err" || return 1
    (close_inherited && cd "$DIR" && exec env READY="$DIR/ready" STOP="$DIR/stop" "${AS[@]}" "$@") \
        <"${IN:-/dev/null}" >"$DIR/out" 2>"$DIR/err" 3>&- &
    MAIN=$! PID=$!
    started "$MAIN"
}

# start_target NAME ARGUMENT...: and waits until its state is set up. The process to hijack is $PID.
start_target() {
    start "$TARGETS/$1" "${@:2}" || return 1
    wait_until test -e "$DIR/ready" -o ! -e "/proc/$MAIN/exe" || return 1
    [ -e "$DIR/ready" ] || { complain "$* did not start: $(cat "$DIR/err")"; return 1; }
    PID=$(cat "$DIR/ready")
    started "$PID"
}

# start_blocked CALL...: the target blocked.c, when it is in its call
start_blocked() {
    start_target "${BLOCKED:-blocked}" "$@" && wait_until is_blocked "$PID"
}

# start_program FILE ARGUMENT...: a program of somebody else; waits until it is that
start_program() {
    local file
    file=$(readlink -f "$(command -v "$1")")
    start "$file" "${@:2}" && wait_until has_exec "$MAIN" "$file"
}

# ends_with STATUS [PID]: waits for a process that this shell started ($MAIN) and compares its exit status
ends_with() {
    local pid=${2:-$MAIN} status=0
    wait_until is_gone "$pid" || return 1
    wait "$pid" || status=$?
    [ "$status" -eq "$1" ] && return
    complain "process $pid: status $status instead of $1; it said: $(tail -n 20 "$DIR/err")"
}

# finish: asks a target to check itself; it must find nothing
finish() {
    touch "$DIR/stop"
    ends_with 0
}

# --- gdb-hijack -------------------------------------------------------------------------------------------------------

# expect WANTED COMMAND...: runs it; its status is $STATUS, its stdout $output, its stderr $errors
expect() {
    local wanted=$1
    shift
    STATUS=0
    output=$("$@" 2>"$DIR/errors" 3>&-) || STATUS=$?
    errors=$(cat "$DIR/errors")
    [ "$STATUS" -eq "$wanted" ] && return
    complain "$*: status $STATUS instead of $wanted
$output
$errors"
}

gdb_hijack() {
    as_prefix
    (cd "$DIR" && exec "${AS[@]}" "$GDB_HIJACK" "$@")
}

# Sockets of what is hijacked from now on are in $DIR/run: for tests that open the directory to others, or ask who is in it.
own_runtime_directory() { as mkdir -m 700 "$DIR/run" && export XDG_RUNTIME_DIR="$DIR/run"; }

# hijack: $PID, with HIJACK_OPTIONS. Its shadow, $SHADOW, keeps the descriptors of a program that a failing test left away: it is ended with the
# rest.
HIJACK_OPTIONS=()
hijack() {
    expect 0 gdb_hijack --json "${HIJACK_OPTIONS[@]}" "$PID" || return 1
    [[ $output =~ \"shadow\":\ ([0-9]+) ]] && SHADOW=${BASH_REMATCH[1]} && started "$SHADOW"
}

release() { expect 0 gdb_hijack release -q "$PID"; }

# checkpoint OPTION...: of $PID to $DIR/job.ckpt
checkpoint() { expect 0 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt" "$@"; }

# checkpoint_by_hand: by a raw signal, which brings no request, to $DIR/job.ckpt in the end
checkpoint_by_hand() {
    local name
    name=$DIR/hijack.$PID.$(birth "$PID").ckpt
    kill -s "${SIGNAL:-63}" "$PID" || complain "process $PID has ended" || return 1
    wait_until test -e "$name" && mv "$name" "$DIR/job.ckpt"
}

# checkpoint_exit: ... and the program ends. A target that is a child of another is not ours to wait for.
checkpoint_exit() {
    checkpoint --exit || return 1
    if [ "$PID" = "$MAIN" ]; then ends_with "$STATUS_CHECKPOINTED"; else wait_until is_gone "$PID"; fi
}

# restart OPTION...: $DIR/job.ckpt becomes $MAIN and $PID, its standard streams as `start` gives them; restart_ready waits
# until it is the program again and no longer the starter. UNDER: words that run the command, strace and its options for one.
UNDER=()
restart() {
    as_prefix
    (close_inherited && cd "$DIR" && exec "${AS[@]}" "${UNDER[@]}" "$GDB_HIJACK" restart "$@" "$DIR/job.ckpt") \
        <"${IN:-/dev/null}" >>"$DIR/${OUT:-out}" 2>>"$DIR/err" 3>&- &
    MAIN=$! PID=$!
    started "$MAIN"
}

# The checkpoint signal has its handler again: from then on the next checkpoint can be taken.
is_restarted() {
    local caught
    caught=$(sed -n 's/^SigCgt:\t*//p' "/proc/$1/status" 2>/dev/null)
    [ -n "$caught" ] && (((0x$caught >> (${SIGNAL:-63} - 1)) & 1))
}

restart_ready() {
    restart "$@" || return 1
    wait_until restarted_or_gone "$MAIN" || return 1
    is_alive "$MAIN" || complain "not restarted: $(cat "$DIR/err")"
}

# restart_kept OPTION...: with --keep-ids: $MAIN is the parent, to be waited for, and $PID the program
restart_kept() {
    restart --keep-ids "$@" || return 1
    wait_until kept_or_gone || return 1
    is_alive "$MAIN" || { complain "not restarted: $(cat "$DIR/err")"; return 1; }
    PID=$(program_of "$MAIN")
    started "$PID"
}

children_of() { cat "/proc/$1/task/$1/children" 2>/dev/null; }

# program_of PARENT: the child that is not the guard
program_of() {
    local child
    for child in $(children_of "$1"); do
        [ "$(cat "/proc/$child/comm")" = hijack-guard ] || echo "$child"
    done
}

kept_or_gone() {
    local pid
    is_gone "$MAIN" && return
    pid=$(program_of "$MAIN") && [ -n "$pid" ] && is_restarted "$pid"
}

restarted_or_gone() { is_restarted "$1" || is_gone "$1"; }

# shadow_of: the shadow of $PID, from `status --json`
shadow_of() {
    expect 0 gdb_hijack status "$PID" --json || return 1
    json "$output" "first(d, 'shadow')"
}

# json TEXT EXPRESSION: EXPRESSION of d, the parsed text; `first(d, KEY)` finds KEY wherever it is
json() {
    # shellcheck disable=SC2016 # python
    "$PYTHON" -c '
import json, sys
d = json.loads(sys.argv[1])
def first(x, key):
    if isinstance(x, dict):
        if key in x: return x[key]
        x = list(x.values())
    if isinstance(x, list):
        for y in x:
            r = first(y, key)
            if r is not None: return r
    return None
print(eval(sys.argv[2]))' "$1" "$2"
}

# --- what must not change ---------------------------------------------------------------------------------------------

# snapshot NAME: everything of $PID that a hijack and its release must leave as it was, to $DIR/NAME
snapshot() { "$TARGETS/snapshot" "$PID" >"$DIR/$1"; }

# same [PATTERN]: is $PID as in the snapshot `before`? Lines that match PATTERN are not compared.
same() {
    snapshot after || return 1
    diff <(grep -vE "${1:-^$}" "$DIR/before") <(grep -vE "${1:-^$}" "$DIR/after") >&2 ||
        complain "process $PID is not as it was"
}

# Mappings come and go in a program that runs; its text, signals and descriptors must be the same.
same_but_maps() { same '^map '; }
same_but_maps_and_mask() { same '^map |^SigBlk'; } # it may be in a handler of its own

untraced() {
    grep -q '^TracerPid:[[:space:]]*0$' "/proc/$PID/status" || { complain "process $PID is traced"; return 1; }
    case $(state_of "$PID") in
    R | S | D) ;;
    *) complain "process $PID is in state $(state_of "$PID")" ;;
    esac
}

# --- rounds -----------------------------------------------------------------------------------------------------------

# round [SAME]: hijack, checkpoint, release of $PID; SAME (default same_but_maps) says what must be as before
round() {
    hijack && checkpoint && release && untraced && "${1:-same_but_maps}"
}

# rounds COUNT [SAME]: that often, each at a moment that nobody chose
rounds() {
    local n
    snapshot before || return 1
    for ((n = 1; n <= $1; n++)); do
        is_alive "$PID" || { complain "ended before round $n: $(cat "$DIR/err")"; return 1; }
        random_moment 50
        round "${2:-}" || { complain "in round $n"; return 1; }
        # shellcheck disable=SC2034 # the soak scripts print it
        SOAK_DONE=$n
    done
}
