# shellcheck shell=bash
# shellcheck disable=SC2034 # for the tests
# away.bash - another host, on this machine: user, mount, pid, network, IPC and UTS namespaces of their own, and a root
# directory that has nothing of home: gdb-hijack as it is installed, a shell, and the libraries of these under the names
# that home's have, but as other builds (their build-ids are changed).
#
# The flow is: `away_possible || skip`, `away_root`, then `away_run COMMAND...`, or `away_restart OPTION...` for what
# lib.bash's `restart` does at home. Needs lib.bash and its work_begin. $AWAY is the root as home sees it, $AWAY_HOME a
# directory of it that belongs to the user there; AWAY_BINDS is an array of files and directories of home (a shadow's
# socket, a place for results) that are seen there under the same name, AWAY_USER the number of the user there, AWAY_CLOCKS options of
# unshare for a time namespace (tests/hosts.bash).

AWAY_USER=${AWAY_USER:-4242}
AWAY_BINDS=()
AWAY_CLOCKS=()

# Can the test's user make namespaces here?
away_possible() {
    as unshare --user --map-root-user --mount --pid --net --ipc --uts --fork --mount-proc true 2>/dev/null
}

# libraries_of FILE...: what the dynamic linker would load for them, itself included
libraries_of() { ldd "$@" | grep -oE '/[^ ]+ \(0x' | sed 's/ (0x//' | sort -u; }

# other_build FILE: turns its build-id into another one
other_build() {
    local id
    id=$(readelf -n "$1" 2>/dev/null | sed -n 's/.*Build ID: //p')
    "$PYTHON" - "$1" "$id" <<'EOF'
import sys
name, old = sys.argv[1], bytes.fromhex(sys.argv[2])
data = open(name, "rb").read()
assert old and old in data
open(name, "r+b").write(data.replace(old, bytes(255 - b for b in old)))
EOF
}

# The installed layout (make install); as $WHO, so that it belongs to it.
away_root() {
    local programs=/usr/local/bin libexec=/usr/local/libexec/gdb-hijack file from
    from=$(dirname "$GDB_HIJACK")
    AWAY=$DIR/away.root AWAY_HOME=$DIR/away.root/home
    as mkdir -p "$AWAY"/{proc,dev,tmp,home,old,bin} "$AWAY$programs" "$AWAY$libexec" || return 1
    as touch "$AWAY/dev/null"
    as cp "$from/gdb-hijack" "$AWAY$programs" || return 1
    as cp "$from"/{gdb-blank,libhijack.so,hijack-shadow,hijack-starter,librestart.so} "$AWAY$libexec" || return 1
    for file in sh umount unshare nsenter env cat; do
        as cp "$(readlink -f "$(command -v "$file")")" "$AWAY/bin/$file" || return 1
    done
    for file in $(libraries_of "$AWAY/bin"/* "$AWAY$programs"/* "$AWAY$libexec/hijack-starter"); do
        as mkdir -p "$AWAY$(dirname "$file")" && as cp -L "$file" "$AWAY$file" && other_build "$AWAY$file" || return 1
    done
}

# Runs in the new namespaces, with the rights to mount: $1 root, $2 user, $3 number of binds, the binds, the command. The
# shell stays as the init of the pid namespace. The command gets a user namespace of its own, in which it is nobody special.
# shellcheck disable=SC2016 # of the inner shell
away_enter='
set -e
root=$1 user=$2 binds=$3
shift 3
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind /dev/null "$root/dev/null"
while [ "$binds" -gt 0 ]; do
    if [ -d "$1" ]; then mkdir -p "$root$1"; else mkdir -p "$root${1%/*}" && touch "$root$1"; fi
    mount --rbind "$1" "$root$1"
    shift
    binds=$((binds - 1))
done
hostname away
cd "$root"
pivot_root . old
cd /home
PATH=/usr/local/bin:/bin
export PATH
umount -l /old
set +e
unshare --user --map-user="$user" --map-group="$user" "$@"
exit $?'

# away_exec COMMAND...: this shell becomes the command there, with its streams and nothing of its environment. When the
# process is killed, so is all of that host.
away_exec() {
    as_prefix
    exec "${AS[@]}" env -i PATH="$PATH" HOME=/home LC_ALL=C unshare --user --map-root-user \
        --mount --pid --net --ipc --uts "${AWAY_CLOCKS[@]}" --fork --kill-child \
        sh -c "$away_enter" away "$AWAY" "$AWAY_USER" "${#AWAY_BINDS[@]}" "${AWAY_BINDS[@]}" "$@"
}

away_run() { (away_exec "$@"); }

# away_pid PID: the program that away_run (process PID) runs there, as home numbers it; nothing before it runs
away_pid() {
    local pid=$1 next
    while [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != hijack-parent ] &&
        next=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null) && [ -n "$next" ]; do pid=${next%% *}; done
    next=$(program_of "$pid") && [ -z "$next" ] || pid=$next
    [ "$pid" = "$1" ] || echo "$pid"
}

# away_number PID: the number that it has there
away_number() { sed -n 's/^NSpid:.*\t//p' "/proc/$1/status"; }

# away_command COMMAND...: beside the program $PID that runs there, as its user; when that ends, so does this host, at once
away_command() {
    local init
    init=$(awk '/^PPid:/ { print $2 }' "/proc/$PID/status")
    as nsenter --target "$init" --user --mount --pid --net --ipc --uts --preserve-credentials -- \
        /bin/nsenter --target "$(away_number "$PID")" --user --preserve-credentials -- \
        /bin/env -i PATH=/usr/local/bin:/bin "$@"
}

# away_restart OPTION...: $DIR/job.ckpt goes on there. $MAIN is to be waited for, $PID the program.
away_restart() {
    as cp "$DIR/job.ckpt" "$AWAY_HOME/job.ckpt" || return 1
    (close_inherited && away_exec gdb-hijack restart "$@" job.ckpt) \
        <"${IN:-/dev/null}" >>"$DIR/${OUT:-out}" 2>>"$DIR/err" 3>&- &
    MAIN=$! PID=$!
    started "$MAIN"
    wait_until away_restarted_or_gone || return 1
    is_alive "$MAIN" || return 0 # it may have come to its end already
    PID=$(away_pid "$MAIN")
    PID=${PID:-$MAIN}
}

away_restarted_or_gone() {
    local pid
    is_gone "$MAIN" && return
    pid=$(away_pid "$MAIN") && [ -n "$pid" ] && is_restarted "$pid"
}
