/* inferior.c - see inferior.h. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver/arch.h"
#include "driver/inferior.h"
#include "driver/proc.h"

#define MAX_REGISTERS      64
#define SHORT_WRITE        128   /* bytes */
#define SET_UP_DEADLINE_MS 60000 /* nothing stands still yet: better late than refused */
#define STUCK_DEADLINE_MS  500   /* for a gdb that waits in vain, to end */
#define LOOK_MS            100 /* between looks whether the target lives while a stop is awaited */

struct inferior {
    struct mi_session *mi;
    pid_t pid;  /* 0: not attached */
    bool holds; /* or may: an attach that failed could still be under way */
    char version[32];
    char *description;
    char *number_list; /* of the general registers, for -data-list-register-values */
    char signal[32];  /* that the target was about to get when it was stopped by an attach; or "" */
    unsigned watched; /* of enum inferior_watched */
    unsigned exits;   /* gdb's number of INFERIOR_EXITS */
    bool at_entry;    /* the last stop was at a watched call's entry */
    bool fresh;       /* the values below are of the present stop */
    size_t count;
    struct {
        char name[16];
        unsigned number;
        uint64_t value;
    } registers[MAX_REGISTERS];
};

/* What mi_command() returned, as a failure in our words with gdb's behind them. */
static int gdb_failed(struct inferior *inferior, int code, const char *doing, struct failure *f)
{
    return fail(f, code, "%s: %s", doing, mi_session_error(inferior->mi));
}

#define COMMAND(inferior, f, doing, result, ...)                                                   \
    do {                                                                                           \
        int code_ = mi_command((inferior)->mi, result, __VA_ARGS__);                               \
        if (code_ < 0)                                                                             \
            return gdb_failed(inferior, code_, doing, f);                                          \
    } while (0)

/* "GNU gdb (Debian 13.1-3) 13.1\n...": the last word of the first line. */
static void read_version(struct inferior *inferior)
{
    const char *text = mi_console(inferior->mi);
    size_t line = strcspn(text, "\n"), start = line;
    while (start > 0 && text[start - 1] != ' ')
        start--;
    snprintf(inferior->version, sizeof inferior->version, "%.*s", (int)(line - start),
             text + start);
}

static int set_up(struct inferior *inferior, const char *blank, struct failure *f)
{
    COMMAND(inferior, f, "cannot ask gdb for its version", NULL, "-gdb-version");
    read_version(inferior);
    char *path = mi_quote(blank);
    if (!path)
        return fail_errno(f, -ENOMEM, "cannot set gdb up");
    int code = mi_command(inferior->mi, NULL, "-file-exec-file %s", path);
    free(path);
    if (code < 0)
        return gdb_failed(inferior, code, "cannot give gdb its empty executable", f);
    /* The program's signals are its own, SIGTRAP and SIGINT too: without breakpoints and steps gdb
     * needs neither. */
    COMMAND(inferior, f, "cannot set gdb up", NULL,
            "-interpreter-exec console \"handle all nostop noprint pass\"");
    COMMAND(inferior, f, "cannot set gdb up", NULL,
            "-interpreter-exec console \"handle SIGTRAP SIGINT nostop noprint pass\"");
    return 0;
}

static int cannot_start(struct inferior *inferior, int code, struct failure *f)
{
    return fail(f, code, "cannot start gdb: %s",
                inferior->mi ? mi_session_error(inferior->mi) : strerror(-code));
}

