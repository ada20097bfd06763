#!/usr/bin/env bats
# `make install` after `make`, wherever it is told to: the programs find each other there, and `make uninstall` takes all away.

load lib

setup() {
    work_begin
    PLACE=$(mktemp -d /tmp/hijack-install.XXXXXX) # not the ordinary user's, as $DIR is
    chmod 755 "$PLACE"
}
teardown() {
    rm -rf "$PLACE"
    work_end
}

# in_tree GOAL VARIABLE=VALUE...
in_tree() { env -u MAKEFLAGS -u MFLAGS make -s -C "$TESTS/.." BUILD="$(readlink -f "$BUILD")" "$@" 3>&-; }

# files_in PREFIX: what an installation there is made of
files_in() {
    printf "$1/%s\n" bin/gdb-hijack share/man/man1/gdb-hijack.1 share/doc/gdb-hijack/{ARCHITECTURE.md,LICENSE,README.md} \
        libexec/gdb-hijack/{gdb-blank,hijack-shadow,hijack-starter,libhijack.so,librestart.so} | sort
}

# works_from PREFIX: a hijack, a checkpoint, a restart, by the programs there and no others
works_from() {
    GDB_HIJACK=$1/bin/gdb-hijack
    start_target childless
    hijack
    grep -q "$1/libexec/gdb-hijack/libhijack.so" "/proc/$PID/maps"
    has_exec "$SHADOW" "$1/libexec/gdb-hijack/hijack-shadow"
    checkpoint_exit
    restart_ready
    release
    finish
}

# installed PREFIX VARIABLE=VALUE...: there, working, gone again
installed() {
    in_tree install "${@:2}"
    [ "$(find "$PLACE" -type f | sort)" = "$(files_in "$1")" ] || complain "$(find "$PLACE" -type f)"
    mandoc -T lint -W warning "$1/share/man/man1/gdb-hijack.1"
    works_from "$1"
    in_tree uninstall "${@:2}"
    [ -z "$(find "$PLACE" ! -type d -o -name gdb-hijack)" ] || complain "left: $(find "$PLACE")"
}

@test "installed below DESTDIR" {
    installed "$PLACE/usr/local" DESTDIR="$PLACE"
}

@test "installed with another prefix than it was built with" {
    installed "$PLACE/opt/hijack" prefix="$PLACE/opt/hijack"
}

@test "stripped, as a package's files are" {
    in_tree install prefix="$PLACE"
    strip "$PLACE/bin/gdb-hijack" "$PLACE"/libexec/gdb-hijack/*
    works_from "$PLACE"
}

@test "installed with a libexecdir of its own: only the file that knows it is compiled" {
    cp -r "$BUILD" "$DIR/build"
    touch "$DIR/now"
    find "$DIR/build" -exec touch -r "$DIR/now" {} + # all of one age, and newer than their sources
    in_tree install BUILD="$DIR/build" prefix="$PLACE" libexecdir="$PLACE/lib/hijack"
    [ "$(find "$DIR/build/hosted" -newer "$DIR/now" -name '*.o')" = "$DIR/build/hosted/driver/files.c.o" ]
    GDB_HIJACK=$PLACE/bin/gdb-hijack
    start_target childless
    hijack
    grep -q "$PLACE/lib/hijack/libhijack.so" "/proc/$PID/maps"
    finish
}

@test "a program of root's is given root's library only" {
    [ "$(id -u)" = 0 ] || skip "not root"
    in_tree install prefix="$PLACE" && in_tree install prefix="$DIR/users"
    # shellcheck disable=SC2034 # for lib.bash
    WHO=root
    GDB_HIJACK=$DIR/users/bin/gdb-hijack # in a directory of the ordinary user's
    start_target childless
    expect 1 gdb_hijack "$PID"
    grep -q "runs as root, and .* can be changed by others" <<<"$errors" || complain "$errors"
    finish
    works_from "$PLACE"
}
