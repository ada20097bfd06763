#!/usr/bin/env bats
# The image is a core file: gdb shows the program where it was, readelf and eu-readelf have nothing to complain about.

load lib

setup() {
    work_begin
    start_blocked nanosleep
    snapshot before
    gdb -nx -batch -p "$PID" -ex "gcore $DIR/gdb.core" >/dev/null 2>&1 3>&-
    hijack
    checkpoint
}
teardown() { work_end; }

core_of_gdb() { gdb -nx -batch -iex 'set debuginfod enabled off' "$TARGETS/blocked" "$1" -ex "$2" 2>&1 3>&-; }

@test "gdb PROGRAM IMAGE: the program's own backtrace, no warning" {
    trace=$(core_of_gdb "$DIR/job.ckpt" backtrace)
    grep -q 'call_nanosleep' <<<"$trace" || complain "$trace"
    grep -q '#[0-9]* .*main (' <<<"$trace" || complain "$trace"
    not grep -qi 'warning\|corrupt\|cannot access' <<<"$trace" || complain "$trace"
}

@test "gdb: shared libraries, registers, a variable" {
    not grep -q 'libhijack.*No' <<<"$(core_of_gdb "$DIR/job.ckpt" 'info sharedlibrary')"
    grep -q 'libc.so.6' <<<"$(core_of_gdb "$DIR/job.ckpt" 'info sharedlibrary')"
    grep -q '^rip ' <<<"$(core_of_gdb "$DIR/job.ckpt" 'info registers rip')"
    [ "$(core_of_gdb "$DIR/job.ckpt" 'print blocked' | sed -n 's/^\$1 = //p')" = 0 ]
}

@test "eu-readelf -a is silent" {
    errors=$(eu-readelf -a "$DIR/job.ckpt" 2>&1 >/dev/null)
    [ -z "$errors" ] || complain "$errors"
}

@test "readelf -a gives no warning that it does not give on gdb's own core" {
    warnings "$DIR/job.ckpt" >"$DIR/ours"
    warnings "$DIR/gdb.core" >"$DIR/gdbs"
    [ -z "$(comm -23 "$DIR/ours" "$DIR/gdbs")" ] || complain "$(cat "$DIR/ours")"
}

warnings() { readelf -a "$1" 2>&1 >/dev/null | sed 's/0x[0-9a-f]*/ADDRESS/g; s/[0-9]\+/N/g' | sort -u; }

@test "an image is a credential: mode 0600" {
    [ "$(stat -c '%a %U' "$DIR/job.ckpt")" = "600 $WHO" ]
}

@test "its size: the touched private memory, 2 percent and 512 KB at most" {
    touched=$(awk '/^(Private_Dirty|Swap|Private_Hugetlb):/ { kb += $2 } END { print kb * 1024 }' "/proc/$PID/smaps")
    size=$(($(stat -c '%b * %B' "$DIR/job.ckpt")))
    [ "$size" -le $((touched * 102 / 100 + 512 * 1024)) ] || complain "$size bytes for $touched"
}
