# shellcheck shell=bash
# programs.bash - programs that nobody here wrote, with inputs made from nothing but arithmetic: the same each time.
#
# Each program is a function program_NAME: it makes the inputs in the current directory and sets COMMAND (run there, of about
# a second or more) and RESULTS (the files that make up its outcome; `out` is its standard output).

# shellcheck disable=SC2034 # for the soak script
PROGRAMS_ALL=(gawk bc python3 perl sqlite3 gzip glpsol spim)

make_words() { # make_words TIMES: so many times the same 10000 lines of pseudo-random words
    local n
    awk 'BEGIN { s = 12345; for (i = 0; i < 10000; i++) { line = i
        for (j = 0; j < 8; j++) { s = (s * 16807) % 2147483647; line = line " " sprintf("w%x", s % 4001) }
        print line } }' >some
    for ((n = 0; n < $1; n++)); do cat some; done
    rm some
}

program_gawk() {
    make_words 55 >words
    # shellcheck disable=SC2016 # awk
    COMMAND=(gawk '{ for (i = 2; i <= NF; i++) count[$i] += NR % 97; if (NR % 10000 == 0) print NR, length(count) }
        END { n = asorti(count, key); for (i = 1; i <= n; i++) print key[i], count[key[i]] }' words)
    RESULTS=(out)
}

program_bc() {
    echo 'scale=600; for (i = 1; i <= 5; i++) { print i, " "; a(1/i) + e(1/i) }' >sum.bc
    COMMAND=(bc -l sum.bc)
    RESULTS=(out)
}

program_python3() {
    make_words 20 >words
    cat >work.py <<'END'
import hashlib
seen = {}
with open("words") as source, open("copy", "w") as copy:
    for number, line in enumerate(source):
        for word in line.split()[1:]:
            seen[word] = seen.get(word, 0) + number
        copy.write(hashlib.sha256(line.encode()).hexdigest() + "\n")
for word in sorted(seen):
    print(word, seen[word])
END
    COMMAND=("$PYTHON" work.py)
    RESULTS=(out copy)
}

program_perl() {
    make_words 12 >words
    cat >work.pl <<'END'
use strict;
my (%seen, $bytes);
open my $in, "<", "words" or die; open my $to, ">", "copy" or die;
while (<$in>) {
    my @w = split; shift @w;
    $seen{$_} .= chr(65 + $. % 26) for @w;
    s/w([0-9a-f]+)/reverse $1/ge;
    print $to $_;
}
print "$_ ", length $seen{$_}, " ", substr($seen{$_}, -5), "\n" for sort keys %seen;
END
    COMMAND=(perl work.pl)
    RESULTS=(out copy)
}

# All rows in one transaction, kept in the cache until it is committed.
program_sqlite3() {
    cat >work.sql <<'END'
PRAGMA cache_size = -400000;
CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 350000)
INSERT INTO t SELECT i, (i * 7919) % 100003, printf('row %d of %d', i, (i * 31) % 1009) FROM n;
CREATE INDEX ta ON t (a);
UPDATE t SET b = b || a WHERE id % 3 = 0;
SELECT count(*), sum(a), max(b) FROM t;
COMMIT;
SELECT a % 10, count(*), min(b) FROM t GROUP BY 1;
PRAGMA integrity_check;
END
    COMMAND=(sqlite3 -bail base.db ".read work.sql")
    RESULTS=(out base.db)
}

program_gzip() {
    make_words 7 >words
    touch -d '2000-01-01' words
    COMMAND=(gzip -9 -k words)
    RESULTS=(words.gz)
}

# A market split problem: few variables, much branch and bound.
program_glpsol() {
    awk -v n=21 'BEGIN { s = 12345; print "minimize\n z: p1 + q1 + p2 + q2\nsubject to"
        for (r = 1; r <= 2; r++) {
            printf " c%d:", r
            for (i = t = 0; i++ < n; t += w) { s = (s * 16807) % 2147483647; w = s % 1000; printf " + %d x%d\n", w, i }
            printf " + p%d - q%d = %d\n", r, r, int(t / 2)
        }
        print "binary"; for (i = 1; i <= n; i++) print " x" i; print "end" }' >split.lp
    COMMAND=(glpsol --lp split.lp --tmlim 100000 -w solution)
    RESULTS=(solution)
}

program_spim() {
    cat >work.s <<'END'
        .text
        .globl main
main:   li $t0, 0
        li $t1, 12345
outer:  li $t2, 200000
inner:  mul $t1, $t1, 16807
        addiu $t1, $t1, 11
        addiu $t2, $t2, -1
        bnez $t2, inner
        move $a0, $t1
        li $v0, 1
        syscall
        li $a0, 10
        li $v0, 11
        syscall
        addiu $t0, $t0, 1
        blt $t0, 4, outer
        li $v0, 10
        syscall
END
    COMMAND=(spim -file work.s)
    RESULTS=(out)
}

# outcome: one checksum for all RESULTS in $DIR
outcome() { (cd "$DIR" && cat "${RESULTS[@]}" | sha256sum); }

