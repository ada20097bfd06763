#!/bin/bash
# usage: soak-redis.sh [ROUNDS]   redis-server under the load of eight clients leaves and comes back ROUNDS (20) times.
set -u
# shellcheck source=scripts/soak.bash
. "$(dirname "$0")/soak.bash"
# shellcheck source=tests/redis.bash
. "$TESTS/redis.bash"

rounds_of_redis() {
    redis_begins && hijack || return 1
    for ((SOAK_DONE = 0; SOAK_DONE < $1; SOAK_DONE++)); do
        redis_leaves_and_comes || return 1
    done
    redis_ends
}

soak redis-server rounds_of_redis "${1:-20}"
soak_end
