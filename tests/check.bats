#!/usr/bin/env bats
# What `make check` says: the details of failing tests, last before prove's own summary (scripts/ShowFailures.pm).

load lib

setup() { work_begin; }
teardown() { work_end; }

@test "a failing test's details stand before the summary, a passing one's nowhere; the last line is prove's" {
    cat >"$DIR/some.tap" <<'END'
ok 1 one that passes
# all is well
not ok 2 one that fails
# this is why
1..2
END
    status=0
    said=$(cd "$TESTS/.." && perl -Iscripts -S prove --formatter ShowFailures -e cat "$DIR/some.tap" 2>&1 3>&-) || status=$?
    [ "$status" -eq 1 ]
    [[ $said == *"one that fails"*"this is why"*"Test Summary Report"* ]] || complain "$said"
    [[ $said != *"all is well"* ]]
    [ "$(tail -n 1 <<<"$said")" = "Result: FAIL" ]
}
