#!/bin/bash
# usage: soak-blocked.sh [ROUNDS [CALL...]]   each call: ROUNDS (200) hijacks, checkpoints, releases of one that blocks in it.
# WHO=root: root's programs.
set -u
# shellcheck source=scripts/soak.bash
. "$(dirname "$0")/soak.bash"

rounds_of_call() {
    start_blocked "$1" && rounds "$count" same && finish
}

count=${1:-200}
shift $(($# ? 1 : 0))
[ $# -gt 0 ] || set -- read nanosleep clock_nanosleep poll ppoll select pselect epoll_wait futex semtimedop sigtimedwait \
    recv accept pause sigsuspend
for call; do
    soak "$call" rounds_of_call "$call"
done
# Its child refuses it a checkpoint: hijack and release only.
round() { hijack && release && untraced && same; }
soak "wait4 (no ckpt)" rounds_of_call wait4
soak_end
