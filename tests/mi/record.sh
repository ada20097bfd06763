#!/bin/bash
# Records the transcripts *.mi of this folder from the gdb installed here: what gdb writes, byte by byte, in reply to
# the commands below. Run it by hand after a change of gdb and look at the difference; tests/unit/test_mi_transcripts.c
# says what must be found in them, addresses excepted.
#
#   tests/mi/record.sh [NAME...]
# shellcheck disable=SC2016  # $pc and $sp are for gdb
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD
scratch=$(mktemp -d /tmp/mi-record.XXXXXX)
trap 'rm -rf "$scratch"' EXIT

cat > "$scratch/target.c" <<'END'
#include <stdio.h>
#include <time.h>

static int doze(int turn, const char *name)
{
    struct timespec nap = {0, 10000000};

    (void)name;
    return nanosleep(&nap, NULL) + turn;
}

int main(void)
{
    puts("hello from the \"target\"");
    fflush(stdout);
    for (int turn = 0;; turn++)
        doze(turn, "caf\303\251\t");
}
END
gcc -g -O0 -o "$scratch/target" "$scratch/target.c"
cd "$scratch"

# begin NAME: starts gdb, its output into NAME.mi. ask COMMAND: sends it and waits for its result. event CLASS: waits
# for one more async record of that class. end: leaves gdb.
begin() {
    transcript=$here/$1.mi token=0
    : > "$transcript"
    mkfifo "$scratch/in.$1"
    gdb -nx -q --interpreter=mi3 "${@:2}" < "$scratch/in.$1" > "$transcript" 2>/dev/null &
    gdb=$!
    exec 3> "$scratch/in.$1"
    await '^(gdb)'
}
await() { # REGEX [HOW_OFTEN]
    for ((i = 0; i < 1000; i++)); do
        if [ "$(grep -c -- "$1" "$transcript")" -ge "${2:-1}" ]; then return; fi
        read -rt 0.01 <> <(:) || true
    done
    echo "$transcript: no $1" >&2
    exit 1
}
ask() {
    token=$((token + 1))
    echo "$token$1" >&3
    await "^$token^"
}
event() { await "^[*=]$1" "${2:-1}"; }
end() {
    ask -gdb-exit
    exec 3>&-
    wait "$gdb" || true
}
quick() {
    ask '-gdb-set debuginfod enabled off'
    ask '-gdb-set auto-load no'
    ask '-gdb-set auto-solib-add off'
}
start() { "$@" > /dev/null & target=$!; }
stop() { kill "$target"; wait "$target" 2>/dev/null || true; }

record_attach() {
    start sleep 1000
    begin attach
    quick
    ask "-target-attach $target"
    event stopped
    ask '-thread-info'
    ask '-list-thread-groups'
    ask '-target-detach'
    end
    stop
}
record_libraries() {
    start "$scratch/target"
    begin libraries
    ask "-target-attach $target"
    event stopped
    ask '-stack-list-frames'
    ask '-stack-list-arguments 1'
    end
    stop
}
record_registers() {
    start sleep 1000
    begin registers
    quick
    ask "-target-attach $target"
    event stopped
    ask '-data-list-register-names'
    ask '-data-list-register-values x 0 1 16 17'
    ask '-data-list-register-values x'
    ask '-data-evaluate-expression $pc'
    end
    stop
}
record_memory() {
    start "$scratch/target"
    begin memory
    ask "-target-attach $target"
    event stopped
    ask '-data-read-memory-bytes main 16'
    ask '-data-read-memory-bytes 0x10 8'
    ask '-data-write-memory-bytes $sp-256 "00ff10"'
    ask '-data-read-memory-bytes $sp-256 3'
    end
    stop
}
record_syscall() {
    start "$scratch/target"
    begin syscall
    quick
    ask "-target-attach $target"
    event stopped
    ask '-interpreter-exec console "catch syscall"'
    ask '-exec-continue'
    event stopped 2
    ask '-exec-continue'
    event stopped 3
    ask '-break-delete 1'
    end
    stop
}
record_error() {
    begin error
    ask '-nonsense'
    ask '-target-attach 0'
    ask '-interpreter-exec console "print \"no end"'
    ask '-data-evaluate-expression'
    ask 'echo one\ntwo\n'
    end
}
record_tdesc() {
    start sleep 1000
    begin tdesc
    quick
    ask "-target-attach $target"
    event stopped
    ask '-interpreter-exec console "maint print xml-tdesc"'
    end
    stop
}
record_run() {
    begin run "$scratch/target"
    ask '-gdb-set disable-randomization on'
    ask '-break-insert -c turn==1 doze'
    ask '-break-commands 1 "silent" "print name"'
    ask '-exec-run'
    event stopped
    ask '-break-info 1'
    ask '-stack-list-variables --all-values'
    ask '-interpreter-exec console "kill"'
    end
}

for name in "${@:-attach libraries registers memory syscall error tdesc run}"; do
    for one in $name; do "record_$one"; done
done
