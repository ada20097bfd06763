"""terminal.py SCENARIO - a user at a terminal, for terminal.bats.

A Terminal is a pseudo-terminal with an interactive bash on it. The scenarios type, and `see` what is
displayed: each wait is for something on the screen or in /proc, with a deadline, never for time to
pass. The first thing that is not as it should be ends the scenario with status 1 and the screen.
"""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

GDB_HIJACK = os.environ["GDB_HIJACK"]
PYTHON = "/usr/bin/python3"
DEADLINE = float(os.environ.get("DEADLINE", "30"))
KEPT = sys.argv[1].startswith("kept-")
RESTART = "$GDB_HIJACK restart " + ("--keep-ids " if KEPT else "") + "job.ckpt"
CTRL_C, CTRL_D, CTRL_Z, LEFT, UP, HOME, KILL = "\x03", "\x04", "\x1a", "\x1b[D", "\x1b[A", "\x01", "\x0b"
PROMPT = r"bash\d+\$ $"
ESCAPE = re.compile(rb"\x1b(\[[0-9;?]*[a-zA-Z]|[=>])")
CONTROL = "VINTR", "VQUIT", "VERASE", "VKILL", "VEOF", "VMIN", "VTIME", "VSUSP"


class Failed(Exception):
    pass


def until(what, condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise Failed("waited in vain: " + what)
        time.sleep(0.002)


def state(pid):
    """Of the program, and of the process that its shell knows: both are stopped, or it is neither."""
    own, kept = state_of(pid), state_of(program(pid))
    return kept if own == kept or "T" not in (own, kept) else "stopping"


def state_of(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(") ", 1)[1][0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


class Terminal:
    shells = 0

    def __init__(self, rows=24, columns=120):
        Terminal.shells += 1
        self.raw, self.seen, self.all = b"", 0, b""
        self.shell, self.master = pty.fork()
        if self.shell == 0:
            os.environ.update(PS1=f"bash{Terminal.shells}$ ", TERM="xterm", INPUTRC=os.path.abspath("inputrc"),
                              HISTFILE="/dev/null", PYTHONSTARTUP="", HOME=os.getcwd(), GDB_HIJACK=GDB_HIJACK)
            os.execv("/bin/bash", ["bash", "--norc", "--noprofile", "-i"])
        self.resize(rows, columns)
        self.see(PROMPT)

    # --- what is displayed ---

    def pump(self, wait):
        if select.select([self.master], [], [], wait)[0]:
            try:
                got = os.read(self.master, 65536)
            except OSError:  # the last one has closed the terminal
                got = b""
            self.all += got
            self.raw += got
            return bool(got)
        return False

    def screen(self):
        """Lines as they stand there: a carriage return begins the line again."""
        text = re.sub(rb"\r+\n", b"\n", ESCAPE.sub(b"", self.raw))
        return re.sub(rb"[^\n]*\r(?!\Z)", b"", text).decode(errors="replace")

    def see(self, pattern):
        """Waits until `pattern` is displayed; what is before it has then been seen. Returns the match."""
        end = time.monotonic() + DEADLINE
        while True:
            match = re.search(pattern, self.screen(), re.M)
            if match:
                rest = self.screen()[match.end():]
                self.raw = rest.encode()
                return match
            left = end - time.monotonic()
            if left < 0:
                raise Failed(f"never displayed: {pattern!r}; the screen:\n" + self.screen())
            self.pump(min(left, 0.2))

    def type(self, text):
        os.write(self.master, text.encode())

    def command(self, line):
        """A command of the shell, and its output."""
        self.type(line + "\r")
        self.see(re.escape(line[-20:]) + r"\n")
        return self.see(r"(?s)(.*?)" + PROMPT).group(1)

    # --- the terminal itself ---

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def modes(self):
        """Flags and the characters that matter, comparable."""
        m = termios.tcgetattr(self.master)
        return m[:4] + [m[6][getattr(termios, c)] for c in CONTROL]

    def is_raw(self):
        return not self.modes()[3] & (termios.ICANON | termios.ECHO)

    def foreground(self):
        """The job in the foreground, when it is not the shell, nor the shell's child on its way to it: its process."""
        until("a job in the foreground", lambda: os.tcgetpgrp(self.master) != self.shell)
        pid = os.tcgetpgrp(self.master)
        until("the job's program", lambda: os.readlink(f"/proc/{pid}/exe") != os.readlink(f"/proc/{self.shell}/exe"))
        return pid

    def close(self):
        if self.master is None:
            return
        for pid in children(self.shell) + [self.shell]:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        os.waitpid(self.shell, 0)
        os.close(self.master)
        self.master = None


def children(parent):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                if int(f.read().rsplit(") ", 1)[1].split()[1]) == parent:
                    found.append(int(pid))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def name(pid):
    """Of a process; None when it has ended meanwhile."""
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read().rstrip("\n")
    except (FileNotFoundError, ProcessLookupError):
        return None


def program(pid):
    """What process `pid` is to its shell: with --keep-ids, its child."""
    kept = [child for child in children(pid) if name(child) not in ("hijack-guard", None)] if KEPT else []
    return kept[0] if kept else pid


def check(condition, what):
    if not condition:
        raise Failed(what)


def same(a, b, what):
    check(a == b, f"{what}: {a!r} became {b!r}")


def tool(*arguments, status=0):
    """gdb-hijack from elsewhere, without a terminal; returns what it said."""
    done = subprocess.run([GDB_HIJACK, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, start_new_session=True)
    check(done.returncode == status, f"{arguments}: status {done.returncode}: {done.stdout}")
    return done.stdout


# --- three programs with line editing: how each is talked to ----------------------------------------------------------

class Python:
    line, prompt, leave, status = PYTHON + " -q", r"^>>> $", CTRL_D, 0

    @staticmethod
    def talk(t):
        """1234 typed as 134, two steps back, 2: line editing works in the program."""
        t.type("print(134" + 2 * LEFT + "2" + "\x05)\r")
        t.see(r"^1234\n")
        t.see(r"^>>> $")
        t.type(UP + "\r")  # its history, too
        t.see(r"^1234\n")
        t.see(r"^>>> $")

    @staticmethod
    def interrupt(t):
        t.type("exec('print(\"busy\")\\nwhile True: pass')\r")
        t.see(r"^busy\n")
        t.type(CTRL_C)
        t.see(r"KeyboardInterrupt\n")
        t.see(r"^>>> $")

    @staticmethod
    def size(t, rows, columns):
        t.type("import os; print(os.get_terminal_size())\r")
        t.see(rf"os.terminal_size\(columns={columns}, lines={rows}\)\n")
        t.see(r"^>>> $")


def fills_a_row(t, digits):
    """So many are one row and a little more: the way back to the beginning of the line leads one row up."""
    begun = len(t.all)
    t.type("1" * digits)
    until("the digits", lambda: t.pump(0.01) and t.all.count(b"1", begun) >= digits)
    begun = len(t.all)
    t.type(HOME)
    until("the way up", lambda: t.pump(0.01) and b"\x1b[A" in t.all[begun:])
    begun = len(t.all)
    t.type(KILL)
    until("the line to be erased", lambda: t.pump(0.01) and re.search(rb"\x1b\[[JKP]", t.all[begun:]))


class Bc:
    """It has no prompt: that its line editing is there again is seen by the modes. What was typed before is read in the
    modes after, and an end of file (CTRL_D) would be a NUL then."""
    line, prompt, leave, status = "bc -q", r"", CTRL_D, 0

    @staticmethod
    def talk(t):
        t.type("134" + 2 * LEFT + "2" + "\x05*2\r")
        t.see(r"^2468\n")
        until("line editing", t.is_raw)

    @staticmethod
    def interrupt(t):
        t.type("x=0; while (1) { x=x+1; if (x==77) x }\r")
        t.see(r"^77\n")
        t.type(CTRL_C)
        t.see(r"interrupt")
        until("line editing", t.is_raw)

    @staticmethod
    def size(t, rows, columns):
        fills_a_row(t, columns + 2)


class Sqlite:
    line, prompt, leave = "sqlite3", r"^sqlite> $", CTRL_D
    status = 1  # a query was interrupted

    @staticmethod
    def talk(t):
        t.type("select 134" + 2 * LEFT + "2" + "\x05*2;\r")
        t.see(r"^2468\n")
        t.see(r"^sqlite> $")

    @staticmethod
    def interrupt(t):
        t.type("with recursive c(x) as (select 1 union all select x+1 from c) select x from c where x % 99999 = 0;\r")
        t.see(r"^99999\n")
        t.type(CTRL_C)
        t.see(r"[iI]nterrupt")
        t.see(r"^sqlite> $")

    @staticmethod
    def size(t, rows, columns):
        fills_a_row(t, columns - len("sqlite> ") + 2)


def begin(t, program):
    before = t.command("stty -g")
    t.type(program.line + "\r")
    t.see(re.escape(program.line) + r"\n")
    pid = t.foreground()
    if program.prompt:
        t.see(program.prompt)
    program.talk(t)
    until("line editing", t.is_raw)
    return pid, before


def suspend_and_resume(t, pid, program):
    t.type(CTRL_Z)
    t.see(r"Stopped")
    t.see(PROMPT)
    check(state(pid) == "T", "not stopped")
    t.type("fg\r")
    t.see(r"fg\n.*\n")
    until("running again", lambda: os.tcgetpgrp(t.master) != t.shell and state(pid) == "S")


def exercise(t, pid, program):
    """All that a user does at a terminal."""
    program.talk(t)
    program.interrupt(t)
    program.talk(t)
    for rows, columns in ((33, 111), (24, 99)):
        t.resize(rows, columns)
        program.size(t, rows, columns)
    suspend_and_resume(t, pid, program)
    program.talk(t)


def end(t, program, before, what):
    t.type(program.leave)
    t.see(PROMPT)
    same(t.command("echo status $?"), f"status {program.status}\n", what)
    same(before, t.command("stty -g"), "modes of the terminal after " + what)


def at_home(program):
    t = Terminal()
    pid, before = begin(t, program)
    raw = t.modes()
    tool("-q", pid)
    same(raw, t.modes(), "modes of the terminal at the hijack")
    exercise(t, pid, program)
    tool("checkpoint", pid, "-o", "job.ckpt")
    exercise(t, pid, program)
    end(t, program, before, "the hijacked program")
    t.close()


def remote(program):
    """The shadow talks to the terminal; then the program itself again."""
    t = Terminal()
    pid, before = begin(t, program)
    raw = t.modes()
    tool("-q", "--remote-io", pid)
    same(raw, t.modes(), "modes of the terminal when remote I/O begins")
    exercise(t, pid, program)
    tool("checkpoint", pid, "-o", "job.ckpt")
    program.talk(t)
    tool("-q", "--local-io", pid)
    program.talk(t)
    tool("-q", "--remote-io", pid)
    program.interrupt(t)
    program.talk(t)
    end(t, program, before, "the program with remote I/O")
    t.close()


def remote_background():
    """A background job that reads the terminal by its shadow is stopped as any other; so is one that writes, under tostop."""
    t = Terminal()
    t.type("cat\r")
    t.see("cat\n")
    pid = t.foreground()
    until("cat reads", lambda: state(pid) == "S")
    tool("-q", "--remote-io", pid)
    t.type("one\r")
    t.see("one\none\n")
    t.type(CTRL_Z)
    t.see(r"Stopped")
    t.see(PROMPT)
    t.type("bg\r")
    t.see(PROMPT)
    until("stopped for reading", lambda: state(pid) == "T")
    check("(tty input)" in t.command("jobs -l"), "not stopped by SIGTTIN")
    t.type("fg\r")
    t.see(r"fg\n.*cat\n")
    t.type("two\r")
    t.see("two\ntwo\n")
    t.type(CTRL_D)
    t.see(PROMPT)
    same(t.command("echo status $?"), "status 0\n", "cat")
    t.close()


def leaves(t, pid):
    """checkpoint --exit: the shadow keeps what the program has open, and the shell its terminal."""
    tool("checkpoint", pid, "--exit", "-o", "job.ckpt")
    t.see(PROMPT)
    t.type("test $? = 85 && stty sane && echo it was\r")  # what an exit does to the terminal: usable_afterwards()
    t.see(r"^it was\n")


def elsewhere(program, leaves=leaves):
    t = Terminal()
    pid, before = begin(t, program)
    raw = t.modes()
    tool("-q", pid)
    leaves(t, pid)
    u = Terminal(40, 100)
    before = u.command("stty -g")
    u.type(RESTART + "\r")
    u.see(r"job.ckpt\n")
    pid = u.foreground()
    until("the program is back", lambda: state(pid) == "S" and u.modes() == raw)
    program.size(u, 40, 100)
    exercise(u, pid, program)
    end(u, program, before, "the restarted program")
    t.close()
    u.close()


# --- jobs of a shell --------------------------------------------------------------------------------------------------

LOOP = PYTHON + " loop.py "


LOOP_FILE = """import os, time
print("at work", flush=True)
while not os.path.exists("stop"):
    time.sleep(0.01)
print("done")
"""


def shell_starts(t, line):
    t.type(line + "\r")
    pid = int(t.see(r"^\[1\] (\d+)\n").group(1))
    t.see("at work\n")
    return pid


def from_its_shell():
    """gdb-hijack is a job of the shell whose job the program is."""
    t = Terminal()
    shell_starts(t, LOOP + "&")
    said = t.command("$GDB_HIJACK -q $!; echo $?") + t.command("jobs")
    check("Stopped" not in said and "Running" in said and said.startswith("0\n"), said)
    t.type("fg\r")
    t.see("fg\n")
    pid = t.foreground()
    t.type(CTRL_Z)
    t.see(r"Stopped")
    t.see(PROMPT)
    said = t.command("$GDB_HIJACK checkpoint %d -o job.ckpt; echo $?" % pid)
    check("stopped" in said and said.endswith("1\n"), said)
    t.command("bg")
    said = t.command("$GDB_HIJACK checkpoint -q $! --exit -o job.ckpt; wait $!; echo status $?")
    check("status 85\n" in said, said)
    t.type(RESTART + "\r")
    t.see("job.ckpt\n")
    pid = t.foreground()
    until("at work again", lambda: caught(pid))
    t.type(CTRL_Z)
    t.see(r"Stopped")
    t.see(PROMPT)
    t.command("bg")
    # With builtins only: once bash, waiting for another child, has told of the end of a job that began in the
    # foreground, `wait` knows it no more.
    said = t.command(": >stop; wait $!; echo status $?")
    check("done\n" in said and "status 0\n" in said, said)
    t.close()


def caught(pid, signal=63):
    pid = program(pid)
    try:
        with open(f"/proc/{pid}/status") as f:
            return int(re.search(r"SigCgt:\s*(\w+)", f.read()).group(1), 16) >> (signal - 1) & 1
    except (FileNotFoundError, ProcessLookupError, AttributeError):
        return False


def interrupted():
    """Ctrl-C and Ctrl-\\ end a restarted program as they end any; the shell sees which signal it was."""
    for key, status in (CTRL_C, 130), ("\x1c", 131):
        t = Terminal()
        t.type("cat\r")
        t.see("cat\n")
        pid = t.foreground()
        until("cat reads", lambda: state(pid) == "S")
        tool("-q", pid)
        tool("checkpoint", "-q", pid, "--exit", "-o", "job.ckpt")
        t.see(PROMPT)
        t.type(RESTART + "\r")
        t.see("job.ckpt\n")
        pid = t.foreground()
        t.type("a line\r")
        t.see("a line\na line\n")  # echo, and cat's
        t.type(key)
        t.see(PROMPT)
        said = t.command("echo status $?")
        check(said == f"status {status}\n", said)
        t.close()


def background():
    """Restarted as a background job: reading from the terminal stops it, fg makes it go on; so does writing under tostop."""
    t = Terminal()
    t.type("cat\r")
    t.see("cat\n")
    pid = t.foreground()
    until("cat reads", lambda: state(pid) == "S")
    tool("-q", pid)
    tool("checkpoint", "-q", pid, "--exit", "-o", "job.ckpt")
    t.see(PROMPT)
    u = Terminal()
    u.type(RESTART + " &\r")
    pid = int(u.see(r"^\[1\] (\d+)\n").group(1))
    until("stopped for reading", lambda: state(pid) == "T")
    check("(tty input)" in u.command("jobs -l"), "not stopped by SIGTTIN")
    u.type("fg\r")
    u.see(r"fg\n.*job.ckpt\n")
    u.type("hello\r")
    u.see("hello\nhello\n")
    u.type(CTRL_D)
    u.see(PROMPT)
    same(u.command("echo status $?"), "status 0\n", "cat")
    t.close()
    u.close()


def background_tostop():
    t = Terminal()
    pid = shell_starts(t, LOOP + "&")
    tool("-q", pid)
    t.type("\r")
    t.see(PROMPT)
    tool("checkpoint", "-q", pid, "--exit", "-o", "job.ckpt")  # while the shell edits a line: its modes, not the program's
    u = Terminal()
    u.command("stty tostop")
    u.type(RESTART + " &\r")
    pid = int(u.see(r"^\[1\] (\d+)\n").group(1))
    until("at work again", lambda: caught(pid))
    open("stop", "w").close()
    until("stopped for writing", lambda: state(pid) == "T")
    check("(tty output)" in u.command("jobs -l"), "not stopped by SIGTTOU")
    u.type("fg\r")
    u.see(r"^done\n")
    u.see(PROMPT)
    same(u.command("echo status $?"), "status 0\n", "the program")
    t.close()
    u.close()


def not_its_modes():
    """A background job is checkpointed while the shell edits a line: the modes are the shell's, and not brought along."""
    t = Terminal()
    pid = shell_starts(t, LOOP + "&")
    until("the shell's line editing", t.is_raw)
    tool("-q", pid)
    tool("checkpoint", "-q", pid, "--exit", "-o", "job.ckpt")
    u = Terminal()
    u.type(RESTART + "\r")
    u.see("job.ckpt\n")
    pid = u.foreground()
    until("at work again", lambda: caught(pid))
    check(not u.is_raw(), "the terminal has the modes of another terminal's shell")
    open("stop", "w").close()
    u.see(r"^done\n")
    u.see(PROMPT)
    t.close()
    u.close()


RAW = """import os, signal, sys, termios, tty
old = termios.tcgetattr(0)
signal.signal(signal.SIGWINCH, lambda *a: print("size %d %d\\r" % os.get_terminal_size()[::-1], flush=True))
tty.setraw(0)
mine = termios.tcgetattr(0)
mine[6][termios.VERASE] = b"Y"
termios.tcsetattr(0, termios.TCSANOW, mine)
print("raw\\r", flush=True)
while True:
    key = os.read(0, 1)
    print("key %d %s\\r" % (key[0], "mine" if termios.tcgetattr(0) == mine else "not mine"), flush=True)
    if key == b"q":
        break
termios.tcsetattr(0, termios.TCSANOW, old)
print("left")
"""


def full_screen(how):
    """A program that reads keys: every key is its own, and the modes are as it has set them."""
    t = Terminal()
    t.type(f"{PYTHON} raw.py\r")
    t.see("^raw\n")
    pid = t.foreground()
    tool("-q", pid)
    t.type(CTRL_C)
    t.see("key 3 mine\n")
    t.resize(50, 60)
    t.see("^size 50 60\n")
    tool("checkpoint", "-q", pid, "--exit", "-o", "job.ckpt")
    t.see(PROMPT)
    u = Terminal(30, 90)
    before = u.command("stty -g")
    u.type(RESTART + (" &" if how == "background" else "") + "\r")
    u.see("job.ckpt.*\n")
    if how == "background":
        pid = int(u.see(r"^\[1\] (\d+)\n").group(1))
        until("stopped", lambda: state(pid) == "T")
        u.type("\r")
        u.see(PROMPT)
        u.type("fg\r")
        u.see("fg\n.*restart.*\n")
    pid = u.foreground()
    until("its modes", lambda: not u.modes()[3] & termios.ISIG)
    u.type(CTRL_Z)
    u.see("key 26 mine\n")
    u.resize(31, 91)
    u.see("^size 31 91\n")
    u.type("q")
    u.see("left\n")
    u.see(PROMPT)
    same(before, u.command("stty -g"), "modes afterwards")
    t.close()
    u.close()


def cooked(t):
    """The modes that a command of the shell finds."""
    t.type("cat\r")
    t.see("^cat\n|\\$ cat\n")
    pid = t.foreground()
    until("cat reads", lambda: state(pid) == "S")
    modes = t.modes()
    t.type(CTRL_D)
    t.see(PROMPT)
    return modes


def usable_afterwards():
    """checkpoint --exit of a program that edits lines: the shell it leaves echoes, and commands read lines."""
    t = Terminal()
    before = cooked(t)
    pid, _ = begin(t, Python)
    tool("-q", pid)
    tool("checkpoint", "-q", pid, "--exit", "-o", "job.ckpt")
    t.see(PROMPT)
    same(before, cooked(t), "modes of the terminal")
    t.close()


FILES = {"inputrc": "set enable-bracketed-paste off\n", "loop.py": LOOP_FILE, "raw.py": RAW}
JOBS = {"remote-background": remote_background,
        "shell": from_its_shell, "interrupted": interrupted, "background": background,
        "tostop": background_tostop, "not-its-modes": not_its_modes, "usable": usable_afterwards,
        "raw": lambda: full_screen("foreground"), "raw-background": lambda: full_screen("background")}
SCENARIOS = JOBS | {f"{how}-{name}": (lambda f=f, p=p: f(p))
             for how, f in (("home", at_home), ("remote", remote), ("elsewhere", elsewhere))
             for name, p in (("python3", Python), ("bc", Bc), ("sqlite3", Sqlite))}


def play(scenarios, files=FILES):
    for name, text in (FILES | files).items():
        with open(name, "w") as f:
            f.write(text)
    try:
        scenarios[sys.argv[1].removeprefix("kept-")]()
    except Failed as failed:
        sys.exit(f"{sys.argv[1]}: {failed}")


if __name__ == "__main__":
    play(SCENARIOS)
