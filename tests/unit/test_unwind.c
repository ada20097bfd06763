/*
 * test_unwind.c - stacks and safe points of real processes, stopped with ptrace.
 *
 * Each target is a child of the test that gets itself into a known place; the ground truth is what
 * the child says of itself (a flag in shared memory) or where the kernel says that it is blocked.
 */
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "driver/proc.h"
#include "driver/safepoint.h"

#include <cmocka.h> /* last: it defines a macro fail() */

#define NOINLINE __attribute__((noinline))

static struct {
    volatile int inside; /* the target is about to call malloc or free, in it, or just back */
    volatile unsigned rounds;
} * shared;
static int shared_fd;

/* --- a stopped target --- */

struct target {
    pid_t pid;
    struct maps maps;
    struct objects *objects;
    taddr registers[17];
    taddr fs_base;
};

static int read_target(void *context, taddr address, void *to, size_t size)
{
    return proc_read_memory(((struct target *)context)->pid, address, to, size);
}

/* No process is left behind when the test is killed, or its parent before it could ask for that. */
static void end_with(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
}

static pid_t start(void (*body)(void))
{
    pid_t parent = getpid(), pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        end_with(parent);
        body();
        _exit(1);
    }
    return pid;
}

static void open_target(struct target *t, pid_t pid)
{
    struct failure f;
    t->pid = pid;
    assert_int_equal(maps_read(pid, &t->maps, &f), 0);
    assert_int_equal(objects_open(pid, &t->maps, &t->objects, &f), 0);
    assert_int_equal(ptrace(PTRACE_SEIZE, pid, 0, 0), 0);
}

static void stop_target(struct target *t)
{
    int status;
    struct user_regs_struct r;
    assert_int_equal(ptrace(PTRACE_INTERRUPT, t->pid, 0, 0), 0);
    assert_int_equal(waitpid(t->pid, &status, 0), t->pid);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(ptrace(PTRACE_GETREGS, t->pid, 0, &r), 0);
    taddr in_order[] = {r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8,
                        r.r9,  r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rip};
    memcpy(t->registers, in_order, sizeof in_order);
    t->fs_base = r.fs_base;
}

static void continue_target(struct target *t)
{
    assert_int_equal(ptrace(PTRACE_CONT, t->pid, 0, 0), 0);
}

static void end_target(struct target *t)
{
    kill(t->pid, SIGKILL);
    waitpid(t->pid, NULL, 0);
    objects_free(t->objects);
    maps_free(&t->maps);
}

static void wait_for_rounds(unsigned more)
{
    unsigned before = shared->rounds;
    while (shared->rounds - before < more)
        sched_yield();
}

static void wait_until_blocked(pid_t pid, long number)
{
    struct proc_syscall call;
    struct failure f;
    do {
        sched_yield();
        assert_int_equal(proc_syscall(pid, pid, &call, &f), 0);
    } while (call.running || call.number != number);
}

static struct unwind_input input_of(struct target *t)
{
    return (struct unwind_input){
        .pid = t->pid,
        .objects = t->objects,
        .registers = t->registers,
        .register_count = 17,
        .read = read_target,
        .context = t,
    };
}

static char reason[SAFEPOINT_REASON], where[SAFEPOINT_REASON];

static int check(struct target *t)
{
    struct safepoint place = {SAFEPOINT_FOR_LIBC, input_of(t), &t->maps, t->fs_base};
    struct failure f = {.text = ""};
    int result = safepoint_check(&place, reason, where, &f);
    if (result < 0)
        fail_msg("safepoint_check: %s", f.text);
    return result;
}

/* --- the frames as text: "nanosleep inner outer main ..." --- */

struct trace {
    struct target *target;
    char text[8192];
    int activations;
};

static int add_frame(void *context, taddr pc, bool activation)
{
    struct trace *trace = context;
    struct objects *objects = trace->target->objects;
    const struct object *object = objects_holding(objects, pc);
    struct object_function f = {.name = "?"};
    if (object)
        object_function_at(objects, object, activation ? pc : pc - 1, &f);
    size_t used = strlen(trace->text);
    snprintf(trace->text + used, sizeof trace->text - used, "%s%s", used ? " " : "", f.name);
    trace->activations += activation;
    return 0;
}

