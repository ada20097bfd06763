#!/usr/bin/env bats
# The image is a core file: gdb shows the program where it was, all of its threads, in every generation; readelf and eu-readelf
# have nothing to complain about.

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
    no_more_warnings_than "$DIR/gdb.core"
}

@test "... nor on the kernel's" {
    pattern=$(cat /proc/sys/kernel/core_pattern)
    [[ $pattern != "|"* ]] || skip "cores go to a program here (core_pattern is $pattern)"
    [ "$(ulimit -Hc)" = unlimited ] || skip "no cores: their size is limited to $(ulimit -Hc) blocks"
    ulimit -Sc unlimited
    start_blocked nanosleep
    kill -ABRT "$PID"
    wait_until is_gone "$PID"
    core=$(find "$DIR" -maxdepth 1 -name '*core*' -not -name gdb.core -size +0)
    [ -n "$core" ] || skip "the kernel left no core in the working directory (core_pattern is $pattern)"
    no_more_warnings_than "$core"
}

no_more_warnings_than() { # CORE
    warnings "$DIR/job.ckpt" >"$DIR/ours"
    warnings "$1" >"$DIR/theirs"
    [ -z "$(comm -23 "$DIR/ours" "$DIR/theirs")" ] || complain "$(cat "$DIR/ours")"
}

warnings() { readelf -a "$1" 2>&1 >/dev/null | sed 's/0x[0-9a-f]*/ADDRESS/g; s/[0-9]\+/N/g' | sort -u; }

# --- other images ---------------------------------------------------------------------------------------------------------

# backtraces PROGRAM: of its image, a line for each thread: its id, then functions from the innermost on
backtraces() {
    gdb -nx -batch -iex 'set debuginfod enabled off' "$1" "$DIR/job.ckpt" -ex 'thread apply all backtrace' \
        >"$DIR/gdb.out" 2>&1 3>&- || return 1
    sed -nE 's/^Thread .*LWP ([0-9]+)\).*/\n\1/p; s/^#[0-9]+ +(0x[0-9a-f]+ in )?([^ ]+) .*/\2/p' "$DIR/gdb.out" |
        awk 'BEGIN { RS = ""; FS = "\n" } $1 ~ /^[0-9]+$/ { $1 = $1; print }' | sort -n
}

nothing_wrong() {
    not grep -i 'warning\|corrupt\|cannot access' "$DIR/gdb.out" || return 1
    errors=$(eu-readelf -a "$DIR/job.ckpt" 2>&1 >/dev/null)
    [ -z "$errors" ] || complain "$errors"
}

another() { work_end && work_begin; }

# But for the first, which looks for $STOP now and then.
all_blocked() {
    local task
    for task in "/proc/$PID/task"/*; do
        [ "${task##*/}" = "$PID" ] || is_blocked "$PID/task/${task##*/}" || return 1
    done
}

# Each thread of threads_blocked is in a function for its call, call_NAME, which nothing but run() calls.
@test "a program with threads: each one's backtrace" {
    another
    start_target threads_blocked
    wait_until all_blocked
    hijack
    checkpoint
    backtraces "$TARGETS/threads_blocked" >"$DIR/traces"
    diff <(cut -d ' ' -f 1 "$DIR/traces") <(find "/proc/$PID/task" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n)
    grep -qE "^$PID .*\bmain( |\$)" "$DIR/traces" || complain "$(cat "$DIR/traces")"
    wrong=$(grep -v "^$PID " "$DIR/traces" | grep -vE '^[0-9]+ [^?]*\bcall_[a-z0-9_]+ run start_thread') || true
    [ -z "$wrong" ] || complain "$wrong"
    diff <(grep -o 'call_[a-z0-9_]*' "$DIR/traces" | sort) \
        <(sed -n 's/^static int \(call_[a-z0-9_]*\)(.*/\1/p' "$TESTS/targets/threads_blocked.c" | sort)
    nothing_wrong
    finish
}

@test "the image of a restarted program" {
    backtraces "$TARGETS/blocked" >"$DIR/first"
    checkpoint_exit
    restart_ready
    wait_until is_blocked "$PID"
    checkpoint
    backtraces "$TARGETS/blocked" >"$DIR/second"
    grep -q "^$PID .*clock_nanosleep .*call_nanosleep" "$DIR/second"
    diff <(cut -d ' ' -f 2- "$DIR/first") <(cut -d ' ' -f 2- "$DIR/second")
    nothing_wrong
    no_more_warnings_than "$DIR/gdb.core"
}

# make_tiles: a program that asks for AMX, fills a tile and waits; with -DNONE it only waits
make_tiles() {
    cat >"$DIR/tiles.c" <<'END'
#include <sys/syscall.h>
#include <unistd.h>
static char config[64] __attribute__((aligned(64))) = {[0] = 1, [16] = 64, [48] = 16}, row[16 * 64] = "a tile";
__attribute__((noinline)) static int tiles(void)
{
#ifndef NONE
    if (syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18))
        return 1;
    __asm__ volatile("ldtilecfg %0; tileloadd (%1,%2), %%tmm0" ::"m"(config), "r"(row), "r"(64L) : "memory");
#endif
    return pause();
}
int main(void) { return tiles(); }
END
    gcc -O0 -g "$@" -o "$DIR/tiles" "$DIR/tiles.c"
}

waits_in_tiles() {
    another
    make_tiles "$@"
    start_program "$DIR/tiles"
    wait_until is_blocked "$PID"
    hijack
    checkpoint
    backtraces "$DIR/tiles" >"$DIR/traces"
    grep -qE "^$PID .*pause tiles main" "$DIR/traces" || complain "$(cat "$DIR/traces" "$DIR/gdb.out")"
    nothing_wrong
}

@test "a program that waits" { waits_in_tiles -DNONE; }

@test "... and uses AMX: its state is larger" {
    grep -qw amx_tile /proc/cpuinfo || skip "this CPU has no AMX"
    waits_in_tiles
}

@test "an image is a credential: mode 0600" {
    [ "$(stat -c '%a %U' "$DIR/job.ckpt")" = "600 $WHO" ]
}

@test "its size: the touched private memory, 2 percent and 512 KB at most" {
    touched=$(awk '/^(Private_Dirty|Swap|Private_Hugetlb):/ { kb += $2 } END { print kb * 1024 }' "/proc/$PID/smaps")
    size=$(($(stat -c '%b * %B' "$DIR/job.ckpt")))
    [ "$size" -le $((touched * 102 / 100 + 512 * 1024)) ] || complain "$size bytes for $touched"
}
