#!/usr/bin/env bats
# The story that `make demo` tells, to its end.

load lib

setup() { work_begin; }
teardown() { work_end; }

@test "the demo comes to its good end, as an ordinary user, and leaves nothing" {
    as mkdir "$DIR/scripts" "$DIR/tmp"
    as cp "$TESTS/../scripts/demo.sh" "$DIR/scripts" # the source tree may be closed to that user
    # shellcheck disable=SC2016 # the inner shell expands
    expect 0 as env BUILD="$(dirname "$(readlink -f "$GDB_HIJACK")")" TMPDIR="$DIR/tmp" \
        sh -c '"$0" 2>&1' "$DIR/scripts/demo.sh" # a file of root's could not be opened again by the ordinary user
    [[ $output == *"process "*" is hijacked"*"job.ckpt: "*"byte for byte the same."* ]] || complain "$output"
    if as unshare --user --map-root-user --mount true 2>/dev/null; then
        [[ $output == *"And it has ended there, with the report here: "*", the same again." ]] || complain "$output"
    else
        [[ $output == *"User namespaces are not allowed here"* ]] || complain "$output"
    fi
    [ -z "$(ls -A "$DIR/tmp")" ] || complain "left: $(ls -A "$DIR/tmp")"
}
