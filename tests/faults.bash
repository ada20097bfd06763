# shellcheck shell=bash
# faults.bash - who is killed at which command to gdb: what hijack-faults.bats and scripts/soak-faults.sh share. After lib.bash.
#
# Commands are counted from 1 (gdbmi/mi_fault.h); gdb attaches with the 6th. $STRIDE says how many are passed over each time,
# from one that nobody chose; 1 is every one. What is killed: gdb, gdb-hijack itself (SELF), or the program (TARGET), which may
# get another signal instead.

STRIDE=${STRIDE:-1}
# shellcheck disable=SC2034 # for the tests
ATTACHES=6
# With the 9th it mends what the attach has done to calls that end with EINTR when they are stopped (semop, epoll_wait, ...).
# Is gdb killed in between, they end so, as they do after SIGSTOP and SIGCONT.
# shellcheck disable=SC2034 # for the tests
MENDS=10

# attempt_to COMMAND VARIABLE=VALUE...: a hijack or release of $PID under a fault; $status tells how it ended
attempt_to() {
    local command=$1
    shift
    status=0
    (cd "$DIR" && as env "$@" "$GDB_HIJACK" "$command" -q "$PID") >/dev/null 2>"$DIR/errors" 3>&- || status=$?
    errors=$(cat "$DIR/errors")
}

attempt() { attempt_to hijack "$@"; }

mapped() { grep -q libhijack "/proc/$PID/maps"; }

# No library, no shadow, no tracer, no word changed.
unharmed() { untraced && same && not mapped && no_shadow; }

no_shadow() { wait_until shadow_is_gone; }

# own_build: the tools are copies, so that no shadow of another test is of this build.
own_build() {
    mkdir "$DIR/own"
    cp "$BUILD"/{gdb-hijack,gdb-blank,hijack-shadow,hijack-starter,libhijack.so,librestart.so} "$DIR/own"
    chmod 755 "$DIR/own"
    GDB_HIJACK=$DIR/own/gdb-hijack
}

# Of this build: other tests may run meanwhile. A dead one that its new parent, init, has yet to reap is gone.
shadow_is_gone() {
    local pid
    for pid in $(pgrep -U "$WHO" -x -r R,S,D,T,t hijack-shadow); do
        not has_exec "$pid" "$(dirname "$(readlink -f "$GDB_HIJACK")")/hijack-shadow" || return 1
    done
}

# at_commands FIRST FUNCTION ARGUMENT...: FUNCTION ARGUMENT... N for each chosen N from FIRST on, until it returns 100: the
# fault was never reached
at_commands() {
    local from=$1 n result=0
    shift
    for ((n = from + RANDOM % STRIDE; n < 500; n += STRIDE)); do
        "$@" "$n" || result=$?
        [ "$result" -ne 100 ] || break
        [ "$result" -eq 0 ] || complain "$*, command $n: status $status: $errors" || return 1
        # shellcheck disable=SC2034 # the soak scripts print it
        SOAK_DONE=$((SOAK_DONE + 1))
    done
    [ "$n" -gt 40 ] || complain "$*: nothing was injected"
}

# --- a hijack -----------------------------------------------------------------------------------------------------------

# gdb is dead: gdb-hijack undoes it all.
gdb_killed_at() { # VARIABLE N
    attempt "$1=$2"
    [ "$status" -ne 0 ] || return 100
    [ "$status" -eq 3 ] || [ "$status" -eq 1 ] || return 1
    [ -n "$errors" ] && unharmed
}

gdb_killed() { # VARIABLE FIRST
    snapshot before && at_commands "$2" gdb_killed_at "$1" && release && unharmed && finish
}

# gdb-hijack is dead, and with it gdb. What is left works like the original; a release, or another hijack, takes it away: the
# code in libc's slack, too, which nobody comes by.
self_killed_at() { # VARIABLE N
    attempt "$1=$2"
    [ "$status" -ne 0 ] || return 100
    [ "$status" -eq 137 ] && wait_until untraced 2>/dev/null && same_but_our_own && taken_away
}

same_but_our_own() { same '^map |^text |^SigCgt'; }

