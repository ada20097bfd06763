#!/bin/bash
# usage: soak-cut.sh [CUTS [SEED]]   programs with remote I/O whose connections to the shadow are cut at CUTS (1000) places each:
# small frames, large ones, the door's as well, musl, with CUTS / 5 checkpoints meanwhile, and with CUTS / 50 times that the
# program leaves and comes back. No record may be lost, doubled or reordered. WHO=root: root's programs.
set -u
# shellcheck source=scripts/soak.bash
. "$(dirname "$0")/soak.bash"
# shellcheck source=tests/cuts.bash
. "$(dirname "$0")/../tests/cuts.bash"

DEADLINE=3600

cuts_done_or_gone() { cuts_done || is_gone "$PID"; }

# cut_records TARGET CHECKPOINTS MOST DOOR: and the figures
cut_records() {
    start_records "$1" || return 1
    cuts_set "$seed" "$cuts" "$3" "$4"
    for ((n = 0; n < $2; n++)); do
        random_moment 900
        checkpoint || return 1
    done
    wait_until cuts_done_or_gone
    figures
}

# leave_records TIMES MOST DOOR: it comes back with remote I/O and at home by turns
leave_records() {
    start_records records || return 1
    cuts_set "$seed" 1000000 "$2" "$3"
    for ((n = 0; n < $1; n++)); do
        random_moment 300
        checkpoint_exit || return 1
        if ((n % 2)); then restart_ready --remote-io || return 1; else
            restart_ready && random_moment 100 && expect 0 gdb_hijack -q --remote-io "$PID" || return 1
        fi
    done
    cuts_set "$seed" 0 1 0
    figures
}

figures() {
    finish || return 1
    read -r requests replies unread unanswered _ <<<"$(cuts_made)"
    # shellcheck disable=SC2034 # printed by soak
    SOAK_DONE=$((requests + replies + unread + unanswered))
    echo "  requests cut: $requests, replies: $replies; frames of the door lost: $unread, answers: $unanswered; $(head -n 1 "$DIR/out")"
}

cuts=${1:-1000}
seed=${2:-$RANDOM}
echo "seed $seed"
soak "small frames" cut_records records 0 3000 0
soak "large frames" cut_records records 0 600000 0
soak "the door too" cut_records records 0 20000 3
soak "musl" cut_records musl/records 0 20000 3
soak "checkpoints" cut_records records $((cuts / 5)) 100000 5
soak "away and back" leave_records $((cuts / 50)) 100000 5
soak_end
