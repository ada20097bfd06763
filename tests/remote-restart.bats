#!/usr/bin/env bats
# restart --remote-io: a program goes on where none of its files are, and home again; its shadow does its input and output.

load lib
load away
load remote
load programs

setup_file() { away_begin; }
teardown_file() { away_end; }
setup() { work_begin && away_use; }
teardown() { work_end; }

@test "every kind of descriptor, there and back" {
    away_or_skip
    start_target descriptors "$DIR"
    hijack_for_away
    there_and_back 2
    finish
}

@test "every kind of descriptor, used there" {
    away_or_skip
    start_target descriptors "$DIR"
    hijack_for_away
    leave_home
    go_away
    finish
}

@test "gdb-hijack beside the program there: status, checkpoint; what only its home can do is refused" {
    away_or_skip
    start_target threads
    hijack_for_away
    leave_home
    go_away
    number=$(away_number "$PID")
    expect 0 away_command gdb-hijack status
    [[ $output == "process $number (threads) is hijacked: "*" threads, its shadow at home, signal 63"* ]] || complain "$output"
    expect 0 away_command gdb-hijack status --json "$number"
    [ "$(json "$output" "first(d, 'pid')") $(json "$output" "first(d, 'shadow')")" = "$number 0" ] || complain "$output"
    expect 0 away_command gdb-hijack checkpoint "$number" -o /home/there.ckpt
    [[ $output == *" process $number stood still for "* ]] || complain "$output"
    [ -s "$AWAY_HOME/there.ckpt" ]
    for order in release --local-io; do
        expect 1 away_command gdb-hijack "$order" "$number"
        # shellcheck disable=SC2154 # of expect()
        [[ $errors == *"process $number is away from its home"*"gdb-hijack checkpoint $number --exit"* ]] || complain "$errors"
    done
    finish
}

# --- programs that nobody here wrote, fed at home -----------------------------------------------------------------------
# Through the fifo $DIR/feed, portion by portion: each ends with an order to say so in the file "report".

words() { awk -v n="$1" 'BEGIN { for (i = 0; i < 400; i++) print "w" (n * i) % 61, i, (n * 7919 + i * 31) % 1009; print "end", n }'; }

sql() {
    [ "$1" -gt 1 ] || echo "CREATE TABLE t (portion, i, word); CREATE INDEX tw ON t (word); BEGIN;"
    awk -v n="$1" 'BEGIN { for (i = 0; i < 400; i++) printf "INSERT INTO t VALUES (%d, %d, \"w%d\");\n", n, i, (n * i) % 61 }'
    [ "$1" -lt "$PORTIONS" ] || echo "COMMIT; SELECT word, count(*), sum(i) FROM t GROUP BY 1; PRAGMA integrity_check;"
    echo "SELECT writefile('report', 'end $1');"
}

PORTIONS=11 fed=0
has_reported() { grep -qx "end $1" "$DIR/report" 2>/dev/null; }
feed() {
    fed=$((fed + 1))
    "$PORTION" $fed >&7
    wait_until has_reported $fed
}

# five_times PORTION COMMAND...: from portion to portion at the other host and at home; out and result must be the undisturbed
# ones
five_times() {
    local n
    PORTION=$1
    shift
    as mkdir "$DIR/plain"
    for ((n = 1; n <= PORTIONS; n++)); do "$PORTION" "$n"; done >"$DIR/all"
    (cd "$DIR/plain" && as "$@" <"$DIR/all" >out)
    as mkfifo "$DIR/feed"
    exec 7<>"$DIR/feed"
    IN=$DIR/feed start_program "$@"
    feed
    hijack_for_away
    there_and_back 5 feed
    [ "$fed" = "$PORTIONS" ]
    exec 7>&-
    ends_with 0
    cat "$DIR/plain"/{out,result*} >"$DIR/expected"
    cat "$DIR"/{out,result*} | cmp - "$DIR/expected"
    [ -s "$DIR/expected" ]
}

five_times_gawk() {
    five_times words gawk '{ count[$1] += $2 * $3 } $1 == "end" { print >"report"; close("report"); print NR, length(count) }
        END { n = asorti(count, key); for (i = 1; i <= n; i++) print key[i], count[key[i]] >"result" }'
}

@test "home, away, home, away, five times over: gawk" {
    away_or_skip
    five_times_gawk
}

