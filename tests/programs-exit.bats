#!/usr/bin/env bats
# Programs that nobody here wrote: hijacked at random moments, checkpointed with --exit, restarted; the outcome is the
# undisturbed one, byte for byte. MOMENTS (default 2) for each program; scripts/soak-programs.sh does more.

load lib
load programs

setup() { work_begin; }
teardown() { work_end; }

survives() {
    local n
    RANDOM=${SEED:-$$}
    program_prepare "$1"
    for ((n = 1; n <= ${MOMENTS:-2}; n++)); do
        exit_and_restart "$1" || complain "$1, moment $n of seed ${SEED:-$$}"
    done
}

@test "a moment that is not in the program's life: another is taken; a program that did not end well is not excused" {
    program_prepare gawk
    TOOK=$((TOOK * 8))
    exit_and_restart gawk 25 50 # first at twice its life
    [ "$MISSED" -ge 1 ]
    UNDISTURBED=another
    status=0
    said=$(exit_and_restart gawk 25 50 2>&1) || status=$?
    [ "$status" -eq 1 ]
    [[ $said == *"another outcome than undisturbed"* ]] || complain "$said"
}

@test "gawk" { survives gawk; }
@test "bc" { survives bc; }
# bats test_tags=as-root
@test "python3, reading and writing files" { survives python3; }
@test "perl" { survives perl; }
# bats test_tags=as-root
@test "sqlite3 with an open transaction" { survives sqlite3; }
@test "gzip of a large file" { survives gzip; }
@test "glpsol" { survives glpsol; }
@test "spim" { survives spim; }