static int trace_target(struct target *t, struct trace *out)
{
    struct unwind_input input = input_of(t);
    struct failure f = {.text = ""};
    *out = (struct trace){.target = t};
    int result = unwind(&input, add_frame, out, &f);
    if (result != 1)
        print_message("# broke off: %s; %s\n", f.text, out->text);
    return result;
}

static void assert_in_order(const char *text, const char *const *names)
{
    const char *at = text;
    for (; *names; names++) {
        at = strstr(at, *names);
        if (!at)
            fail_msg("no %s where expected in: %s", *names, text);
    }
}

/* --- targets --- */

static volatile int keep_frames; /* written after a call, so that none becomes a jump */

NOINLINE static void inner_function(void)
{
    struct timespec long_time = {1000, 0};
    nanosleep(&long_time, NULL);
    keep_frames++;
}

NOINLINE static void outer_function(void)
{
    inner_function();
    keep_frames++;
}

NOINLINE static void allocate_for_ever(void)
{
    void *held[64] = {0};
    for (unsigned i = 0;; i++) {
        unsigned slot = i * 7 % 64;
        size_t size = i % 97 == 0 ? 300000 : 24 + i * 131 % 5000;
        shared->inside = 1;
        free(held[slot]);
        held[slot] = malloc(size);
        if (i % 11 == 0)
            held[slot] = realloc(held[slot], 2 * size);
        if (i % 13 == 0)
            free(aligned_alloc(64, 4096));
        shared->inside = 0;
        for (volatile int k = 0; k < 40; k++)
            keep_frames++;
        shared->rounds++;
    }
}

/* libc's own: a sanitizer has one in its library, which is an allocator as well, and so never safe.
 */
static int (*libc_clock_gettime)(clockid_t, struct timespec *);

NOINLINE static void ask_the_time(void)
{
    struct timespec now;
    for (;; shared->rounds++)
        libc_clock_gettime(CLOCK_MONOTONIC, &now);
}

static void handler(int signal_number)
{
    (void)signal_number;
    inner_function();
    keep_frames++;
}

NOINLINE static void interrupted_function(void)
{
    signal(SIGUSR1, handler);
    raise(SIGUSR1);
    keep_frames++;
}

static char *program[8];

static void exec_program(void)
{
    execvp(program[0], program);
}

/* --- tests --- */

static void blocked_under_known_functions(void **state)
{
    (void)state;
    static const char *const expected[] = {"clock_nanosleep",   "nanosleep", "inner_function",
                                           "outer_function",    "start",     "main",
                                           "__libc_start_main", "_start",    NULL};
    struct target t;
    struct trace trace;
    pid_t pid = start(outer_function);
    wait_until_blocked(pid, SYS_clock_nanosleep);
    open_target(&t, pid);
    stop_target(&t);
    assert_int_equal(trace_target(&t, &trace), 1);
    assert_in_order(trace.text, expected);
    assert_int_equal(check(&t), 1);
    assert_string_equal(where, "clock_nanosleep");
    end_target(&t);
}

/* The child's flag is the truth: in libc with the flag set is in the allocator; in its own code is
 * not. */
static void allocator_is_never_taken_for_safe(void **state)
{
    (void)state;
    struct target t;
    int safe = 0, unsafe = 0, own_code = 0;
    pid_t pid = start(allocate_for_ever);
    wait_for_rounds(1);
    open_target(&t, pid);
    const struct object *self = objects_at(t.objects, 0);
    for (int i = 0; i < 1500; i++) {
        unsigned before = shared->rounds;
        while (shared->rounds - before < (unsigned)(i % 3))
            sched_yield();
        stop_target(&t);
        taddr pc = t.registers[unwind_register_pc];
        bool own = pc >= self->text_start && pc < self->text_end;
        bool inside = shared->inside;
        int result = check(&t);
        if (!own && result == 1)
            fail_msg("at pc %#lx in %s: taken for safe", (unsigned long)pc, where);
        if (own && !inside && result == 0)
            fail_msg("in the target's own code, but: %s", reason);
        safe += result == 1;
        unsafe += result == 0;
        own_code += own;
        continue_target(&t);
    }
    print_message("# %d safe, %d unsafe, %d in its own code\n", safe, unsafe, own_code);
    assert_true(safe > 50 && unsafe > 50);
    end_target(&t);
}

