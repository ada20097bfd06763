#!/bin/bash
# usage: soak-threads.sh [ROUNDS [TARGET...]]   programs with threads: ROUNDS (200) hijacks and releases of each; then how long
# they stood still for the hijack. WHO=root: root's programs.
set -u
# shellcheck source=scripts/soak.bash
. "$(dirname "$0")/soak.bash"

# Threads come and go.
same_but_threads() { same '^map |^Threads:|^SigBlk:'; }

round() { hijack && stood && release && untraced && same_but_threads; }

stood() { still+=("$(json "$output" "d['still_ms']")"); }

# Smallest, median, largest.
figures() { printf '%s\n' "${still[@]}" | sort -n | awk '{ x[NR] = $1 } END { print x[1], x[int((NR + 1) / 2)], x[NR] }'; }

rounds_of_target() {
    # shellcheck disable=SC2086 # a name and its arguments
    start_target $1 && rounds "$count" && finish
}

count=${1:-200}
shift $(($# ? 1 : 0))
[ $# -gt 0 ] || set -- threads_blocked sync storm "storm 8" musl/threads_blocked musl/sync musl/storm
for target; do
    still=()
    soak "$target" rounds_of_target "$target"
    echo "  stood still for (ms; smallest, median, largest): $(figures)"
done
soak_end
