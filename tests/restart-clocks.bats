#!/usr/bin/env bats
# Clocks that count from the boot never go backwards: a restart on a host that was started later shifts them.

load lib
load hosts
load away
load remote

setup_file() { away_begin; }
teardown_file() { away_end; }
setup() { work_begin && away_use; }
teardown() { work_end; }

host_or_skip() { host_possible || skip "no time namespaces for this user"; }
kill_it() { kill -KILL "$PID" && wait_until is_gone "$PID"; }
be_root() { [ "$(id -u)" = 0 ] || skip "not root" && WHO=root && chown root "$DIR"; }

image_of() {
    start_target "$@"
    hijack
    checkpoint
    kill_it
}

# It goes on from where it was, give or take what has passed since: 600 seconds at most, on any machine that runs tests.
goes_on() {
    local offset
    offset=$(host_offset "$PID")
    [[ $offset -le 2 && $offset -ge -600 ]] || complain "its clocks are $offset s ahead of this machine's"
}

is_shifted() { [ "$(namespace "$PID" time)" != "$(namespace "$1" time)" ] || complain "no time namespace of its own"; }
is_here() {
    local kind
    for kind in ${2:-time user}; do
        [ "$(namespace "$PID" "$kind")" = "$(namespace "$1" "$kind")" ] || complain "another $kind namespace" || return 1
    done
}

# From host to host, each a later image's; the program itself finds a clock that goes back, and a wait that does not end.
generations() {
    image_of "$@"
    host_begin "$(host_age)"
    restart_ready
    is_shifted "$HOST" && goes_on
    checkpoint # by who is not there
    kill_it
    host_begin "$(host_age)"
    restart_ready
    is_shifted "$HOST" && goes_on
    release # the next shadow is made there
    hijack
    expect 0 gdb_hijack status "$PID"
    checkpoint_exit
    restart_ready
    is_shifted "$HOST" && goes_on
    checkpoint_exit
    host_end
    restart_ready
    is_here $$
    finish
}

@test "a younger host: clocks go on, for one image after the other, and at home" {
    host_or_skip
    for libc in '' musl/; do generations "${libc}clocks"; done
}

@test "... as root" {
    be_root
    host_or_skip
    generations clocks
    image_of alloc
    host_begin "$(host_age)"
    restart_ready
    is_shifted "$HOST" && is_here "$HOST" user
    finish
}

# Each lands in another way to wait for a moment.
@test "a program that waits for a moment by such a clock, five times" {
    host_or_skip
    start_target clocks waits
    for ((n = 0; n < 5; n++)); do
        hijack
        random_moment 500
        checkpoint_exit
        host_begin "$(host_age)"
        restart_ready
        wait_until is_blocked "$PID"
        is_shifted "$HOST" && goes_on
        release
    done
    finish
}

@test "with --accept-clocks they go back, and the program notices" {
    host_or_skip
    image_of clocks
    host_begin "$(host_age)"
    restart --accept-clocks
    ends_with 1
    grep -q 'clock 1 goes back' "$DIR/err"
}

@test "an older host: nothing is shifted" {
    host_or_skip
    image_of clocks
    host_begin 100000
    restart_ready
    is_here "$HOST"
    checkpoint
    kill_it
    host_end # and home is younger than that
    restart_ready
    is_shifted $$
    [ "$(host_offset "$PID")" -ge 99000 ]
    finish
}

same_status() {
    local before=$1 after=$2
    diff <(grep -E '^(Uid|Gid|CapInh|CapPrm|CapEff|CapAmb):' <<<"$before") <(grep -E '^(Uid|Gid|CapInh|CapPrm|CapEff|CapAmb):' <<<"$after") >&2
}

@test "an ordinary user's program has the same ids and capabilities, and says what else has changed" {
    host_or_skip
    start_target alloc
    before=$(cat "/proc/$PID/status")
    hijack
    checkpoint
    kill_it
    host_begin "$(host_age)"
    restart_ready
    [ "$(namespace "$PID" user)" != "$(namespace "$HOST" user)" ]
    same_status "$before" "$(cat "/proc/$PID/status")"
    [ "$(stat -c %U "/proc/$PID")" = "$WHO" ]
    grep -q 'in a user namespace of its own: files of other users' "$DIR/err"
    finish
}

# limited_restart FILE OPTION...: where no more namespaces of that kind can be made
# shellcheck disable=SC2016,SC2046
limited_restart() {
    local file=$1
    shift
    as env -C "$DIR" unshare --user --map-current-user --keep-caps $(host_options "$(host_age)") --fork --kill-child \
        sh -c 'echo 0 >"/proc/sys/user/$0" && exec setpriv --ambient-caps -all --inh-caps -all -- "$@"' "$file" \
        "$GDB_HIJACK" restart "$@" </dev/null
}

@test "where namespaces cannot be had: refused, with what to do" {
    host_or_skip
    image_of alloc
    for file in max_user_namespaces max_time_namespaces; do
        expect 1 limited_restart $file job.ckpt
        [[ $errors == *"clocks are ahead of this machine's, CLOCK_MONOTONIC by "*"no more namespaces are allowed"*--accept-clocks* ]]
    done
    touch "$DIR/stop"
    expect 0 limited_restart max_user_namespaces --accept-clocks job.ckpt
}

# The shadow is at home, and so are the timerfds.
waits_away() {
    away_or_skip
    host_or_skip
    # shellcheck disable=SC2034 # of away.bash
    read -ra AWAY_CLOCKS < <(host_options "$1")
    start_target clocks waits
    hijack_for_away
    there_and_back 5 wait_until has_waited
    finish
}

# By the descriptors that it has at home: one is a timerfd, in two ways of all.
has_waited() { is_gone "$PID" || is_blocked "$PID"; }

@test "restart --remote-io on a younger host, and home, five times" { waits_away "$(host_age)"; }
@test "restart --remote-io on an older host, and home, five times" { waits_away 100000; }