static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void python_blocked_in_select(void **state)
{
    (void)state;
    static const char *const line[] = {"/usr/bin/python3", "-c",
                                       "import select; select.select([0],[],[],1000)", NULL};
    struct target t;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    memcpy(program, line, sizeof line);
    int keep = dup(0);
    dup2(ends[0], 0);
    pid_t pid = start(exec_program);
    dup2(keep, 0);
    wait_until_blocked(pid, SYS_pselect6); /* which glibc makes of select */
    double began = milliseconds();
    open_target(&t, pid);
    stop_target(&t);
    int result = check(&t);
    print_message("# python3: %.1f ms for files and stack, %s\n", milliseconds() - began, reason);
    assert_int_equal(result, 1);
    assert_string_equal(where, "select");
    end_target(&t);
    close(ends[0]);
    close(ends[1]);
    close(keep);
}

static void vdso_is_followed(void **state)
{
    (void)state;
    struct target t;
    struct trace trace;
    int in_vdso = 0;
    void *libc = dlopen("libc.so.6", RTLD_NOW);
    *(void **)&libc_clock_gettime = dlsym(libc, "clock_gettime");
    pid_t pid = start(ask_the_time);
    wait_for_rounds(1);
    open_target(&t, pid);
    for (int i = 0; i < 200; i++) {
        stop_target(&t);
        const struct object *o = objects_holding(t.objects, t.registers[unwind_register_pc]);
        in_vdso += o && !strcmp(o->path, "[vdso]");
        assert_int_equal(trace_target(&t, &trace), 1);
        assert_non_null(strstr(trace.text, "ask_the_time"));
        assert_int_equal(check(&t), 1);
        continue_target(&t);
    }
    assert_true(in_vdso > 0);
    end_target(&t);
}

static void signal_handler_is_unsafe(void **state)
{
    (void)state;
    static const char *const expected[] = {
        "clock_nanosleep",      "inner_function", "handler", "raise",
        "interrupted_function", "main",           NULL};
    struct target t;
    struct trace trace;
    pid_t pid = start(interrupted_function);
    wait_until_blocked(pid, SYS_clock_nanosleep);
    open_target(&t, pid);
    stop_target(&t);
    assert_int_equal(trace_target(&t, &trace), 1);
    assert_in_order(trace.text, expected);
    assert_true(trace.activations >= 2); /* the innermost, the trampoline or what it interrupted */
    assert_int_equal(check(&t), 0);
    assert_string_equal(reason, "in a signal handler");
    end_target(&t);
}

/* musl has no unwind tables: its stacks are scanned. */
static const char musl_source[] =
    "#include <stdlib.h>\n#include <signal.h>\n#include <time.h>\n#include <sys/mman.h>\n"
    "static void on(int s) { struct timespec t = {1000, s}; nanosleep(&t, 0); }\n"
    "int main(int c, char **v) { struct timespec t = {1000, 0}; static void *held[64];\n"
    "  volatile unsigned *rounds = (unsigned *) mmap(0, 4096, 3, MAP_SHARED, atoi(v[2]), 0) + 1;\n"
    "  if (v[1][0] == 's') nanosleep(&t, 0);\n"
    "  if (v[1][0] == 'h') { signal(SIGUSR1, on); raise(SIGUSR1); }\n"
    "  for (unsigned i = 0; ; i++) { free(held[i % 64]);\n"
    "    held[i % 64] = malloc(24 + i * 131 % 400);\n"
    "    for (volatile int k = 0; k < 100; k++); ++*rounds; } return c; }\n";

static char musl_program[] = "/tmp/test_unwind.XXXXXX";