@test "... python3, which makes, lists, renames and removes files" {
    away_or_skip
    cat >"$DIR/files.py" <<'END'
import hashlib, os, sys
seen = {}
os.mkdir("files")
for line in sys.stdin:
    a, *b = line.split()
    if a != "end":
        seen.setdefault(a, []).append(b)
        continue
    name = f"files/{b[0]}"
    with open(name + ".new", "x") as f:
        for word in sorted(seen): print(word, *seen[word], file=f)
    os.rename(name + ".new", name)
    with open(name, "rb") as f: digest = hashlib.file_digest(f, "sha256").hexdigest()
    if int(b[0]) % 3 == 0: os.unlink(name)
    print(sorted(os.listdir("files")), os.stat("files").st_mode, digest, os.uname().nodename, os.getuid(), os.path.basename(os.getcwd()) != "home")
    with open("report", "w") as f: print("end", b[0], file=f)
with open("result", "w") as f: print(seen, file=f)
END
    five_times words "$PYTHON" "$DIR/files.py"
}

@test "... sqlite3, with a transaction open from the first leg to the last" {
    away_or_skip
    five_times sql sqlite3 -bail result.db
    [ "$(tail -n 2 "$DIR/out")" = $'ok\n6' ]
}

# --- who and where it is ------------------------------------------------------------------------------------------------

has_described() { [ "$(cat "$DIR/rounds" 2>/dev/null || echo 0)" -ge "$1" ]; }
describes() {
    local rounds
    is_alive "$PID" && rounds=$(cat "$DIR/rounds") && wait_until has_described $((rounds + 2))
}

# From one host to the next, too, without home in between. (At home without remote I/O it has the number of the new process.)
@test "who and where it is does not change, at home, there, at a second host, and at home" {
    away_or_skip
    start_program sleep 1000
    peer=$PID
    start_target identity "$peer"
    wait_until has_described 1
    hijack_for_away
    for leg in 1 2; do
        leave_home
        go_away
        describes
        leave_away
        go_away
        describes
        leave_away
        restart_ready --remote-io
        describes
    done
    finish
}

# In a session of its own: the signal is for its whole group.
@test "what it sends to its group comes from itself, as it knows itself" {
    start_program "$PYTHON" -c '
import os, signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
open("ready", "w").close()
while not os.path.exists("go"): time.sleep(0.01)
for target in 0, os.getpid():
    os.kill(target, signal.SIGUSR1)
    got = signal.sigwaitinfo([signal.SIGUSR1])
    assert (got.si_pid, got.si_uid, got.si_code) == (os.getpid(), os.getuid(), 0), got'
    wait_until test -e "$DIR/ready"
    hijack
    checkpoint_exit
    UNDER=(setsid)
    restart_ready --remote-io
    as touch "$DIR/go"
    ends_with 0
}

# --- blocked calls ------------------------------------------------------------------------------------------------------

is_blocked_again() { wait_until is_blocked "$PID"; }

# blocked_in CALL...: blocked at home, it goes on blocked there, and at home, and there; what ends it happens at home.
blocked_in() {
    cat >"$DIR/wait.py" <<'END'
import os, select, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
with open("port", "w") as f: f.write(str(listener.getsockname()[1]))
def epoll_wait():
    e = select.epoll()
    e.register(0, select.EPOLLIN)
    return e.poll()
def poll():
    p = select.poll()
    p.register(0, select.POLLIN)
    return p.poll()
waits = {"read": lambda: os.read(0, 9), "poll": poll, "select": lambda: select.select([0], [], []), "epoll_wait": epoll_wait,
         "accept": lambda: listener.accept()[0].recv(9)}
print(waits[sys.argv[1]]())
END
    as mkfifo "$DIR/fifo"
    exec 7<>"$DIR/fifo"
    for call; do
        IN=$DIR/fifo start_program "$PYTHON" wait.py "$call"
        wait_until is_blocked "$PID"
        hijack_for_away
        there_and_back 1 is_blocked_again
        leave_home
        go_away
        is_blocked_again
        if [ "$call" = accept ]; then echo awake >"/dev/tcp/127.0.0.1/$(cat "$DIR/port")"; else echo awake >&7; fi
        ends_with 0
        grep -qE "^(b'awake.n'|\[\(0, 1\)\]|\(\[0\], \[\], \[\]\))$" "$DIR/out" || complain "$call: $(cat "$DIR/out")"
        [ "$call" = accept ] || [ "$call" = read ] || read -r _ <&7
    done
}

@test "blocked in read, poll, select, epoll_wait, accept" {
    away_or_skip
    blocked_in read poll select epoll_wait accept
}

