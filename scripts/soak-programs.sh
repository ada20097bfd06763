#!/bin/bash
# usage: soak-programs.sh [MOMENTS [PROGRAM...]]   real programs, at MOMENTS (20) random moments each: hijacked, checkpointed with
# --exit and restarted; hijacked, checkpointed, killed and restarted. The outcome must be the undisturbed one. SEED makes the
# moments the same again. WHO=root: root's programs.
set -u
# shellcheck source=scripts/soak.bash
. "$(dirname "$0")/soak.bash"
# shellcheck source=tests/programs.bash
. "$TESTS/programs.bash"
# shellcheck source=tests/programs_threads.bash
. "$TESTS/programs_threads.bash"

# A data base that its transaction is written to in place cannot be rolled back by cutting it.
killed() { if [ "$1" = sqlite3 ]; then kill_and_restart "$1" 20 50; else kill_and_restart "$1"; fi; }

moments_of() {
    program_prepare "$2" || return 1
    for ((SOAK_DONE = 0; SOAK_DONE < count; SOAK_DONE++)); do
        "$1" "$2" || return 1
    done
}

count=${1:-20}
shift $(($# ? 1 : 0))
[ $# -gt 0 ] || set -- "${PROGRAMS_ALL[@]}" "${PROGRAMS_THREADS[@]}"
RANDOM=${SEED:=$$}
echo "seed $SEED"
for program; do
    soak "$program exit" moments_of exit_and_restart "$program"
    soak "$program killed" moments_of killed "$program"
done
soak_end
