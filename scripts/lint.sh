#!/bin/bash
# usage: lint.sh    the layout rules, clang-format, cppcheck, shellcheck, mandoc; every finding is printed, status 1 if any
set -u
cd "$(dirname "$0")/.." || exit
status=0

# report TITLE: findings on stdin
report() {
    local findings
    findings=$(cat)
    [ -z "$findings" ] && return
    printf '%s:\n%s\n' "$1" "$findings" >&2
    status=1
}

sources() { git ls-files --cached --others --exclude-standard -- "$@"; }

# --- layout: who may include whom (ARCHITECTURE.md) ----------------------------------------------------------------------

# includes FOLDER [ALLOWED]: #include "..." lines of FOLDER that name another folder and are not ALLOWED (a regex)
includes() {
    sources "$1/*.c" "$1/*.h" "$1/*.S" | xargs -r grep -nHE '^# *include "[^"]*/' |
        grep -vE "include \"($1/${2:+|$2})" || true
}

layout() {
    includes gdbmi
    includes stubs
    # driver: gdb's client, what it must know of the agent, and the shadow's control socket
    includes driver 'gdbmi/|stubs/|shadow/control\.h|restart/state\.def'
    # shadow: the frames, and the listing of descriptors that it shares with the checkpoint
    includes shadow 'stubs/|restart/fds\.h'
    includes restart 'stubs/|shadow/control\.h'
}

# Only arch/ knows an architecture. (Targets in assembly are written for one.)
architectures() {
    sources '*.c' '*.h' '*.def' | grep -vE '(^|/)arch/|^tests/' |
        xargs -r grep -nHE '__(x86_64|i386|aarch64|arm|riscv|powerpc64?|s390x|sparc)(__)?\b' || true
}

folders() {
    sources | grep / | cut -d/ -f1 | sort -u | grep -vxE '\.ci|gdbmi|driver|stubs|shadow|restart|scripts|tests' || true
}

# In-target objects stand alone; the Makefile checks it when it links them, this when they were built before.
imports() {
    local object
    for object in "${BUILD:-build}"/libhijack.so "${BUILD:-build}"/librestart.so; do
        [ ! -e "$object" ] || nm -u "$object"
    done
}

folders | report "folders that the layout does not know"
layout | report "includes that the layout forbids"
architectures | report "architecture macros outside arch/"
imports | report "imports of in-target objects"

# --- tools -----------------------------------------------------------------------------------------------------------------

sources '*.c' '*.h' | xargs -r clang-format --dry-run -Werror 2>&1 | grep -E 'error|warning' | report "clang-format"

# ctuuninitvar takes every struct that is handed over to be filled in for one that is read, ctuPointerArith the end of an
# array for a pointer beyond it.
sources '*.c' | grep -v '^tests/fuzz/' | xargs -r cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr \
    --suppress=missingIncludeSystem --suppress=unknownMacro --suppress=ctuuninitvar --suppress=ctuPointerArith --error-exitcode=0 -I. -Istubs/arch/"$(uname -m)" -Idriver/arch/"$(uname -m)" -Ishadow/arch/"$(uname -m)" \
    -D_GNU_SOURCE -D__x86_64__ -DHIJACK_VERSION='""' -DHIJACK_LIBEXECDIR='""' 2>&1 | report "cppcheck"

sources '*.sh' '*.bash' .ci/run | xargs -r shellcheck -x 2>&1 | report "shellcheck"
# Tests of bats are subshells that take their variables from lib.bash.
sources '*.bats' | xargs -r shellcheck -x -e SC2016,SC2030,SC2031,SC2034,SC2154 2>&1 | report "shellcheck of tests"

sources 'driver/*.1' | xargs -r mandoc -Tlint -Wwarning 2>&1 | report "mandoc"

exit "$status"