int inferior_start(struct inferior **out, mi_trace *trace, struct failure *f)
{
    static const char *const argv[] = {
        "-iex", "set debuginfod enabled off", /* asks no server */
        "-iex", "set auto-load no",
        "-iex", "set exec-file-mismatch off", /* our executable is not the target's, on purpose */
        "-iex", "set sysroot /nonexistent",
        "-iex", "set auto-solib-add off",
        "-iex", "set libthread-db-search-path /nonexistent",
        "-iex", "set debug-file-directory /nonexistent",
        "-iex", "set confirm off",
        NULL};
    struct mi_options options = {.argv = argv, .deadline_ms = SET_UP_DEADLINE_MS, .trace = trace};
    struct inferior *inferior = calloc(1, sizeof *inferior);
    *out = NULL;
    if (!inferior)
        return fail_errno(f, -ENOMEM, "cannot start gdb");
    int code = mi_session_start(&inferior->mi, &options);
    if (code < 0) {
        cannot_start(inferior, code, f);
        inferior_close(inferior);
        return code;
    }
    *out = inferior;
    return 0;
}

int inferior_await(struct inferior *inferior, const char *blank, struct failure *f)
{
    int code = mi_session_await(inferior->mi);
    return code < 0 ? cannot_start(inferior, code, f) : set_up(inferior, blank, f);
}

void inferior_close(struct inferior *inferior)
{
    if (!inferior)
        return;
    if (inferior->holds)
        mi_session_close(inferior->mi);
    else
        mi_session_kill(inferior->mi);
    free(inferior->description);
    free(inferior->number_list);
    free(inferior);
}

/* Finds the numbers that GDB gives to the registers of arch.h; once for each gdb, as they do not
 * change. */
static int number_registers(struct inferior *inferior, struct failure *f)
{
    const struct mi_value *names;
    COMMAND(inferior, f, "cannot list registers", &names, "-data-list-register-names");
    names = mi_get(names, "register-names");
    size_t capacity = MAX_REGISTERS * 8, used = 0;
    inferior->number_list = calloc(1, capacity);
    if (!inferior->number_list)
        return fail_errno(f, -ENOMEM, "cannot list registers");
    for (const char *const *wanted = arch.registers; *wanted; wanted++) {
        size_t n = 0;
        while (n < mi_count(names) && strcmp(mi_string(mi_at(names, n), ""), *wanted) != 0)
            n++;
        if (n == mi_count(names) || inferior->count == MAX_REGISTERS)
            return fail(f, -ENOTSUP, "gdb knows no register %s here: is this an %s process?",
                        *wanted, arch.name);
        snprintf(inferior->registers[inferior->count].name, sizeof inferior->registers->name, "%s",
                 *wanted);
        inferior->registers[inferior->count++].number = (unsigned)n;
        used += (size_t)snprintf(inferior->number_list + used, capacity - used, " %zu", n);
    }
    return 0;
}

static int read_registers(struct inferior *inferior, struct failure *f)
{
    const struct mi_value *values;
    int code = inferior->number_list ? 0 : number_registers(inferior, f);
    if (code < 0)
        return code;
    COMMAND(inferior, f, "cannot read registers", &values, "-data-list-register-values x%s",
            inferior->number_list);
    values = mi_get(values, "register-values");
    for (size_t i = 0; i < mi_count(values); i++) {
        uint64_t number, value;
        if (mi_u64(mi_at(values, i), "number", &number) < 0 ||
            mi_u64(mi_at(values, i), "value", &value) < 0)
            return fail(f, -EBADMSG, "cannot read registers: gdb's answer makes no sense");
        for (size_t r = 0; r < inferior->count; r++)
            if (inferior->registers[r].number == number)
                inferior->registers[r].value = value;
    }
    inferior->fresh = true;
    return 0;
}

/* What the target was about to get when the attach stopped it. GDB takes a SIGTRAP of the program's
 * own for its doing and would drop it (infrun.c, STOP_QUIETLY_NO_SIGSTOP): the kernel says what it
 * really is, and we have GDB pass it on. */
