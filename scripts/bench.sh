#!/bin/bash
# usage: bench.sh [MEBIBYTES]    how fast: ratios within one run, medians of alternating measurements; nothing is asserted
#
#   hijack      of a tiny program, of python3, of node, of one with a 98 MB executable, against a bare gdb that
#               attaches and detaches with the same fast options
#   checkpoint  of MEBIBYTES (1024) of touched memory, against write(2) and fsync of as many bytes into the same directory
#   restart     of the same, against read(2) of as many bytes into fresh memory; and with --map, of little and much memory
#   image       its size against the touched private memory
# BUILD names the build directory.
set -eu
# shellcheck source=tests/lib.bash
. "$(dirname "$0")/../tests/lib.bash"
rounds=${ROUNDS:-5}
megabytes=${1:-1024}

work_begin
trap work_end EXIT

now_us() { echo "${EPOCHREALTIME/./}"; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
ms() { awk -v us="$1" 'BEGIN { printf "%.1f", us / 1000 }'; }

# timed COMMAND...: microseconds
timed() {
    local begun
    begun=$(now_us)
    "$@" >/dev/null || exit 1
    echo $(($(now_us) - begun))
}

bare_gdb() {
    as gdb -nx -q -batch -iex 'set debuginfod enabled off' -iex 'set auto-load no' \
        -iex 'set debug-file-directory /nonexistent' -iex 'set libthread-db-search-path' -iex 'set auto-solib-add off' \
        -iex 'set exec-file-mismatch off' -ex "attach $PID" -ex detach "$TARGETS/childless" 2>&1
}

# A program whose executable is of 98 MB, a third of them symbols.
make_large() {
    gcc -O1 -x c -c -o "$DIR/main.o" - <<<'#include <unistd.h>
int main(void) { for (;;) pause(); }'
    awk 'BEGIN { for (i = 0; i < 600000; i++) printf "some_rather_long_function_name_%d: ret\n", i
        print ".data\n.fill 64000000, 1, 7\n.section .note.GNU-stack,\"\"" }' | gcc -x assembler -c -o "$DIR/large.o" -
    gcc -o "$DIR/large" "$DIR/main.o" "$DIR/large.o"
    rm "$DIR"/*.o
}

bench_hijack() {
    local name=$1 n
    : >"$DIR/bare" && : >"$DIR/ours" && : >"$DIR/still"
    for ((n = 0; n < rounds; n++)); do
        timed bare_gdb >>"$DIR/bare"
        timed gdb_hijack -q "$PID" >>"$DIR/ours"
        release
        expect 0 gdb_hijack --json "$PID"
        json "$output" "d['still_ms']" >>"$DIR/still"
        release
    done
    printf 'hijack     %-22s %7s ms  bare gdb %7s ms  ratio %s  stood still %s ms\n' "$name" \
        "$(ms "$(median <"$DIR/ours")")" "$(ms "$(median <"$DIR/bare")")" \
        "$(ratio "$(median <"$DIR/ours")" "$(median <"$DIR/bare")")" "$(median <"$DIR/still")"
}

# plain write|read FILE: microseconds for as many bytes as FILE has, from or to touched or fresh anonymous memory
plain() {
    "$PYTHON" - "$@" <<'END'
import mmap, os, sys, time
what, name = sys.argv[1:]
size = os.path.getsize(name) if what == "read" else os.stat(name).st_blocks * 512
memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
if what == "write":
    for at in range(0, size, 4096):
        memory[at] = 7
    begun = time.monotonic_ns()
    fd = os.open(name + ".plain", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    view, at = memoryview(memory), 0
    while at < size:
        at += os.write(fd, view[at:at + (1 << 26)])
    os.fsync(fd)
    print((time.monotonic_ns() - begun) // 1000)
    os.unlink(name + ".plain")
else:
    begun = time.monotonic_ns()
    with open(name, "rb", 0) as file:
        view, at = memoryview(memory), 0
        while at < size:
            at += file.readinto(view[at:at + (1 << 26)])
    print((time.monotonic_ns() - begun) // 1000)
END
}

# The old image is removed first, as the plain file is: truncating 1 GiB is no part of either.
one_checkpoint() {
    rm -f "$DIR/job.ckpt"
    checkpoint
}

bench_checkpoint() {
    local n
    : >"$DIR/bare" && : >"$DIR/ours"
    one_checkpoint # the first writes touch fresh memory of the machine: discarded
    plain write "$DIR/job.ckpt" >/dev/null
    for ((n = 0; n < rounds; n++)); do
        timed one_checkpoint >>"$DIR/ours"
        plain write "$DIR/job.ckpt" >>"$DIR/bare"
    done
    printf 'checkpoint %-22s %7s ms  write(2) %7s ms  ratio %s\n' "$megabytes MiB" "$(ms "$(median <"$DIR/ours")")" \
        "$(ms "$(median <"$DIR/bare")")" "$(ratio "$(median <"$DIR/ours")" "$(median <"$DIR/bare")")"
}

bench_size() {
    local size touched
    size=$(stat -c '%b * %B' "$DIR/job.ckpt")
    touched=$(awk '/^(Private_Dirty|Swap):/ { kb += $2 } END { print kb * 1024 }' "/proc/$PID/smaps")
    printf 'image      %-22s %7d KB  touched %8d KB  ratio %s\n' "$megabytes MiB" $((size / 1024)) $((touched / 1024)) \
        "$(ratio $((size)) "$touched")"
}

# one_restart OPTION...: microseconds until the program is itself again; the look takes some 3 ms
one_restart() {
    local begun
    begun=$(now_us)
    restart "$@"
    until is_restarted "$MAIN"; do is_alive "$MAIN" || return 1; done
    echo $(($(now_us) - begun)) >>"$DIR/ours"
    kill -KILL "$MAIN"
    wait "$MAIN" 2>/dev/null || true
}

bench_restart() {
    local n
    : >"$DIR/bare" && : >"$DIR/ours"
    for ((n = 0; n < rounds; n++)); do
        one_restart "$@" || { printf 'restart    %-22s failed: %s\n' "$size_of $*" "$(head -n 1 "$DIR/err")" && return; }
        plain read "$DIR/job.ckpt" >>"$DIR/bare"
    done
    printf 'restart    %-22s %7s ms  read(2)  %7s ms  ratio %s\n' "$size_of $*" "$(ms "$(median <"$DIR/ours")")" \
        "$(ms "$(median <"$DIR/bare")")" "$(ratio "$(median <"$DIR/ours")" "$(median <"$DIR/bare")")"
}

end_program() {
    kill -KILL "$PID"
    wait "$MAIN" 2>/dev/null || true
}

start_target lots 1
bench_hijack "tiny ($(($(stat -Lc %s "/proc/$PID/exe") / 1024)) KB)"
end_program
start_program "$PYTHON" -c 'import time; time.sleep(100000)'
wait_until is_blocked "$PID"
bench_hijack "python3 ($(($(stat -Lc %s "/proc/$PID/exe") / 1024)) KB)"
end_program
start_program node -e 'setInterval(() => {}, 1e9)'
wait_until is_blocked "$PID"
bench_hijack "node ($(($(stat -Lc %s "/proc/$PID/exe") / 1024)) KB)"
end_program
make_large
start_program "$DIR/large"
wait_until is_blocked "$PID"
bench_hijack "large ($(($(stat -Lc %s "/proc/$PID/exe") / 1024)) KB)"
end_program

for size_of in "$megabytes MiB" "1 MiB"; do
    start_target lots "${size_of% MiB}"
    hijack
    if [ "$size_of" != "1 MiB" ]; then
        bench_checkpoint
        bench_size
    else
        one_checkpoint
    fi
    end_program
    bench_restart
    bench_restart --map
done
