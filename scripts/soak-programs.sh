#!/bin/bash
# usage: soak-programs.sh [MOMENTS [PROGRAM...]]   real programs: hijacked, checkpointed with --exit and restarted at MOMENTS
# (20) random moments each; the outcome must be the undisturbed one. SEED makes the moments the same again.
# WHO=root: root's programs.
set -u
# shellcheck source=scripts/soak.bash
. "$(dirname "$0")/soak.bash"
# shellcheck source=tests/programs.bash
. "$TESTS/programs.bash"
# shellcheck source=tests/programs_threads.bash
. "$TESTS/programs_threads.bash"

moments_of() {
    program_prepare "$1" || return 1
    for ((SOAK_DONE = 0; SOAK_DONE < count; SOAK_DONE++)); do
        exit_and_restart "$1" || return 1
    done
}

count=${1:-20}
shift $(($# ? 1 : 0))
[ $# -gt 0 ] || set -- "${PROGRAMS_ALL[@]}" "${PROGRAMS_THREADS[@]}"
RANDOM=${SEED:=$$}
echo "seed $SEED"
for program; do
    soak "$program" moments_of "$program"
done
soak_end