static bool build_musl_program(void)
{
    int fd = mkstemp(musl_program);
    char command[256];
    assert_true(fd >= 0);
    close(fd);
    snprintf(command, sizeof command, "musl-gcc -O2 -xc - -o %s 2>/dev/null", musl_program);
    FILE *compiler = popen(command, "w");
    fputs(musl_source, compiler);
    return pclose(compiler) == 0;
}

static void start_musl(struct target *t, const char *mode, long blocked_in)
{
    char fd[16];
    snprintf(fd, sizeof fd, "%d", shared_fd);
    program[0] = musl_program;
    program[1] = (char *)(uintptr_t)mode;
    program[2] = fd;
    program[3] = NULL;
    shared->rounds = 0;
    pid_t pid = start(exec_program);
    if (blocked_in >= 0)
        wait_until_blocked(pid, blocked_in);
    else
        wait_for_rounds(1);
    open_target(t, pid);
}

static void musl_without_tables(void **state)
{
    (void)state;
    if (!build_musl_program()) {
        print_message("# skipped: no musl-gcc\n");
        unlink(musl_program);
        return; /* cmocka's skip() says "not ok" to prove */
    }
    struct target t = {0};
    start_musl(&t, "s", SYS_nanosleep);
    stop_target(&t);
    assert_int_equal(check(&t), 1);
    end_target(&t);

    t = (struct target){0};
    start_musl(&t, "h", SYS_nanosleep);
    stop_target(&t);
    assert_int_equal(check(&t), 0);
    assert_string_equal(reason, "in a signal handler");
    end_target(&t);

    t = (struct target){0};
    start_musl(&t, "m", -1);
    const struct object *self = objects_at(t.objects, 0);
    int safe = 0, unsafe = 0;
    for (int i = 0; i < 1000; i++) {
        wait_for_rounds((unsigned)i % 3);
        stop_target(&t);
        taddr pc = t.registers[unwind_register_pc];
        bool own = pc >= self->text_start && pc < self->text_end;
        int result = check(&t);
        if (!own && result == 1)
            fail_msg("at pc %#lx in %s: taken for safe", (unsigned long)pc, where);
        safe += result == 1;
        unsafe += result == 0;
        continue_target(&t);
    }
    print_message("# musl: %d safe, %d unsafe\n", safe, unsafe);
    assert_true(safe > 50 && unsafe > 50);
    end_target(&t);
    unlink(musl_program);
}

static void call_instructions(void **state)
{
    (void)state;
    static const unsigned char direct[7] = {0, 0, 0xe8, 1, 2, 3, 4};
    static const unsigned char by_rax[7] = {0, 0, 0, 0, 0, 0xff, 0xd0};
    static const unsigned char by_rip[7] = {0, 0xff, 0x15, 1, 2, 3, 4};
    static const unsigned char by_sib32[7] = {0xff, 0x94, 0xc3, 1, 2, 3, 4};
    static const unsigned char by_disp8[7] = {0, 0, 0, 0, 0xff, 0x50, 0x18};
    static const unsigned char jump[7] = {0, 0, 0xe9, 1, 2, 3, 4};
    static const unsigned char nothing[7] = {0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90};
    assert_true(unwind_after_call(direct));
    assert_true(unwind_after_call(by_rax));
    assert_true(unwind_after_call(by_rip));
    assert_true(unwind_after_call(by_sib32));
    assert_true(unwind_after_call(by_disp8));
    assert_false(unwind_after_call(jump));
    assert_false(unwind_after_call(nothing));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(call_instructions),
        cmocka_unit_test(blocked_under_known_functions),
        cmocka_unit_test(allocator_is_never_taken_for_safe),
        cmocka_unit_test(python_blocked_in_select),
        cmocka_unit_test(vdso_is_followed),
        cmocka_unit_test(signal_handler_is_unsafe),
        cmocka_unit_test(musl_without_tables),
    };
    shared_fd = memfd_create("shared", 0); /* kept over exec */
    if (ftruncate(shared_fd, 4096))
        return 1;
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, shared_fd, 0);
    return cmocka_run_group_tests_name("unwind", tests, NULL, NULL);
}
