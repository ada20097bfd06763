# shellcheck shell=bash
# remote.bash - a program goes from home to another host (away.bash) and back, with remote I/O while it is away.
#
# The flow is: `away_or_skip`, `away_begin` once a file, `away_use`, `start...`, `hijack`, then legs: `leave_home`, `go_away`, `leave_away`,
# `go_home`. Each leaves $MAIN and $PID as lib.bash's `restart` does. Needs lib.bash and away.bash.

away_or_skip() { [ -n "${AWAY_BASE:-}" ] || skip "no namespaces for this user"; }

# away_begin: the other host's root, for all tests of a file; away_end removes it
away_begin() {
    local DIR PROGRAMS=''
    WHO=${WHO:-$(ordinary_user)} && find_programs && away_possible || return 0
    DIR=$(mktemp -d "${TMPDIR:-/tmp}/hijack-away.XXXXXX") && chown "$WHO" "$DIR" && chmod 755 "$DIR" || return 1
    export AWAY_BASE=$DIR
    away_root
    [ -z "$PROGRAMS" ] || rm -rf "$PROGRAMS"
}

away_end() { [ -z "${AWAY_BASE:-}" ] || rm -rf "$AWAY_BASE"; }

# For a test. Of home there is nothing there but the directory with the shadow's socket.
# shellcheck disable=SC2034 # of away.bash
away_use() { AWAY=$AWAY_BASE/away.root AWAY_HOME=$AWAY_BASE/away.root/home AWAY_BINDS=(); }

# hijack_for_away: $PID is hijacked, and where its shadow listens will be seen there
hijack_for_away() {
    local socket
    # shellcheck disable=SC2154 # of expect()
    hijack && expect 0 gdb_hijack status "$PID" --json && socket=$(json "$output" "first(d, 'socket')") || return 1
    # shellcheck disable=SC2034
    AWAY_BINDS=("${socket%/*}")
}

gone_away() {
    if [ "$PID" = "$MAIN" ]; then ends_with "$STATUS_CHECKPOINTED"; else wait_until is_gone "$PID"; fi
}

leave_home() { checkpoint --portable --exit && gone_away; }
go_away() { away_restart --remote-io; }

# The image is written there, and brought home.
leave_away() {
    expect 0 gdb_hijack checkpoint "$PID" -o /home/job.ckpt --exit || return 1
    ends_with "$STATUS_CHECKPOINTED" && as cp "$AWAY_HOME/job.ckpt" "$DIR/job.ckpt"
}

go_home() { restart_ready; }

# away_and_end NAME [FROM TO]: of programs.bash: hijacked at a moment of its life, and restarted away, where it ends; the outcome
# must be the undisturbed one.
away_and_end() { at_a_moment away_and_end_once "$1" "${2:-0}" "${3:-100}"; }

away_and_end_once() {
    program_inputs "$1" && start_program "${COMMAND[@]}" && moment_of_program "$2" "$3" || return 1
    order hijack_for_away && order leave_home || return
    go_away && ends_with 0 || return 1
    [ "$(outcome)" = "$UNDISTURBED" ] || complain "$1: another outcome than undisturbed"
}

# there_and_back TIMES [BETWEEN...]: that often; BETWEEN after each arrival
there_and_back() {
    local n
    for ((n = 0; n < $1; n++)); do
        { leave_home && go_away && "${@:2}" && leave_away && go_home && "${@:2}"; } ||
            complain "in round $n: $(cat "$DIR/err")" || return 1
    done
}