static int find_pending_signal(struct inferior *inferior, const char *reported, struct failure *f)
{
    const struct mi_value *result;
    uint64_t number;
    inferior->signal[0] = '\0';
    if (reported && strcmp(reported, "0") != 0 && strcmp(reported, "SIGSTOP") != 0) {
        snprintf(inferior->signal, sizeof inferior->signal, "%s", reported);
        return 0;
    }
    COMMAND(inferior, f, "cannot see why the target stopped", &result,
            "-data-evaluate-expression $_siginfo.si_signo");
    if (mi_u64(result, "value", &number) < 0 || number != SIGTRAP)
        return 0;
    snprintf(inferior->signal, sizeof inferior->signal, "SIGTRAP");
    COMMAND(inferior, f, "cannot pass SIGTRAP on", NULL,
            "-interpreter-exec console \"queue-signal SIGTRAP\"");
    return 0;
}

/* The next *stopped. Of a target that is killed at that very moment gdb may report none: an error
 * of its own in between ("Couldn't get CS register") makes it forget. */
static int wait_stopped(struct inferior *inferior, const struct mi_value **event, int timeout_ms,
                        const char *failed, struct failure *f)
{
    int code, left = timeout_ms;
    do {
        code = mi_wait_event(inferior->mi, "stopped", event, left < LOOK_MS ? left : LOOK_MS);
        if (code == -ETIMEDOUT && proc_ended(inferior->pid, 0))
            return fail(f, -ESRCH, "%s: process %d has ended", failed, (int)inferior->pid);
        left -= LOOK_MS;
    } while (code == -ETIMEDOUT && left > 0);
    if (code == -ETIMEDOUT)
        return fail(f, code, "%s: process %d did not stop within %d ms", failed, (int)inferior->pid,
                    timeout_ms);
    return code < 0 ? gdb_failed(inferior, code, failed, f) : 0;
}

int inferior_attach(struct inferior *inferior, pid_t pid, int deadline_ms, struct failure *f)
{
    const struct mi_value *event;
    int usual = mi_session_set_deadline(inferior->mi, deadline_ms);
    mi_drop_events(inferior->mi, NULL);
    inferior->holds = true;
    int code = mi_command(inferior->mi, NULL, "-target-attach %d", (int)pid);
    mi_session_set_deadline(inferior->mi, code == -ETIMEDOUT ? STUCK_DEADLINE_MS : usual);
    if (code < 0)
        return gdb_failed(inferior, code, "cannot attach", f);
    inferior->pid = pid;
    inferior->fresh = false;
    /* ^done comes before the process has stopped */
    code = wait_stopped(inferior, &event, deadline_ms, "cannot attach", f);
    if (code == -ETIMEDOUT)
        mi_session_set_deadline(inferior->mi, STUCK_DEADLINE_MS);
    if (code < 0)
        return code;
    return find_pending_signal(inferior, mi_string(event, "signal-name"), f);
}

int inferior_select(struct inferior *inferior, unsigned thread, struct failure *f)
{
    inferior->fresh = false;
    COMMAND(inferior, f, "cannot select a thread", NULL, "-thread-select %u", thread);
    return inferior_run_all(inferior, false, f);
}

int inferior_detach(struct inferior *inferior, struct failure *f)
{
    COMMAND(inferior, f, "cannot detach", NULL, "-target-detach");
    inferior->pid = 0;
    inferior->holds = false;
    return 0;
}

bool inferior_attached(const struct inferior *inferior)
{
    return inferior && inferior->pid != 0;
}

const char *inferior_pending_signal(const struct inferior *inferior)
{
    return inferior->signal;
}

const char *inferior_gdb_version(const struct inferior *inferior)
{
    return inferior->version;
}

const char *inferior_data_directory(struct inferior *inferior)
{
    const struct mi_value *result;
    if (mi_command(inferior->mi, &result, "-gdb-show data-directory") < 0)
        return NULL;
    return mi_string(result, "value");
}

