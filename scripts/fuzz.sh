#!/bin/bash
# usage: fuzz.sh [SECONDS [NAME...]]   libFuzzer with ASan and UBSan on each tests/fuzz/fuzz_NAME.c, SECONDS (60) each
#        fuzz.sh INPUTSx [NAME...]     the same with that many inputs: fuzz.sh 10000000x decode
#
# What it finds is left in BUILD as crash-*; give the file to BUILD/fuzz_NAME to see it again.
set -eu
cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
limit=-max_total_time=${1:-60}
[[ ${1:-} != *x ]] || limit=-runs=${1%x}
shift $(($# ? 1 : 0))
[ $# -gt 0 ] || set -- mi frame decode reply ring
declare -A sources=([mi]="gdbmi/mi_parser.c gdbmi/mi_value.c" [frame]="shadow/control_start.c shadow/hold.c shadow/kept.c shadow/message.c shadow/peer.c shadow/remote.c shadow/serve.c shadow/session.c"
    [decode]="shadow/decode.c" [reply]="" [ring]="")
declare -A options=([mi]="-dict=tests/fuzz/mi.dict" [frame]="" [decode]="" [reply]="" [ring]="")
mkdir -p "$BUILD"
for name; do
    # shellcheck disable=SC2086 # lists of words
    clang -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -g -O1 -D_GNU_SOURCE -I. -Istubs/arch/"$(uname -m)" -Ishadow/arch/"$(uname -m)" \
        "tests/fuzz/fuzz_$name.c" ${sources[$name]} -o "$BUILD/fuzz_$name"
    corpus=()
    for folder in "tests/$name" "tests/fuzz/corpus_$name"; do
        [ ! -d "$folder" ] || corpus+=("$folder")
    done
    mkdir -p "$BUILD/corpus_$name"
    # shellcheck disable=SC2086
    "$BUILD/fuzz_$name" -max_len=4096 ${options[$name]} "$limit" -print_final_stats=1 \
        -artifact_prefix="$BUILD/" "$BUILD/corpus_$name" "${corpus[@]}" 2>&1 | grep -E 'ERROR|SUMMARY|number_of_executed|Done'
done
