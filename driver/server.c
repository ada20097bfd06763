/* server.c - see server.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "driver/arch.h"
#include "server_arch.h"
#include "driver/server.h"

#define ENTER_MS  500
#define ANSWER_MS 30000
#define LEAVE_MS  5000

extern const unsigned char server_code[];
extern const uint64_t server_code_size, server_resume_offset, server_restart_offset;

struct server_request {
    int64_t kind;
    uint64_t function;
    uint64_t argument[6];
    int64_t result;
    uint64_t stack;
};
_Static_assert(sizeof(struct server_request) == SERVER_REQUEST_SIZE,
               "server.h and server.c disagree");
_Static_assert(offsetof(struct server_request, stack) == SERVER_STACK,
               "server.h and server.c disagree");
_Static_assert(RESULT_IS_FIRST == SERVER_KEPT_FIRST && RESULT_IS_FIFTH == SERVER_KEPT_FIFTH &&
                   RESULT_IS_KEPT == SERVER_KEEP,
               "server.h and server_arch.h disagree");

size_t server_size(void)
{
    return server_code_size;
}

bool server_holds(const struct server *server, taddr pc)
{
    return pc >= server->code && pc < server->code + server->size;
}

/* --- where it goes --- */

/* The bytes that the file has at `address`; zeros past its end, as in the mapping. */
static int read_file_bytes(pid_t pid, const struct mapping *mapping, taddr address, void *to,
                           size_t size)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "/proc/%d/root%s", (int)pid, mapping->path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    memset(to, 0, size);
    ssize_t n = pread(fd, to, size, (off_t)(mapping->offset + (address - mapping->start)));
    int code = n < 0 ? -errno : 0;
    close(fd);
    return code;
}

/* The slack of `object` will do when it is large enough and holds what the file does, or a server
 * left over. */
static bool place_in(struct server *server, pid_t pid, const struct maps *maps,
                     const struct object *object)
{
    taddr place = (object->text_used_end + 15) & ~(taddr)15;
    const struct mapping *mapping = maps_find(maps, place);
    unsigned char there[SERVER_MAX_CODE];
    size_t size = server_size();
    if (!mapping || mapping->deleted || place + size > object->text_end ||
        read_file_bytes(pid, mapping, place, server->original, size) < 0 ||
        proc_read_memory(pid, place, there, size) < 0)
        return false;
    if (memcmp(there, server->original, size) != 0 &&
        memcmp(there, server_code, server_resume_offset) != 0)
        return false;
    server->code = place;
    server->size = size;
    return true;
}

int server_place(struct server *server, pid_t pid, const struct maps *maps,
                 const struct objects *objects, struct failure *f)
{
    const struct object *libc = objects_libc(objects);
    server->code = 0;
    if (libc && place_in(server, pid, maps, libc))
        return 0;
    for (size_t i = 0; i < objects_count(objects); i++)
        if (place_in(server, pid, maps, objects_at(objects, i)))
            return 0;
    return fail(f, -ENOSPC, "no loaded object of process %d has %zu unused bytes behind its text",
                (int)pid, server_size());
}

/* --- entering --- */

static int milliseconds_until(const struct timespec *deadline)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int)((deadline->tv_sec - now.tv_sec) * 1000 +
                 (deadline->tv_nsec - now.tv_nsec) / 1000000);
}

/* Runs the target to the entry of a call that is the server's: SERVER_CALL, or one with which it
 * leaves. The program makes some of these calls as well, in signal handlers that came between. */
static int run_until(struct server *server, bool (*is_it)(const struct server *, long number),
                     int timeout_ms, struct failure *f)
{
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += timeout_ms / 1000;
    deadline.tv_nsec += timeout_ms % 1000 * 1000000L;
    for (;;) {
        long number;
        int left = milliseconds_until(&deadline);
        int code = left > 0 ? inferior_continue(server->inferior, &number, left, f)
                            : fail(f, -ETIMEDOUT,
                                   "the target does not come back from the calls made in it");
        if (code < 0 || is_it(server, number))
            return code;
    }
}

static bool asks(const struct server *server, long number)
{
    (void)server;
    return number == SERVER_CALL;
}

/* Runs the target until the server asks for a request. */
static int await_request(struct server *server, int timeout_ms, struct failure *f)
{
    return run_until(server, asks, timeout_ms, f);
}

static int put_code(struct server *server, taddr pc, struct failure *f)
{
    unsigned char code[SERVER_MAX_CODE];
    uint64_t resume = pc, restart = pc - SERVER_RESTART_BYTES;
    memcpy(code, server_code, server->size);
    memcpy(code + server_resume_offset, &resume, sizeof resume);
    memcpy(code + server_restart_offset, &restart, sizeof restart);
    return inferior_write(server->inferior, server->code, code, server->size, f);
}

