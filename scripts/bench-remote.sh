#!/bin/bash
# usage: bench-remote.sh    how fast remote I/O is: ratios within one run, medians of rounds; nothing is asserted
#
#   latency     a 64-byte pwrite by the shadow, against a bare answer over a Unix socket (the goal: 1.5 times)
#   small       writes of 16 bytes one after the other, buffered (--io PATTERN=buffer; the goal: 1 million a second)
#   stream      256 KiB writes and reads by the shadow, against bytes through a Unix socket (the goal: 0.8)
#   sshfs       the same work on sshfs, its sftp-server at the other end of a pipe: no network, no encryption (where it can run)
#   shadow      its memory (PSS) with a program away; 500 of them at once
# BUILD names the build directory.
set -eu
# shellcheck source=tests/lib.bash
. "$(dirname "$0")/../tests/lib.bash"
rounds=${ROUNDS:-5}

work_begin
trap 'umount "$DIR/mnt" 2>/dev/null || true; work_end' EXIT

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

# keep PREFIX: what iobench said, a file for each figure
keep() {
    local name value
    while read -r name value; do echo "$value" >>"$DIR/figures.$1.$name"; done <"$DIR/out"
}
figure() { median <"$DIR/figures.$1.$2"; }

run_remote() {
    rm -f "$DIR/go"
    start "$TARGETS/iobench" && wait_until test -e "$DIR/ready"
    expect 0 gdb_hijack -q --remote-io --io '*.buf=buffer' "$PID"
    as touch "$DIR/go"
    DEADLINE=300 ends_with 0
    keep remote
}

# A small write takes it some 100 us.
run_sshfs() {
    (cd "$DIR/mnt" && as "$TARGETS/iobench" 20000) >"$DIR/out"
    keep sshfs
}

# The kernel serves it, sftp-server does the work, sshfs speaks between them.
mount_sshfs() {
    local server=/usr/lib/openssh/sftp-server
    command -v sshfs >/dev/null && [ -x $server ] && [ -w /dev/fuse ] && [ "$(id -u)" = 0 ] || return 1
    mkdir "$DIR/mnt" "$DIR/served" && chmod 777 "$DIR/served"
    mkfifo "$DIR/to" "$DIR/from"
    $server <"$DIR/to" >"$DIR/from" 2>/dev/null &
    started "$!"
    # in this order: the server waits for who opens `to`
    sshfs ":$DIR/served" "$DIR/mnt" -o passive,allow_other >"$DIR/to" <"$DIR/from" &
    started "$!"
    wait_until mountpoint -q "$DIR/mnt"
}

# Proportional set size of processes, KiB.
pss() {
    local pid
    for pid in "$@"; do awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup"; done | awk '{ s += $1 } END { print s }'
}

# A shadow with remote I/O is two processes: itself, and the executor of the program's calls.
shadow_processes() { echo "$SHADOW" && pgrep -P "$SHADOW"; }

shadows_at_once() {
    local n all=()
    for ((n = 0; n < 500; n++)); do
        start_program sleep 10000 && hijack || return 1
        # shellcheck disable=SC2207 # a word for each
        all+=($(shadow_processes))
    done
    echo "shadows    $n with remote I/O at once: $(pss "${all[@]}") KiB in all"
}

for ((n = 0; n < rounds; n++)); do run_remote; done
printf 'latency    pwrite %s us    raw answer %s us    ratio %s\n' "$(figure remote pwrite_us)" \
    "$(figure remote raw_pingpong_us)" "$(ratio "$(figure remote pwrite_us)" "$(figure remote raw_pingpong_us)")"
printf 'small      %s million writes a second\n' "$(figure remote small_writes_ms)"
printf 'stream     buffered write %s, write %s, read %s MB/s    raw %s MB/s    ratios %s, %s, %s\n' \
    "$(figure remote stream_behind_mbs)" "$(figure remote stream_write_mbs)" "$(figure remote stream_read_mbs)" \
    "$(figure remote raw_stream_mbs)" "$(ratio "$(figure remote stream_behind_mbs)" "$(figure remote raw_stream_mbs)")" \
    "$(ratio "$(figure remote stream_write_mbs)" "$(figure remote raw_stream_mbs)")" \
    "$(ratio "$(figure remote stream_read_mbs)" "$(figure remote raw_stream_mbs)")"
if mount_sshfs; then
    run_sshfs
    printf 'sshfs      pwrite %s us, %s million writes a second, write %s MB/s, read %s MB/s (of the kernel cache of it)\n' \
        "$(figure sshfs pwrite_us)" "$(figure sshfs small_writes_ms)" "$(figure sshfs stream_write_mbs)" \
        "$(figure sshfs stream_read_mbs)"
else
    echo 'sshfs      not here (scripts/packages.sh bench installs it; it needs /dev/fuse and root)'
fi

# shellcheck disable=SC2034 # for lib.bash
HIJACK_OPTIONS=(--remote-io)
start_program sleep 10000
hijack
# shellcheck disable=SC2046 # a word for each
printf 'shadow     %s KiB (PSS) with remote I/O\n' "$(pss $(shadow_processes))"
shadows_at_once
