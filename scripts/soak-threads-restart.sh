#!/bin/bash
# usage: soak-threads-restart.sh [ROUNDS [TARGET...]]   programs with threads: each is hijacked, then ROUNDS (200) times
# checkpointed, killed and restarted at a random moment, and checks itself in the end. Then 1000 threads, with their times.
# WHO=root: root's programs.
set -u
# shellcheck source=scripts/soak.bash
. "$(dirname "$0")/soak.bash"

now() { echo "${EPOCHREALTIME/./}"; }

# Every second image is of a program that goes on for a while before it is killed.
generation() {
    random_moment 50
    checkpoint --json || return 1
    stood+=("$(json "$output" "d['still_ms']")")
    [ $((SOAK_DONE % 2)) = 0 ] || random_moment 50
    kill -KILL "$PID" && wait_until is_gone "$PID" || return 1
    wait "$MAIN" 2>/dev/null
    local begun
    begun=$(now)
    restart_ready --rollback-files || return 1
    took+=("$(($(now) - begun))")
}

generations() {
    # shellcheck disable=SC2086 # a name and its arguments
    start_target $1 && hijack || return 1
    while [ "$SOAK_DONE" -lt "$2" ]; do
        generation || { complain "in round $((SOAK_DONE + 1))"; return 1; }
        SOAK_DONE=$((SOAK_DONE + 1))
    done
    finish
}

# figures DIVISOR VALUE...: smallest, median, largest
figures() {
    local divisor=$1
    shift
    printf '%s\n' "$@" | sort -n | awk -v d="$divisor" '{ x[NR] = $1 / d } END { printf "%.1f %.1f %.1f\n", x[1], x[int((NR + 1) / 2)], x[NR] }'
}

soak_target() {
    stood=() took=()
    soak "$1" generations "$1" "$2" 2>/tmp/soak.$$ || true
    grep -v Killed /tmp/soak.$$ >&2
    rm -f /tmp/soak.$$
    [ ${#took[@]} = 0 ] || echo "  ms (smallest, median, largest): stood still for $(figures 1 "${stood[@]}"); restart $(figures 1000 "${took[@]}")"
}

count=${1:-200}
shift $(($# ? 1 : 0))
if [ $# -gt 0 ]; then
    for target; do soak_target "$target" "$count"; done
else
    for target in threads sync storm "storm 8" musl/threads musl/sync musl/storm; do soak_target "$target" "$count"; done
    soak_target "threads 1000" 5
fi
soak_end