const char *inferior_description(struct inferior *inferior, struct failure *f)
{
    if (!inferior->description) {
        int code =
            mi_command(inferior->mi, NULL, "-interpreter-exec console \"maint print xml-tdesc\"");
        if (code < 0) {
            gdb_failed(inferior, code, "cannot read gdb's target description", f);
            return NULL;
        }
        inferior->description = strdup(mi_console(inferior->mi));
        if (!inferior->description)
            fail_errno(f, -ENOMEM, "cannot read gdb's target description");
    }
    return inferior->description;
}

const char *inferior_console(struct inferior *inferior, const char *command, struct failure *f)
{
    char *quoted = mi_quote(command);
    int code =
        quoted ? mi_command(inferior->mi, NULL, "-interpreter-exec console %s", quoted) : -ENOMEM;
    free(quoted);
    if (code < 0) {
        fail(f, code, "%s", mi_session_error(inferior->mi));
        return NULL;
    }
    return mi_console(inferior->mi);
}

int inferior_register(struct inferior *inferior, const char *name, uint64_t *value,
                      struct failure *f)
{
    int code = inferior->fresh ? 0 : read_registers(inferior, f);
    if (code < 0)
        return code;
    for (size_t i = 0; i < inferior->count; i++)
        if (strcmp(inferior->registers[i].name, name) == 0) {
            *value = inferior->registers[i].value;
            return 0;
        }
    return fail(f, -ENOENT, "no register %s", name);
}

int inferior_set_pc(struct inferior *inferior, taddr pc, struct failure *f)
{
    /* Not `set $pc`, and not a jump: those make GDB reset orig_rax as well, a second ptrace call,
     * and with it the kernel would forget to restart an interrupted system call. The real register
     * is written alone. */
    COMMAND(inferior, f, "cannot set the program counter", NULL, "-gdb-set $%s = %" PRIu64, arch.pc,
            pc);
    return 0;
}

int inferior_read(struct inferior *inferior, taddr address, void *to, size_t size,
                  struct failure *f)
{
    const struct mi_value *result;
    COMMAND(inferior, f, "cannot read the target's memory", &result,
            "-data-read-memory-bytes %" PRIu64 " %zu", address, size);
    int code = mi_bytes(result, "memory[0].contents", to, size);
    if (code < 0)
        return fail_errno(f, code, "cannot read %zu bytes at %" PRItaddr " of the target", size,
                          address);
    return 0;
}

static int write_hex(struct inferior *inferior, taddr address, const void *from, size_t size,
                     struct failure *f)
{
    char hex[2 * SHORT_WRITE + 1];
    mi_hex(from, size, hex);
    COMMAND(inferior, f, "cannot write the target's memory", NULL,
            "-data-write-memory-bytes %" PRIu64 " %s", address, hex);
    return 0;
}

/* Has gdb write what the file says, and closes it. */
static int restore(struct inferior *inferior, int fd, const char *how, struct failure *f)
{
    int code =
        mi_command(inferior->mi, NULL, "-interpreter-exec console \"restore /proc/%d/fd/%d%s\"",
                   (int)getpid(), fd, how);
    close(fd);
    return code < 0 ? gdb_failed(inferior, code, "cannot write the target's memory", f) : 0;
}

/* GDB reads its commands one character a system call: what is long goes to it as a file. */
static int write_file(struct inferior *inferior, taddr address, const void *from, size_t size,
                      struct failure *f)
{
    int fd = memfd_create("gdb-hijack", MFD_CLOEXEC);
    if (fd < 0 || write(fd, from, size) != (ssize_t)size) {
        int code = fd < 0 ? -errno : -EIO;
        close(fd);
        return fail_errno(f, code, "cannot make a file in memory");
    }
    char how[32];
    snprintf(how, sizeof how, " binary %" PRIu64, address);
    return restore(inferior, fd, how, f);
}

int inferior_write_pieces(struct inferior *inferior, const struct piece *pieces, size_t count,
                          struct failure *f)
{
    int fd = pieces_file(pieces, count, f);
    return fd < 0 ? fd : restore(inferior, fd, "", f);
}

