# shellcheck shell=bash
# shellcheck disable=SC2034 # for lib.bash
# hosts.bash - a host that was started at another time: a time namespace on this machine (time_namespaces(7)).
#
# The flow is: `host_possible || skip`, `host_begin SECONDS`, then lib.bash's `restart` runs there, until `host_end`.
# Needs lib.bash. $HOST is a process of that host, which the test ends by `work_end`. An ordinary user's is a user namespace,
# too, in which he is nobody special.

# host_options SECONDS: for unshare(1): CLOCK_MONOTONIC and CLOCK_BOOTTIME there are $1 ahead, behind if negative
host_options() { echo --time --monotonic "$1" --boottime "$1"; }

# What unshare(1) and nsenter(1) need beyond time.
host_as() { [ "$WHO" = root ] || echo "$1"; }

# shellcheck disable=SC2046 # words
host_possible() { as unshare $(host_as --map-current-user) $(host_options 1000) --fork true 2>/dev/null; }

# As far back as it goes: its clocks show a few seconds.
host_age() {
    local up
    up=$("$PYTHON" -c 'import time; print(int(min(time.clock_gettime(c) for c in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME))))')
    echo $((2 - up))
}

# shellcheck disable=SC2046
host_begin() {
    as_prefix
    as rm -f "$DIR/host"
    # shellcheck disable=SC2016
    (close_inherited && cd "$DIR" && exec "${AS[@]}" unshare $(host_as --map-current-user) $(host_options "$1") \
        --fork --kill-child sh -c 'echo $$ >host.new; mv host.new host; exec sleep 1000') 3>&- &
    started $!
    wait_until test -e "$DIR/host" || return 1
    HOST=$(cat "$DIR/host")
    # shellcheck disable=SC2207 # one word or none
    UNDER=(nsenter --target "$HOST" $(host_as --user) --time --preserve-credentials --)
}

host_end() { UNDER=(); }

# namespace PID KIND
namespace() { readlink "/proc/$1/ns/$2"; }

# host_offset PID: by how many seconds its CLOCK_MONOTONIC is ahead of this machine's
host_offset() { awk '$1 == "monotonic" { print $2 }' "/proc/$1/timens_offsets"; }
