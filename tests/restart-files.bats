#!/usr/bin/env bats
# Images that live long: what is installed may have changed by the time of the restart. A newer gdb-hijack and the same
# libraries installed again do no harm; another build of a library is refused by name.

load lib

setup() {
    work_begin
    as mkdir "$DIR/ours"
    as cp "$(dirname "$GDB_HIJACK")"/{gdb-hijack,gdb-blank,libhijack.so,hijack-shadow,hijack-starter,librestart.so} "$DIR/ours"
    GDB_HIJACK=$DIR/ours/gdb-hijack
}
teardown() { work_end; }

killed_with_image() {
    checkpoint && kill -KILL "$PID" && wait_until is_gone "$PID"
}

# goes_on: restarted, checkpointed, restarted from that, released: all as if the library were the one of the image
goes_on() {
    restart_ready && killed_with_image && restart_ready && release || return 1
    not grep -q libhijack "/proc/$PID/maps" || return 1
    finish
}

# bats test_tags=as-root
@test "libhijack.so has another date" {
    start_target alloc
    hijack
    killed_with_image
    touch -d 2000-01-01 "$DIR/ours/libhijack.so"
    goes_on
}

@test "libhijack.so is another file of the same build" {
    start_target alloc
    hijack
    killed_with_image
    as cp "$DIR/ours/libhijack.so" "$DIR/ours/new"
    as mv "$DIR/ours/new" "$DIR/ours/libhijack.so"
    goes_on
}

@test "libhijack.so is another build" {
    start_target alloc
    hijack
    checkpoint_exit
    as rm "$DIR/ours/libhijack.so"
    as gcc -shared -nostdlib -Wl,--build-id -o "$DIR/ours/libhijack.so" -x c /dev/null
    goes_on
}

@test "libhijack.so has gone" {
    start_target alloc
    hijack
    killed_with_image
    as rm "$DIR/ours/libhijack.so"
    goes_on
}

# bats test_tags=as-root
@test "libhijack.so is replaced while the program runs" {
    start_target alloc
    hijack
    as cp "$DIR/ours/libhijack.so" "$DIR/ours/new"
    as mv "$DIR/ours/new" "$DIR/ours/libhijack.so"
    killed_with_image
    goes_on
}

# --- the program's own libraries ---

# start_with_library: a program with a library of its own, which says 1
start_with_library() {
    printf '%s\n' 'int value(void); int value(void) { return 1; }' >"$DIR/one.c"
    cat >"$DIR/main.c" <<'END'
#include <stdio.h>
#include <unistd.h>
int value(void);
int main(void)
{
    fclose(fopen("ready", "w"));
    while (access("stop", F_OK))
        usleep(5000);
    return value() != 1;
}
END
    (cd "$DIR" && as gcc -shared -fPIC -Wl,--build-id="${1:-sha1}" -o libone.so one.c &&
        as gcc -o main main.c -L. -lone -Wl,-rpath,"$DIR") || return 1
    start "$DIR/main"
    wait_until test -e "$DIR/ready" && hijack
}

@test "the same library installed again, with another date and inode" {
    start_with_library
    killed_with_image
    cp "$DIR/libone.so" "$DIR/new"
    touch -d 2001-01-01 "$DIR/new"
    mv "$DIR/new" "$DIR/libone.so"
    restart_ready
    finish
}

@test "another build of the library, of the same size and date: refused by name, with the build-id" {
    start_with_library
    killed_with_image
    cp -p "$DIR/libone.so" "$DIR/old"
    id=$(readelf -n "$DIR/old" | sed -n 's/.*Build ID: //p')
    sed -i 's/return 1/return 2/' "$DIR/one.c"
    (cd "$DIR" && as gcc -shared -fPIC -Wl,--build-id=sha1 -o libone.so one.c)
    touch -r "$DIR/old" "$DIR/libone.so"
    [ "$(stat -c %s "$DIR/old")" = "$(stat -c %s "$DIR/libone.so")" ]
    expect 1 gdb_hijack restart "$DIR/job.ckpt" </dev/null
    grep -q "libone.so.*build-id $id" <<<"$errors" || complain "$errors"
    mv "$DIR/old" "$DIR/libone.so"
    restart_ready
    finish
}

@test "a library without a build-id: its date tells" {
    start_with_library none
    killed_with_image
    touch -d 2001-01-01 "$DIR/libone.so"
    expect 1 gdb_hijack restart "$DIR/job.ckpt" </dev/null
    grep -q "libone.so.*been changed" <<<"$errors" || complain "$errors"
    restart_ready --accept-changed-files
    finish
}

# bats test_tags=as-root
@test "a library deleted while the program runs keeps its name; release works after the restart" {
    start_with_library
    rm "$DIR/libone.so"
    killed_with_image
    restart_ready
    grep -q '/libone.so (deleted)' "/proc/$PID/maps"
    killed_with_image
    restart_ready
    [ "$(grep -c '/libone.so (deleted)' "/proc/$PID/maps")" = "$(grep -c '/memfd:/.*/libone.so (deleted)' "/proc/$PID/maps")" ]
    release
    finish
}
