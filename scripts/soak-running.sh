#!/bin/bash
# usage: soak-running.sh [ROUNDS [TARGET...]]   programs that run: ROUNDS (200) hijacks, checkpoints, releases of each
set -u
# shellcheck source=scripts/soak.bash
. "$(dirname "$0")/soak.bash"

rounds_of_target() {
    start_target "$@" && rounds "$count" same_but_maps_and_mask && finish
}

count=${1:-200}
shift $(($# ? 1 : 0))
[ $# -gt 0 ] || set -- registers redzone handlers ticker childless
for target; do
    soak "$target" rounds_of_target "$target"
done
soak_end
