#!/usr/bin/env bats
# The terminal: line editing, Ctrl-C, Ctrl-Z and fg, window size, end of file, modes, jobs. tests/terminal.py is the user: an
# interactive bash on a pseudo-terminal, or two of them, to which it types.

load lib

setup() { work_begin; }
teardown() { work_end; }

# scenario NAME [FILE]
scenario() {
    cp "$TESTS"/terminal{,_gone}.py "$DIR"
    chmod 644 "$DIR"/terminal{,_gone}.py
    as_prefix
    (close_inherited && cd "$DIR" && exec "${AS[@]}" env GDB_HIJACK="$GDB_HIJACK" DEADLINE="$DEADLINE" \
        "$PYTHON" "${2:-terminal}.py" "$1") </dev/null 3>&-
}

@test "at home: python3 at its prompt" { scenario home-python3; }
@test "at home: bc" { scenario home-bc; }
@test "at home: sqlite3" { scenario home-sqlite3; }
@test "remote I/O, and home again: python3" { scenario remote-python3; }
@test "remote I/O, and home again: bc" { scenario remote-bc; }
@test "remote I/O, and home again: sqlite3" { scenario remote-sqlite3; }
@test "remote I/O in the background: SIGTTIN, then fg" { scenario remote-background; }
@test "restarted on another terminal: python3" { scenario elsewhere-python3; }
@test "restarted on another terminal: bc" { scenario elsewhere-bc; }
@test "restarted on another terminal: sqlite3" { scenario elsewhere-sqlite3; }
@test "restarted on another terminal: a program that reads keys, its modes and window size" { scenario raw; }
@test "... restarted in the background, then fg" { scenario raw-background; }
@test "gdb-hijack from the shell whose job the program is" { scenario shell; }
@test "Ctrl-C and Ctrl-\\ end a restarted program, and its shell sees the signal" { scenario interrupted; }
@test "restart in the background: SIGTTIN, then fg" { scenario background; }
@test "restart in the background: SIGTTOU under tostop, then fg" { scenario tostop; }
@test "a background job does not bring along the modes of its shell's line editing" { scenario not-its-modes; }
@test "--keep-ids, on another terminal: python3" { scenario kept-elsewhere-python3; }
@test "--keep-ids, on another terminal: a program that reads keys" { scenario kept-raw; }
@test "... in the background, then fg" { scenario kept-raw-background; }
@test "--keep-ids as a job of a shell: Ctrl-Z, bg, wait" { scenario kept-shell; }
@test "--keep-ids: Ctrl-C and Ctrl-\\ end it, and its shell sees the signal" { scenario kept-interrupted; }
@test "--keep-ids in the background: SIGTTIN, then fg" { scenario kept-background; }
@test "--keep-ids in the background: SIGTTOU under tostop, then fg" { scenario kept-tostop; }
@test "--keep-ids: a background job does not bring along the modes of its shell's line editing" { scenario kept-not-its-modes; }
@test "checkpoint --exit leaves a terminal that can be used" { scenario usable; }

gone() { scenario "$1" terminal_gone; }

@test "killed, and its terminal closed; restarted on another terminal: python3" { gone elsewhere-python3; }
@test "killed, and its terminal closed; restarted on another terminal: bc" { gone elsewhere-bc; }
@test "killed, and its terminal closed; restarted on another terminal: sqlite3" { gone elsewhere-sqlite3; }
@test "... on pipes: the program's standard streams are those" { gone pipes; }
@test "... on pipes: a program at its prompt reads lines" { gone line-editing-on-pipes; }
@test "... with files named by --fd in place of the terminal" { gone named; }
@test "... descriptors above 2 of a terminal are the restart command's terminal" { gone others; }
@test "... and without one are refused by name, or given by --fd" { gone refused; }
