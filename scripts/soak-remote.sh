#!/bin/bash
# usage: soak-remote.sh [MOMENTS [PROGRAM...]]   real programs with remote I/O, at MOMENTS (20) random moments each; every outcome
# must be the undisturbed one. Each program is taken three ways: --remote-io from the hijack on; hijacked, checkpointed and
# restarted away (tests/away.bash), where it ends; from home to away and back until it ends. SEED makes the moments the same
# again. WHO=root: root's programs.
set -u
# shellcheck source=scripts/soak.bash
. "$(dirname "$0")/soak.bash"
# shellcheck source=tests/away.bash
. "$TESTS/away.bash"
# shellcheck source=tests/remote.bash
. "$TESTS/remote.bash"
# shellcheck source=tests/programs.bash
. "$TESTS/programs.bash"
# shellcheck source=tests/programs_threads.bash
. "$TESTS/programs_threads.bash"

is_undisturbed() { [ "$(outcome)" = "$UNDISTURBED" ] || complain "another outcome than undisturbed"; }

begun() {
    program_inputs "$1" && start_program "${COMMAND[@]}" && moment_of_program 0 100
}

remote_from_now_on() {
    begun "$1" && order expect 0 gdb_hijack hijack --remote-io "$PID" || return
    ends_with 0 && is_undisturbed
}

restarted_away() { away_and_end_once "$1" 0 100; }

# The legs are as long as chance wants; the program ends on one of them.
to_and_fro() {
    begun "$1" && order hijack_for_away && order leave_home || return
    while go_away && leg leave_away && go_home && leg leave_home; do :; done
    is_gone "$PID" || complain "$(cat "$DIR/complaint" "$DIR/err")" || return 1
    ends_with 0 && is_undisturbed
}

# leg LEAVE: some time there, and away; fails when the program has come to its end, or cannot leave
leg() {
    legs=$((legs + 1))
    random_moment $((TOOK < 2000 ? TOOK / 4 + 50 : 500))
    is_alive "$PID" && "$1" 2>"$DIR/complaint"
}

moments_of() {
    legs=0
    program_prepare "$2" || return 1
    for ((SOAK_DONE = 0; SOAK_DONE < count; SOAK_DONE++)); do
        at_a_moment "$1" "$2" || return 1
    done
}

count=${1:-20}
shift $(($# ? 1 : 0))
[ $# -gt 0 ] || set -- "${PROGRAMS_ALL[@]}" "${PROGRAMS_THREADS[@]}"
RANDOM=${SEED:=$$}
echo "seed $SEED"
away_begin && away_use
[ -n "${AWAY_BASE:-}" ] || complain "no namespaces for this user" || exit 1
trap away_end EXIT
for program; do
    for way in remote_from_now_on restarted_away to_and_fro; do
        soak "$program $way" moments_of "$way" "$program"
        [ "$way" != to_and_fro ] || echo "   $legs legs"
    done
done
soak_end
