"""terminal_gone.py SCENARIO - a program that was killed after its checkpoint, and whose terminal is closed, for terminal.bats.

No shadow is left. What the program had open of its terminal becomes the restart command's: its terminal, or whatever
its standard streams are; or what --fd names.
"""
import os
import signal
import subprocess

from terminal import (CTRL_D, DEADLINE, GDB_HIJACK, PROMPT, PYTHON, Bc, Python, Sqlite, Terminal, begin, check,
                      elsewhere, play, same, state, tool, until)

# It answers each line on its standard output, and on three descriptors of its terminal: a copy of its standard input (7), the
# terminal opened by its name (8), and as /dev/tty (9).
ASK = """import os
def move(fd, to):
    os.dup2(fd, to)
    os.close(fd)
os.dup2(0, 7)
move(os.open(os.ttyname(0), os.O_RDWR), 8)
move(os.open("/dev/tty", os.O_WRONLY), 9)
while line := os.read(0, 100):
    for fd in 1, 7, 8, 9:
        os.write(fd, b"%d " % fd + line)
"""


def lost(t, pid):
    """A checkpoint that the program goes on from; then it is killed, and its terminal closed."""
    tool("checkpoint", pid, "-o", "job.ckpt")
    until("it goes on", lambda: state(pid) == "S")
    os.kill(pid, signal.SIGKILL)
    until("its end, and its shadow's", lambda: state(pid) == "" and str(pid) not in tool("status").split())
    t.close()


def lost_reader(line):
    """A program that reads lines has answered one, and is lost."""
    t = Terminal()
    t.type(line + "\r")
    t.see(line + r"\n")
    pid = t.foreground()
    t.type("at home\r")
    t.see(r"^at home\n.*at home\n")
    until("it reads", lambda: state(pid) == "S")
    tool("-q", pid)
    lost(t, pid)


def restart(*options, status=0, read=""):
    """A restart by somebody who has no terminal, on pipes; what the program wrote, and what the command said."""
    done = subprocess.run([GDB_HIJACK, "restart", "-q", *options, "job.ckpt"], input=read, capture_output=True, text=True,
                          start_new_session=True, timeout=DEADLINE)
    check(done.returncode == status, f"restart {options}: status {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout, done.stderr


def pipes():
    lost_reader("cat")
    same(restart(read="one\ntwo\n"), ("one\ntwo\n", ""), "what cat does on pipes")


def line_editing_on_pipes():
    """A prompt's program, which has read keys so far, reads lines."""
    t = Terminal()
    pid, _ = begin(t, Python)
    tool("-q", pid)
    lost(t, pid)
    out, err = restart(read="print(6 * 7)\n")
    check("42\n" in out, f"python3 at its prompt, on pipes: {out!r} {err!r}")


def named():
    lost_reader("cat")
    with open("input", "w") as f:
        f.write("from a file\n")
    same(restart("--fd", "0=input", "--fd", "1=output"), ("", ""), "what is on the command's own streams")
    with open("output") as f:
        same(f.read(), "from a file\n", "the file in place of the terminal")
    with open("input") as f:
        same(f.read(), "from a file\n", "the input")
    u = Terminal()
    same(u.command("$GDB_HIJACK restart -q --fd 0=input job.ckpt"), "from a file\n", "one stream a file, one a terminal")
    u.close()


def others():
    """Descriptors above 2 are the restart command's terminal, whichever way they were opened."""
    lost_reader(PYTHON + " ask.py")
    u = Terminal()
    u.type("$GDB_HIJACK restart -q job.ckpt\r")
    u.see(r"restart -q job.ckpt\n")
    u.foreground()
    u.type("elsewhere\r")
    u.see(r"^elsewhere\n1 elsewhere\n7 elsewhere\n8 elsewhere\n9 elsewhere\n")
    u.type(CTRL_D)
    u.see(PROMPT)
    u.type("echo piped | $GDB_HIJACK restart -q job.ckpt | cat\r")
    u.see(r"job.ckpt \| cat\n")
    shown = u.see(r"(?s)(.*)" + PROMPT).group(1)
    same(sorted(shown.split("\n")), ["", "1 piped", "7 piped", "8 piped", "9 piped"], "what the program answers")
    u.close()


def refused():
    lost_reader(PYTHON + " ask.py")
    given = []
    for number in 7, 8, 9:
        out, err = restart(*given, status=1, read="not read\n")
        wanted = f"descriptor {number} (", f"this command has no terminal; give another one with --fd {number}=PATH"
        check(all(w in err for w in wanted) and not out, f"not refused by name: {out}{err}")
        given += "--fd", f"{number}=file{number}"
    same(restart(*given, read="here\n"), ("1 here\n", ""), "the program on pipes and files")
    for number in 7, 8, 9:
        with open(f"file{number}") as f:
            same(f.read(), f"{number} here\n", "the file in place of the terminal")


SCENARIOS = {"pipes": pipes, "line-editing-on-pipes": line_editing_on_pipes, "named": named, "others": others,
             "refused": refused} | {
                 f"elsewhere-{name}": (lambda p=p: elsewhere(p, lost))
                 for name, p in (("python3", Python), ("bc", Bc), ("sqlite3", Sqlite))}

if __name__ == "__main__":
    play(SCENARIOS, {"ask.py": ASK})