# The program itself finds a call that returns too early.
@test "a timeout goes on there and at home" {
    away_or_skip
    for call in poll nanosleep epoll_wait; do
        start_target timeout "$call" 4000
        wait_until is_blocked "$PID"
        hijack_for_away
        there_and_back 1 is_blocked_again
        finish
        rm "$DIR"/*
    done
}

# --- what --io says there -----------------------------------------------------------------------------------------------

@test "restart --remote-io --io: buffered files, open already or opened there; files of the host that it goes on at" {
    away_or_skip
    cat >"$DIR/there.py" <<'END'
import os, time
def wait(name):
    open(name + ".here", "w").close()
    while not os.path.exists(name): time.sleep(0.01)
def fill(f, n):
    for i in range(n): os.write(f, b"%07d\n" % i)
old = os.open("old.buf", os.O_RDWR | os.O_CREAT)
shared = os.open("shared.buf", os.O_RDWR | os.O_CREAT)
copy = os.dup(shared)
fill(old, 10)
wait("away")
os.path.exists("/begin")
fill(old, 5000)
new = os.open("new.buf", os.O_RDWR | os.O_CREAT)
fill(new, 5000)
os.lseek(new, 0, 0)
read = b"".join(os.read(new, 8) for i in range(5000))
os.path.exists("/end")
assert read == b"".join(b"%07d\n" % i for i in range(5000))
fill(shared, 10)
fill(copy, 10)
with open("/home/scratch/a", "w+") as f:
    f.write(f"here")
    f.seek(0)
    assert f.read() == "here"
wait("back")
for f, n in (old, 5010), (new, 5000), (shared, 20):
    assert os.lseek(f, 0, 1) == 8 * n == os.fstat(f).st_size
fill(old, 10)
END
    start_program "$PYTHON" there.py
    wait_until test -e "$DIR/away.here"
    hijack_for_away
    leave_home
    as mkdir "$AWAY_HOME/scratch"
    away_restart --remote-io --io '*.buf=buffer' --io '/home/scratch/*=local'
    gdb_hijack trace "$PID" --json >"$DIR/trace" 2>"$DIR/trace.err" 3>&- &
    started $!
    wait_until test -s "$DIR/trace"
    as touch "$DIR/away"
    wait_until test -e "$DIR/back.here"
    [ "$(cat "$AWAY_HOME/scratch/a")" = here ]
    wait_until grep -q back.here "$DIR/trace"
    [ "$(grep -c '"call": *"write"' "$DIR/trace")" = 20 ] # those of the file with two descriptors
    [ "$(grep -c '"call": *"read"' "$DIR/trace")" -lt 10 ]
    leave_away
    go_home
    as touch "$DIR/back"
    ends_with 0
    { seq -f %07.0f 0 9; seq -f %07.0f 0 4999; seq -f %07.0f 0 9; } | cmp - "$DIR/old.buf"
    seq -f %07.0f 0 4999 | cmp - "$DIR/new.buf"
    { seq -f %07.0f 0 9; seq -f %07.0f 0 9; } | cmp - "$DIR/shared.buf"
}

@test "restart --io: what it takes, and when" {
    expect 2 gdb_hijack restart --io '*.x=buffer' job.ckpt
    expect 2 gdb_hijack restart --remote-io --io '*.x=fast' job.ckpt
    [[ $errors == *"PATTERN=local, not '*.x=fast'"* ]]
    expect 2 gdb_hijack restart --remote-io --io =buffer job.ckpt
}

# --- signals ------------------------------------------------------------------------------------------------------------

# The net's signal among them: at home it is the program's to block.
@test "a program that blocks every signal, in each thread" {
    away_or_skip
    cat >"$DIR/deaf.py" <<'END'
import os, signal, threading, time
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
def work(name):
    with open(name, "w") as f:
        while not os.path.exists("stop"):
            time.sleep(0.005)
        print(os.uname().nodename, file=f)
threads = [threading.Thread(target=work, args=(f"by.{n}",)) for n in range(3)]
for t in threads: t.start()
work("by.main")
for t in threads: t.join()
END
    start_program "$PYTHON" deaf.py
    wait_until test -e "$DIR/by.main"
    hijack_for_away
    there_and_back 1
    leave_home
    go_away
    finish
    [ "$(sort -u "$DIR"/by.*)" = "$(uname -n)" ]
}

# --- connections --------------------------------------------------------------------------------------------------------

# converses: the conversation goes on, by a thousand lines
converses() {
    local from
    from=$(cat "$DIR/count")
    wait_until has_counted $((from + 1000))
}
has_counted() { [ "$(cat "$DIR/count" 2>/dev/null || echo 0)" -ge "$1" ]; }

@test "a TCP client is away and back in mid-conversation, then its server; neither notices" {
    away_or_skip
    cat >"$DIR/talk.py" <<'END'
import os, socket, sys
def lines(s, first):
    """Each side answers the other's number with the next; the client counts, and ends it when "stop" is there."""
    f, n = s.makefile("rw"), first
    if first: print(n, file=f, flush=True)
    for line in f:
        if int(line) != n + 1: sys.exit(f"{line.strip()} after {n}")
        n = int(line) + 1
        print(n, file=f, flush=True)
        if first and n % 100 == 1:
            with open("count.new", "w") as c: c.write(str(n))
            os.rename("count.new", "count")
            if os.path.exists("stop"): break
    s.shutdown(socket.SHUT_WR)
    while s.recv(1000): pass
if sys.argv[1] == "serve":
    listener = socket.create_server(("127.0.0.1", 0))
    with open("port.new", "w") as f: f.write(str(listener.getsockname()[1]))
    os.rename("port.new", "port")
    lines(listener.accept()[0], 0)
else:
    with open("port") as f: lines(socket.create_connection(("127.0.0.1", int(f.read()))), 1)
END
    start_program "$PYTHON" talk.py serve
    server=$PID
    wait_until test -e "$DIR/port"
    start_program "$PYTHON" talk.py call
    wait_until has_counted 1
    hijack_for_away
    there_and_back 1 converses
    leave_home
    go_away
    client=$MAIN PID=$server MAIN=$server
    converses
    hijack_for_away
    there_and_back 1 converses
    as touch "$DIR/stop"
    ends_with 0 "$client"
    ends_with 0
}

# --- without namespaces, and home while it runs -------------------------------------------------------------------------

@test "restart --remote-io at home; then its input and output come home while it runs" {
    start_target descriptors "$DIR"
    hijack
    checkpoint_exit
    restart_ready --remote-io
    [ "$(find "/proc/$PID/fd" -lname "$DIR/*" | wc -l)" = 0 ]
    expect 0 gdb_hijack status "$PID" --json
    [ "$(json "$output" "first(d, 'away')")" = False ]
    [ "$(json "$output" "first(d, 'remote')")" = True ]
    expect 0 gdb_hijack hijack --local-io "$PID"
    [ "$(find "/proc/$PID/fd" -lname "$DIR/*" | wc -l)" -gt 5 ]
    not flock --nonblock "$DIR/flock" true
    finish
}

@test "to the shadow and home, ten times" {
    start_target descriptors "$DIR"
    hijack
    for ((n = 0; n < 10; n++)); do
        expect 0 gdb_hijack hijack --remote-io "$PID"
        expect 0 gdb_hijack hijack --local-io "$PID"
    done
    not flock --nonblock "$DIR/flock" true
    release
    finish
}

# It has no number for what would come home.
@test "a way home that fails leaves it remote, and whole" {
    start_target descriptors "$DIR"
    hijack
    expect 0 gdb_hijack hijack --remote-io "$PID"
    as prlimit --pid "$PID" --nofile=12:12
    expect 3 gdb_hijack hijack --local-io "$PID"
    [[ $errors == *"cannot give the descriptors back"* ]]
    not flock --nonblock "$DIR/flock" true
    expect 0 gdb_hijack status "$PID" --json
    [ "$(json "$output" "first(d, 'remote')")" = True ]
    finish
}

@test "directory, mask of modes and record locks come home" {
    cat >"$DIR/context.py" <<'END'
import fcntl, os, time
def wait(name):
    while not os.path.exists(f"../{name}"): time.sleep(0.01)
    open(f"../{name}.done", "w").close()
os.mkdir("one"), os.mkdir("two"), os.chdir("one"), os.umask(0o077)
lock = open("lock", "w")
fcntl.lockf(lock, fcntl.LOCK_EX)
wait("change")
os.chdir("../two"), os.umask(0o027)
late = open("late", "w")
fcntl.lockf(late, fcntl.LOCK_EX)
wait("changed")
open("file", "w").close()
print(os.getcwd().split("/")[-1], oct(os.stat("file").st_mode))
wait("over")
END
    is_locked() { not as "$PYTHON" -c 'import fcntl, sys; fcntl.lockf(open(sys.argv[1], "r+"), fcntl.LOCK_EX | fcntl.LOCK_NB)' "$DIR/$1" 2>/dev/null; }
    tell() { as touch "$DIR/$1" && wait_until test -e "$DIR/$1.done"; }
    start_program "$PYTHON" context.py
    wait_until test -e "$DIR/one/lock"
    hijack
    expect 0 gdb_hijack hijack --remote-io "$PID"
    is_locked one/lock
    tell change
    expect 0 gdb_hijack hijack --local-io "$PID"
    [ "$(readlink "/proc/$PID/cwd")" = "$DIR/two" ]
    is_locked one/lock
    is_locked two/late
    tell changed
    tell over
    ends_with 0
    [ "$(cat "$DIR/out")" = "two 0o100640" ]
}

# --- refused ------------------------------------------------------------------------------------------------------------

@test "without its shadow it cannot be restarted with remote I/O" {
    start_target alloc
    hijack
    shadow=$(shadow_of)
    checkpoint_exit
    kill -KILL "$shadow"
    wait_until is_gone "$shadow"
    expect 1 gdb_hijack restart --remote-io job.ckpt
    [[ $errors == *"no shadow at '/"*"its shadow is gone"* ]]
}

@test "the same image again while the first copy lives: refused, with its number" {
    away_or_skip
    start_target descriptors "$DIR"
    hijack_for_away
    leave_home
    go_away
    expect 1 gdb_hijack restart --remote-io job.ckpt
    [[ $errors == *"the program lives: it is process $PID (descriptors)"* ]]
    finish
}

@test "another user is refused, even one who has a copy of the image and reaches the socket" {
    [ "$(id -u)" = 0 ] || skip "not root"
    own_runtime_directory
    start_target alloc
    hijack
    expect 0 gdb_hijack status "$PID" --json
    socket=$(json "$output" "first(d, 'socket')")
    checkpoint_exit
    chmod 755 "$DIR" "$DIR/run" "${socket%/*}"
    chmod 666 "$socket"
    unset XDG_RUNTIME_DIR
    cp "$DIR/job.ckpt" "$DIR/other.ckpt"
    chown nobody "$DIR/other.ckpt"
    WHO=nobody expect 1 gdb_hijack restart --remote-io "$DIR/other.ckpt"
    chmod 700 "$DIR/run" "${socket%/*}"
    [[ $errors == *"the shadow there is another user's"* ]]
    restart
    finish
}

@test "a socket elsewhere is named with --shadow" {
    start_target descriptors "$DIR"
    hijack
    expect 0 gdb_hijack status "$PID" --json
    socket=$(json "$output" "first(d, 'socket')")
    checkpoint_exit
    as mv "$socket" "$DIR/elsewhere.sock"
    expect 1 gdb_hijack restart --remote-io job.ckpt
    restart_ready --remote-io --shadow "$DIR/elsewhere.sock"
    finish
}

# What a thread knows of itself - the id that it makes a lock's owner, its rseq - is another's in each place.
twice_away() {
    away_or_skip
    start_target "$1"
    hijack_for_away
    there_and_back 2
    finish
}

@test "every lock, held and fought for, away and home twice" { twice_away threads; }
@test "... musl" { twice_away musl/threads; }

ends_there() {
    away_or_skip
    start_target "$1"
    hijack_for_away
    leave_home
    go_away
    finish
}
@test "threads that are cancelled there" { ends_there threads; }
@test "threads that are cancelled there, musl" { ends_there musl/threads; }
@test "signals from thread to thread there" { ends_there threads_signals; }
@test "threads created and ended there" { ends_there storm; }
@test "every synchronisation object there" { ends_there sync; }

@test "a user that is set in every thread there" {
    away_or_skip
    start "$PYTHON" -c '
import os, threading, time
over = threading.Event()
others = [threading.Thread(target=over.wait) for n in range(3)]
for t in others: t.start()
open(os.environ["READY"], "w").close()
while not os.path.exists("go"): time.sleep(0.01)
os.setuid(os.getuid())
os.setgid(os.getgid())
over.set()
for t in others: t.join()'
    wait_until test -e "$DIR/ready"
    hijack_for_away
    leave_home
    go_away
    as touch "$DIR/go"
    ends_with 0
}

# --- root; the other host is its own from now on ------------------------------------------------------------------------

@test "home, away, home, away, five times over: gawk as root" {
    [ "$(id -u)" = 0 ] || skip "not root"
    away_or_skip
    WHO=root
    chown root "$DIR"
    chown -R root "$AWAY_BASE"
    five_times_gawk
}
