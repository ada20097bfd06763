#!/bin/bash
# usage: soak-running.sh [ROUNDS [TARGET...]]   programs that run: ROUNDS (200) hijacks, checkpoints, releases of each. A
# TARGET may have arguments ("registers amx"). WHO=root: root's programs.
set -u
# shellcheck source=scripts/soak.bash
. "$(dirname "$0")/soak.bash"

rounds_of_target() {
    # shellcheck disable=SC2086 # a name and its arguments
    start_target $1 && rounds "$count" same_but_maps_and_mask && finish
}

count=${1:-200}
shift $(($# ? 1 : 0))
if [ $# = 0 ]; then
    set -- registers redzone handlers ticker childless
    grep -qw amx_tile /proc/cpuinfo && set -- "$@" "registers amx"
fi
for target; do
    soak "$target" rounds_of_target "$target"
done
soak_end
