# shellcheck shell=bash
# soak.bash - what the soak scripts share: the tests' library, one line of figures for each subject, a status at the end.
# The tests do the same with few rounds; these take the counts as arguments. BUILD names the build directory; WHO whose
# programs they are: an ordinary user's, which is also made when root runs the script, or root's (WHO=root).

# shellcheck source=tests/lib.bash
. "$(dirname "${BASH_SOURCE[0]}")/../tests/lib.bash"

soak_failures=0

# soak NAME FUNCTION ARGUMENT...: runs it in a directory of its own and prints figures: done, failed, seconds
soak() {
    local name=$1 begun=$SECONDS verdict=ok
    shift
    work_begin || exit 1
    SOAK_DONE=0
    "$@" || { verdict=FAILED && soak_failures=$((soak_failures + 1)); }
    work_end
    printf '%-18s %5d rounds  %4d s  %s\n' "$name" "$SOAK_DONE" $((SECONDS - begun)) "$verdict"
}

soak_end() { [ "$soak_failures" -eq 0 ] || complain "$soak_failures failed"; }
