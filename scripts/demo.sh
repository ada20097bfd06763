#!/bin/bash
# usage: demo.sh    the story of gdb-hijack on a real program, with BUILD naming the build directory; see README.md
#
# gawk counts words in a generated text. It is started like any other program, hijacked in mid-run, checkpointed, killed,
# restarted from the image; its report must be that of an undisturbed run. Then once more, restarted where its files do not
# exist. No root, nothing left behind.
set -eu
cd "$(dirname "$0")/.."
hijack=${BUILD:-$PWD/build}/gdb-hijack
dir=$(mktemp -d)
pid=
there=$(mktemp -d)
trap '[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true; rm -rf "$dir" "$there"' EXIT
cd "$dir"
# What this shell was started with and the demo has no part in (a make's pipes) is not for gawk.
for fd in "/proc/$$/fd"/*; do
    fd=${fd##*/}
    [ "$fd" -le 2 ] || [ "$fd" = 255 ] || eval "exec $fd>&-"
done

bold='' plain=''
[ ! -t 1 ] || bold=$(tput bold 2>/dev/null) plain=$(tput sgr0 2>/dev/null) || bold='' plain=''
say() { printf '\n%s# %s%s\n' "$bold" "$*" "$plain"; }
show() { printf '%s$ %s%s\n' "$bold" "${*//$hijack/gdb-hijack}" "$plain"; "$@"; }
lines() { wc -l <report; }

# The report must have this many lines; gawk is in the middle of its work then.
reach() {
    local end=$((SECONDS + 30))
    until [ -e report ] && [ "$(lines)" -ge "$1" ]; do
        if [ "$SECONDS" -ge "$end" ] || ! kill -0 "$pid"; then
            echo "demo: gawk did not get there" >&2
            exit 1
        fi
        sleep 0.02
    done
}

cat >count.awk <<'EOF'
{ for (i = 2; i <= NF; i++) count[$i] += NR % 97 }
NR % 10000 == 0 { print "after", NR, "lines:", length(count), "words" >"report"; fflush("report") }
END { n = asorti(count, word); for (i = 1; i <= n; i++) print word[i], count[word[i]] >"report" }
EOF
gawk 'BEGIN { s = 12345; for (i = 0; i < 10000; i++) { line = i
    for (j = 0; j < 8; j++) { s = s * 16807 % 2147483647; line = line " " sprintf("w%x", s % 4001) }
    print line } }' >some
for _ in $(seq 40); do cat some; done >text

say "An ordinary program with real work: gawk counts the words of a text of $(wc -l <text) lines. First undisturbed:"
show gawk -f count.awk text
mv report expected
echo "$(wc -l <expected) lines of report, $(sha256sum <expected | cut -c1-16)..."

say "Now again. It was not prepared for anything: not relinked, no preload, no root."
gawk -f count.awk text &
pid=$!
reach 8
show ps -o pid,stat,time,args -p "$pid"

say "In mid-run, after $(lines)0000 lines, it is hijacked: from now on it can be checkpointed. It stands still for milliseconds."
show "$hijack" "$pid"

say "What is hijacked here? The shadow is a small process that keeps the program's context."
show "$hijack" status "$pid"

say "A checkpoint: the image is an ELF core file. The program goes on."
reach 12
show "$hijack" checkpoint "$pid" -o job.ckpt

say "It goes on... and one day somebody kills it, for good:"
reach $(($(lines) + 4))
echo "($(lines)0000 lines counted by now)"
printf '%s$ kill -9 %s%s\n' "$bold" "$pid" "$plain"
kill -KILL "$pid"
wait "$pid" 2>/dev/null || true
pid=

say "The restart goes on at the checkpoint. The report has grown since, and is cut back to what it was then."
show "$hijack" restart --rollback-files job.ckpt

say "Is the report that of the undisturbed run?"
if ! cmp report expected; then
    echo "NO: the reports differ" >&2
    exit 1
fi
echo "Yes: $(wc -l <report) lines, $(sha256sum <report | cut -c1-16)..., byte for byte the same."

# Another host, as far as one machine has it: namespaces in which this directory is empty, with no network.
# shellcheck disable=SC2016 # the inner shell expands
elsewhere() {
    unshare --user --map-root-user --mount --mount-proc --pid --net --uts --fork --kill-child \
        sh -c 'mount -t tmpfs none "$1" && hostname elsewhere && cd / && shift && exec "$@"' sh "$dir" "$@"
}
if ! elsewhere true 2>/dev/null; then
    say "User namespaces are not allowed here (as root they would be): the rest of the story needs another host."
    exit 0
fi

say "Once more, to go away: a third run is hijacked, and leaves with an image that carries its libraries, too."
rm report
gawk -f count.awk text &
pid=$!
reach 8
"$hijack" -q "$pid"
show "$hijack" checkpoint "$pid" -o "$there/job.ckpt" --portable --exit
wait "$pid" 2>/dev/null || true
left=$(lines)

say "It goes on where neither its text nor its report exist: another host, here namespaces of their own."
show elsewhere ls -A "$dir"
printf '%s$ gdb-hijack restart --remote-io job.ckpt     # there%s\n' "$bold" "$plain"
elsewhere "$hijack" restart --remote-io "$there/job.ckpt" &
pid=$!

say "Its shadow stayed at home and makes its system calls: here the report still grows."
reach $((left + 4))
echo "($(lines)0000 lines counted by now, ${left}0000 when it left)"
show "$hijack" status
wait "$pid"
pid=
cmp report expected || { echo "NO: the reports differ" >&2; exit 1; }
echo "And it has ended there, with the report here: $(sha256sum <report | cut -c1-16)..., the same again."
