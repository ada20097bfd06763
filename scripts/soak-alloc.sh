#!/bin/bash
# usage: soak-alloc.sh [ROUNDS]   ROUNDS (1000) hijacks and releases of a program that does nothing but malloc, free and printf.
# WHO=root: root's programs.
set -u
# shellcheck source=scripts/soak.bash
. "$(dirname "$0")/soak.bash"

round() { hijack && release && untraced && same_but_maps; }

hijacks_and_releases() {
    start_target alloc "$DIR/lines" && rounds "$count" && finish
}

count=${1:-1000}
HIJACK_OPTIONS=("--loader=${2:-map}")
soak alloc hijacks_and_releases
soak_end