int inferior_write(struct inferior *inferior, taddr address, const void *from, size_t size,
                   struct failure *f)
{
    return (size > SHORT_WRITE ? write_file : write_hex)(inferior, address, from, size, f);
}

int inferior_read_string(struct inferior *inferior, taddr address, char *to, size_t size,
                         struct failure *f)
{
    enum { CHUNK = 64, PAGE = 4096 };
    for (size_t done = 0; done + 1 < size;) {
        size_t n =
            PAGE - (address + done) % PAGE; /* never beyond a page that holds part of the string */
        n = n < CHUNK ? n : CHUNK;
        n = n < size - 1 - done ? n : size - 1 - done;
        int code = inferior_read(inferior, address + done, to + done, n, f);
        if (code < 0)
            return code;
        if (memchr(to + done, '\0', n))
            return 0;
        done += n;
    }
    to[size - 1] = '\0';
    return 0;
}

int inferior_catch_syscalls(struct inferior *inferior, enum inferior_watched kind,
                            const char *numbers, struct failure *f)
{
    if (inferior->watched & kind)
        return 0;
    char command[64];
    snprintf(command, sizeof command, "catch syscall %s", numbers);
    const char *text = inferior_console(inferior, command, f);
    unsigned number;
    if (!text)
        return f->code;
    if (sscanf(text, "Catchpoint %u ", &number) != 1)
        return fail_errno(f, -EBADMSG, "cannot watch system calls: gdb says \"%.80s\"", text);
    if (kind == INFERIOR_EXITS)
        inferior->exits = number;
    inferior->watched |= kind;
    return 0;
}

/* One *stopped record. 1: at the entry of *number; 0: elsewhere, to be continued; -errno. */
static int stopped_where(const struct mi_value *event, long *number, struct failure *f)
{
    const char *reason = mi_string(event, "reason");
    uint64_t value;
    if (!reason)
        return 0;
    if (strcmp(reason, "syscall-entry") == 0 && mi_u64(event, "syscall-number", &value) == 0) {
        *number = (long)value;
        return 1;
    }
    if (strncmp(reason, "exited", 6) == 0)
        return fail(f, -ESRCH, "the target ended meanwhile (%s)", reason);
    return 0;
}

/* To the next stop; as stopped_where(). */
static int continue_once(struct inferior *inferior, long *number, int timeout_ms, struct failure *f)
{
    const struct mi_value *event;
    inferior->fresh = false;
    COMMAND(inferior, f, "cannot let the target run", NULL, "-exec-continue");
    int code = wait_stopped(inferior, &event, timeout_ms, "the target does not come back", f);
    if (code == 0)
        code = stopped_where(event, number, f);
    if (code == -ESRCH)
        inferior->pid = 0;
    inferior->at_entry = code == 1;
    return code;
}

int inferior_continue(struct inferior *inferior, long *number, int timeout_ms, struct failure *f)
{
    int code;
    do
        code = continue_once(inferior, number, timeout_ms, f);
    while (code == 0);
    return code < 0 ? code : 0;
}

/* Each stop while the others run ends calls of theirs that somebody must mend: so the one at the
 * end of the call that the thread is in comes before, and none at calls that the others make, too.
 */
int inferior_run_all(struct inferior *inferior, bool all, struct failure *f)
{
    enum { RETURN_MS = 10000 };
    long number;
    int code = all && inferior->at_entry ? continue_once(inferior, &number, RETURN_MS, f) : 0;
    if (code < 0)
        return code;
    if (inferior->watched & INFERIOR_EXITS)
        COMMAND(inferior, f, "cannot watch system calls", NULL, "-break-%s %u",
                all ? "disable" : "enable", inferior->exits);
    COMMAND(inferior, f, "cannot hold the other threads", NULL, "-gdb-set scheduler-locking %s",
            all ? "off" : "on");
    return 0;
}