int server_enter(struct server *server, struct inferior *inferior, struct failure *f)
{
    uint64_t pc = 0;
    char entry[16], exits[32];
    server->inferior = inferior;
    snprintf(entry, sizeof entry, "%d", SERVER_CALL);
    snprintf(exits, sizeof exits, "%d %d", (int)SYS_rt_sigreturn, (int)SYS_restart_syscall);
    int code = inferior_register(inferior, arch.pc, &pc, f);
    if (code == 0)
        code = inferior_catch_syscalls(inferior, INFERIOR_ENTRY, entry, f);
    if (code == 0)
        code = put_code(server, pc, f);
    if (code == 0)
        code = inferior_set_pc(inferior, server->code + SERVER_RESTART_BYTES, f);
    if (code == 0)
        code = await_request(server, ENTER_MS, f);
    if (code == -ETIMEDOUT)
        code = fail(f, code,
                    "each time, a signal handler left for elsewhere before our code in the "
                    "process ran; try again");
    /* Not before: a program whose handlers return faster than gdb can follow would never come to
     * us. In the server no handler runs. */
    if (code == 0)
        code = inferior_catch_syscalls(inferior, INFERIOR_EXITS, exits, f);
    if (code == 0)
        code = inferior_register(inferior, arch.argument[0], &server->request, f);
    if (code == 0)
        code = inferior_register(inferior, arch.argument[1], &server->frame, f);
    return code;
}

/* --- requests --- */

/* Has the server carry out `count` requests, which gdb writes at once, with the end behind them. */
static int request(struct server *server, struct server_request *requests, size_t count,
                   struct failure *f)
{
    size_t size = count * sizeof *requests;
    requests[count] = (struct server_request){.kind = SERVER_LEAVE};
    int code =
        inferior_write(server->inferior, server->request, requests, size + sizeof *requests, f);
    if (code == 0)
        code = await_request(server, ANSWER_MS, f);
    if (code == 0)
        code = inferior_read(server->inferior, server->request, requests, size, f);
    return code;
}

int server_syscalls(struct server *server, struct server_syscall *calls, size_t count,
                    struct failure *f)
{
    struct server_request r[SERVER_REQUESTS] = {{0}};
    if (count >= SERVER_REQUESTS)
        return fail_errno(f, -E2BIG, "too many calls at once");
    for (size_t i = 0; i < count; i++) {
        r[i] = (struct server_request){.kind = SERVER_SYSCALL,
                                       .function = (uint64_t)calls[i].number,
                                       .result = -ECANCELED,
                                       .stack = calls[i].kept};
        memcpy(r[i].argument, calls[i].arguments, sizeof r[i].argument);
    }
    int code = request(server, r, count, f);
    for (size_t i = 0; i < count; i++)
        calls[i].result = r[i].result;
    return code;
}

int server_memory(struct server *server, taddr place, size_t size, int64_t *result,
                  struct failure *f)
{
    struct server_request r[2] = {
        {.kind = SERVER_SYSCALL,
         .function = SYS_mmap,
         .argument = {place, size, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, (uint64_t)-1, 0},
         .result = -ECANCELED,
         .stack = size}};
    int code = request(server, r, 1, f);
    *result = r->result;
    return code;
}

int server_call(struct server *server, taddr function, const uint64_t arguments[6], taddr stack,
                uint64_t *result, struct failure *f)
{
    struct server_request r[2] = {{.kind = SERVER_FUNCALL, .function = function, .stack = stack}};
    memcpy(r->argument, arguments, sizeof r->argument);
    int code = request(server, r, 1, f);
    *result = (uint64_t)r->result;
    return code;
}

int server_mask(struct server *server, uint64_t *mask, struct failure *f)
{
    return inferior_read(server->inferior, server->frame + SERVER_FRAME_MASK, mask, sizeof *mask,
                         f);
}

int server_set_mask(struct server *server, uint64_t mask, struct failure *f)
{
    return inferior_write(server->inferior, server->frame + SERVER_FRAME_MASK, &mask, sizeof mask,
                          f);
}

/* By rt_sigreturn from its own code, or at the program's system call instruction with
 * restart_syscall. At the entry of either the target will not come back to the server. */
static bool leaves(const struct server *server, long number)
{
    struct failure ignored;
    uint64_t pc;
    if (number != SYS_rt_sigreturn)
        return number == SYS_restart_syscall;
    return inferior_register(server->inferior, arch.pc, &pc, &ignored) == 0 &&
           server_holds(server, pc);
}

int server_leave(struct server *server, struct failure *f)
{
    int code = run_until(server, leaves, LEAVE_MS, f); /* the server asked, and gets no request */
    return code < 0
               ? code
               : inferior_write(server->inferior, server->code, server->original, server->size, f);
}

int server_take_out(struct server *server, struct inferior *inferior, struct failure *f)
{
    return inferior_write(inferior, server->code, server->original, server->size, f);
}