# program_prepare NAME: inputs to $DIR, an undisturbed run there, its outcome to $UNDISTURBED and its milliseconds of CPU time
# to $TOOK
program_prepare() {
    local TIMEFORMAT=%U
    program_inputs "$1" || return 1
    as touch "$DIR/out"
    TOOK=$( { time (cd "$DIR" && as "${COMMAND[@]}" </dev/null >out 2>err); } 2>&1) || return 1
    TOOK=$((10#${TOOK/./}))
    UNDISTURBED=$(outcome)
}

program_inputs() {
    rm -rf "${DIR:?}"/*
    pushd "$DIR" >/dev/null && "program_$1" && popd >/dev/null || return 1
    [ "$WHO" = "$(id -un)" ] || chown -R "$WHO" "$DIR"
}

# moment_of_program FROM TO: until it has used some part, between FROM and TO in a hundred, of its CPU time
moment_of_program() {
    wait_until has_used "$PID" $((TOOK * ($1 * 100 + RANDOM % (($2 - $1) * 100)) / 10000))
}

has_used() { # PID MILLISECONDS
    local line
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 0
    read -ra line <<<"${line##*) }"
    [ $((line[11] * 1000 / $(getconf CLK_TCK))) -ge "$2" ]
}

# --- moments ----------------------------------------------------------------------------------------------------------
# A moment is chosen by the time that one run has taken; on a busy machine another run may be over by then. Such a moment was
# not in the program's life, and another is taken. Only such a one: had anything of ours touched the program, or had it not
# come to its undisturbed end, it is a failure.

TOO_LATE=75 ANOTHER=76 MISSED=0 # ANOTHER: it lives, but this is no moment for what is to be done

# too_late: $TOO_LATE when the program, which is gone, has ended by itself: with status 0 and the undisturbed outcome
too_late() {
    ends_with 0 || return 1
    [ "$(outcome)" = "$UNDISTURBED" ] || complain "it ended by itself with another outcome than undisturbed" || return 1
    return "$TOO_LATE"
}

# order COMMAND...: a hijack or checkpoint of $PID; $TOO_LATE when it had ended, and the tool says so. (Status 4: it ended between
# two steps. The tool takes it for lost; that it ended by itself is seen here.)
order() {
    if is_alive "$PID"; then
        "$@" 2>"$DIR/complaint" && return
        # shellcheck disable=SC2153,SC2154 # of expect()
        { [ "$STATUS" -eq 1 ] || [ "$STATUS" -eq 4 ]; } && [[ $errors =~ "process $PID has ended"|"no process $PID"|" is a zombie"|"the process ended before" ]] ||
            complain "$(cat "$DIR/complaint")" || return 1
    fi
    too_late
}

# at_a_moment COMMAND...: again, with half the time, as long as it is $TOO_LATE; with all of it while it is $ANOTHER. $MISSED counts.
at_a_moment() {
    local TOOK=$TOOK late=0 others=0 status
    while [ "$late" -lt 6 ] && [ "$others" -lt 30 ]; do
        status=0
        "$@" || status=$?
        case $status in
        "$TOO_LATE") late=$((late + 1)) TOOK=$((TOOK / 2)) ;;
        "$ANOTHER") others=$((others + 1)) ;;
        *) return "$status" ;;
        esac
        MISSED=$((MISSED + 1))
    done
    complain "$*: the program ended by itself before each of $late moments; $others were no moments for it"
}

# exit_and_restart NAME [FROM TO]: started, hijacked at a random moment, checkpointed with --exit at another, restarted; the
# outcome must be the undisturbed one. sqlite3 is in its transaction at the checkpoint.
exit_and_restart() {
    local from=0 to=100
    [ "$1" != sqlite3 ] || from=20 to=50
    at_a_moment exit_and_restart_once "$1" "${2:-$from}" "${3:-$to}"
}

exit_and_restart_once() {
    program_inputs "$1" && start_program "${COMMAND[@]}" || return 1
    moment_of_program "$2" "$3" && order hijack || return
    random_moment $((TOOK < 1000 ? TOOK / 10 + 1 : 100)) # or it may have ended
    order checkpoint_exit || return
    [ "$1" != sqlite3 ] || [ -e "$DIR/base.db-journal" ] || return "$TOO_LATE"
    restart && ends_with 0 || return 1
    [ "$(outcome)" = "$UNDISTURBED" ] || complain "$1: another outcome than undisturbed"
}

# kill_and_restart NAME [FROM TO]: started, hijacked and checkpointed at random moments, killed after another, with its shadow;
# what it has appended since is cut back by the restart, and the outcome must be the undisturbed one.
kill_and_restart() { at_a_moment kill_and_restart_once "$1" "${2:-0}" "${3:-100}"; }

kill_and_restart_once() {
    program_inputs "$1" && start_program "${COMMAND[@]}" || return 1
    moment_of_program "$2" "$3" && order hijack || return
    random_moment $((TOOK < 1000 ? TOOK / 10 + 1 : 100))
    order checkpoint || return
    random_moment 100
    kill -KILL "$PID" 2>/dev/null # or it has ended just now
    wait_until is_gone "$PID" && wait_until is_gone "$SHADOW" || return 1
    wait "$PID" 2>/dev/null
    # Its transaction is over: a file that the image names has gone, and the restart would be refused, rightly.
    [ "$1" != sqlite3 ] || [ -e "$DIR/base.db-journal" ] || return "$ANOTHER"
    restart --rollback-files && wait_until is_gone "$MAIN" || return 1
    ! was_connected || return "$ANOTHER"
    ends_with 0 || return 1
    [ "$(outcome)" = "$UNDISTURBED" ] || complain "$1: another outcome than undisturbed"
}

# A connection ends with its process: the restart is refused, by name. Then another moment is taken.
was_connected() { grep -q ': a socket cannot be opened by name, and its shadow is gone' "$DIR/err"; }
