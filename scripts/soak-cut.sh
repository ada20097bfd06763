#!/bin/bash
# usage: soak-cut.sh [CUTS [SEED]]   programs with remote I/O whose connections to the shadow are cut at CUTS (1000) places each:
# small frames, large ones, the door's as well, musl, and with checkpoints meanwhile. No record may be lost, doubled or reordered.
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
soak "checkpoints" cut_records records $((cuts / 20)) 100000 5
soak_end