taken_away() { { mapped || hijack; } && release && unharmed; }

self_killed() { # VARIABLE FIRST
    snapshot before && at_commands "$2" self_killed_at "$1" && release && unharmed && finish
}

# The program is dead: it was never touched - looking at it takes some commands from the attach on -, or it is lost, and that is
# said. $@: how to start it.
target_killed_at() { # COMMAND... N
    "${@:1:$#-1}" || return 1
    attempt HIJACK_FAULT_TARGET="${*: -1}:$PID"
    [ "$status" -ne 0 ] || not is_alive "$PID" || { release && finish && return 100; }
    wait_until is_gone "$MAIN" && no_shadow || return 1
    case $status in
    0) [ -z "$errors" ] && AFTER=1 ;; # after the hijack
    1) [ "${*: -1}" -le "$MENDS" ] && [ -n "$errors" ] ;;
    4) [ "$AFTER" -eq 0 ] && grep -q "process $PID has ended" <<<"$errors" && LOST=$((LOST + 1)) ;;
    *) return 1 ;;
    esac
}

target_killed() { LOST=0 AFTER=0 && at_commands "$1" target_killed_at "${@:2}" && [ "$LOST" -gt 0 ]; }

# Of SIGUSR1.
handler_is_over() { grep -q '^SigBlk:.*[014589cd]..$' "/proc/$PID/status"; }

# target_diverted SAME FIRST LAST: it gets SIGUSR1 right after each of these commands, and its handler keeps it from coming to
# our code: by longjmp, or for a second. The hijack goes on from another stop; $RETRIED counts.
target_diverted() {
    local n
    RETRIED=0 SOAK_DONE=0
    snapshot before
    for ((n = $2; n <= $3; n++)); do
        wait_until is_blocked "$PID" || return 1
        expect 0 env HIJACK_FAULT_TARGET="$n:$PID:10" "${AS[@]}" "$GDB_HIJACK" -v "$PID" || complain "command $n" || return 1
        [ "$(grep -c "> [0-9]*-target-attach" <<<"$errors")" -eq 1 ] || RETRIED=$((RETRIED + 1))
        wait_until handler_is_over || complain "command $n" || return 1
        release && untraced && "$1" && not mapped && no_shadow || complain "command $n" || return 1
        SOAK_DONE=$((SOAK_DONE + 1))
    done
}

# target_left FIRST LAST, target_late FIRST LAST: and the program has got each signal
target_left() {
    start_target leaver && target_diverted same "$@" && touch "$DIR/stop" && kill -s 10 "$PID" && ends_with 0 &&
        grep -qx "$((SOAK_DONE + 1)) signals" "$DIR/out" && [ "$RETRIED" -gt 0 ]
}
target_late() {
    start_target late && target_diverted same_but_maps "$@" && finish && grep -qx "$SOAK_DONE signals" "$DIR/out" &&
        [ "$RETRIED" -gt 0 ]
}

# --- a release ----------------------------------------------------------------------------------------------------------

# as_said: the hijack has gone, and so says the release; or it stands, and works
as_said() {
    if mapped; then
        not grep -q "everything was undone" <<<"$errors" && untraced && checkpoint
    else
        grep -q "everything was undone" <<<"$errors" && unharmed
    fi
}

release_gdb_killed_at() { # VARIABLE N
    mapped || hijack || return 1
    attempt_to release "$1=$2"
    [ "$status" -ne 0 ] || { unharmed && return 100; }
    as_said
}

release_gdb_killed() { # VARIABLE FIRST
    snapshot before && at_commands "$2" release_gdb_killed_at "$1" && finish
}

release_self_killed_at() { # VARIABLE N
    mapped || hijack || return 1
    attempt_to release "$1=$2"
    [ "$status" -ne 0 ] || { unharmed && return 100; }
    [ "$status" -eq 137 ] && wait_until untraced 2>/dev/null && same_but_our_own && taken_away
}

release_self_killed() { # VARIABLE FIRST
    snapshot before && at_commands "$2" release_self_killed_at "$1" && finish
}
