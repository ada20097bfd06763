#!/bin/bash
# usage: soak-faults.sh [STRIDE]   gdb, gdb-hijack or the program killed at each command to gdb in turn, of a hijack and of a
#                                  release; STRIDE (1): at every so many
set -u
# shellcheck source=scripts/soak.bash
. "$(dirname "$0")/soak.bash"
# shellcheck source=tests/faults.bash
. "$(dirname "$0")/../tests/faults.bash"
STRIDE=${1:-1}

on_blocked() { start_blocked read && "$@"; }
on_threads() { start_target threads_blocked restarted && "$@"; }

for when in "" _BEFORE; do
    soak "gdb$when" on_blocked gdb_killed HIJACK_FAULT_GDB$when 1
    soak "self$when" on_blocked self_killed HIJACK_FAULT_SELF$when 1
    soak "gdb$when, threads" on_threads gdb_killed HIJACK_FAULT_GDB$when "$MENDS"
    soak "self$when, threads" on_threads self_killed HIJACK_FAULT_SELF$when "$MENDS"
    soak "release, gdb$when" on_blocked release_gdb_killed HIJACK_FAULT_GDB$when 1
    soak "release, self$when" on_blocked release_self_killed HIJACK_FAULT_SELF$when 1
done
soak target target_killed 1 start_blocked read
soak "target, threads" target_killed 1 start_target threads_blocked
soak "target, left by a handler" target_left "$ATTACHES" 55
soak "target, late" target_late "$ATTACHES" 55
soak_end
