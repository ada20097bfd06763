/*
 * The plan of what is replaced, for the C libraries installed here: each relocated instruction
 * means what the original meant, nothing in the library branches into an entry, and a program
 * (tests/targets/jumps.c) gets the same answers from its libc with every jump in place as without,
 * after which its text is what it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <capstone/capstone.h>

#include "driver/replace.h"
#include "tests/unit/libcs.h"

#include <cmocka.h> /* last: it has a macro fail() */

static struct libcs libcs;
static struct failure failure;
static csh disassembler;

/* The replacement of one library, placed 1 GiB behind it. */
static struct replace *planned(const struct object *libc)
{
    struct replace *r;
    if (!libc) {
        print_message("# no such C library here (musl: package musl)\n");
        skip();
    }
    if (replace_plan(libcs.objects, libc, &r, &failure) != 0 ||
        replace_place(r, libc->text_end + (1 << 30), &failure) != 0)
        fail_msg("%s", failure.text);
    return r;
}

static const struct replace_patch *patch_named(const struct replace *r, const char *name)
{
    for (size_t i = 0; i < replace_count_slots(r); i++)
        if (strcmp(replace_at(r, i)->name, name) == 0)
            return replace_at(r, i);
    fail_msg("no patch for %s", name);
    return NULL;
}

/* --- what is planned --- */

static double milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void report(const struct object *libc, const struct replace *r, double took)
{
    print_message("# %s: %zu functions patched, %zu refused, planned in %.2f ms\n", libc->path,
                  replace_count_slots(r), replace_refused(r), took);
    for (size_t i = 0; i < replace_refused(r); i++)
        print_message("#   not %s: %s\n", replace_refusal_at(r, i)->name,
                      replace_refusal_at(r, i)->why);
}

static void check_plan(const struct object *libc)
{
    double start = milliseconds();
    struct replace *r = planned(libc);
    report(libc, r, milliseconds() - start);
    assert_in_range(replace_count_slots(r), 170, 512);
    assert_in_range(replace_refused(r), 0, 3);
    assert_int_equal(replace_island_size(r), replace_count_slots(r) * JUMP_SLOT);
    for (size_t i = 1; i < replace_count_slots(r); i++) {
        const struct replace_patch *before = replace_at(r, i - 1), *patch = replace_at(r, i);
        assert_true(before->jump.entry + before->jump.displaced <= patch->address);
        assert_int_equal(patch->slot, before->slot + JUMP_SLOT);
        assert_int_equal(patch->slot % JUMP_SLOT, 0);
    }
    assert_ptr_equal(patch_named(r, "read")->row, &call_functions[FUNCTION_ID_read]);
    assert_ptr_equal(patch_named(r, "close")->row, &call_functions[FUNCTION_ID_close]);
    assert_ptr_equal(patch_named(r, "fcntl")->row, &call_functions[FUNCTION_ID_fcntl]);
    replace_free(r);
}

static void test_plan_for_glibc(void **state)
{
    (void)state;
    check_plan(libcs.glibc);
}

static void test_plan_for_musl(void **state)
{
    (void)state;
    check_plan(libcs.musl);
}

static void mark_rows(const struct object *libc, bool *seen)
{
    struct replace *r = planned(libc);
    for (size_t i = 0; i < replace_count_slots(r); i++)
        seen[replace_at(r, i)->row - call_functions] = true;
    replace_free(r);
}

static void test_each_row_is_a_function_somewhere(void **state)
{
    (void)state;
    bool seen[FUNCTIONS] = {false};
    if (!libcs.musl)
        skip();
    mark_rows(libcs.glibc, seen);
    mark_rows(libcs.musl, seen);
    for (int i = 0; i < FUNCTIONS; i++)
        if (!seen[i])
            fail_msg("no C library here has a function of row %s", call_functions[i].name);
}

static void test_library_without_calls(void **state)
{
    (void)state;
    struct replace *r;
    const struct object *libelf = objects_named(libcs.objects, "libelf");
    assert_non_null(libelf);
    assert_int_equal(replace_plan(libcs.objects, libelf, &r, &failure), -ENOENT);
    assert_null(r);
}

static void test_island_out_of_reach(void **state)
{
    (void)state;
    struct replace *r = planned(libcs.glibc);
    assert_int_equal(replace_place(r, libcs.glibc->text_end + (3ul << 30), &failure), -ERANGE);
    assert_int_equal(replace_place(r, 0x10000, &failure), -ERANGE);
    assert_int_equal(replace_place(r, libcs.glibc->text_start - (1 << 30), &failure), 0);
    replace_free(r);
}

static void test_covers_the_interior_only(void **state)
{
    (void)state;
    struct replace *r = planned(libcs.glibc);
    for (size_t i = 0; i < replace_count_slots(r); i++) {
        const struct replace_patch *patch = replace_at(r, i);
        taddr end = patch->jump.entry + patch->jump.displaced;
        assert_null(replace_covers_pc(r, patch->jump.entry));
        assert_ptr_equal(replace_covers_pc(r, patch->jump.entry + 1), patch);
        assert_ptr_equal(replace_covers_pc(r, end - 1), patch);
        assert_null(replace_covers_pc(r, end));
    }
    assert_null(replace_covers_pc(r, 0));
    assert_null(replace_covers_pc(r, UINT64_MAX));
    replace_free(r);
}

/* --- the relocated instructions --- */

static cs_insn *decode(const uint8_t *bytes, size_t size, taddr address)
{
    cs_insn *insn;
    if (cs_disasm(disassembler, bytes, size, address, 1, &insn) != 1)
        fail_msg("%" PRItaddr " does not decode", address);
    return insn;
}

static taddr branch_target(const cs_insn *insn)
{
    assert_int_equal(insn->detail->x86.op_count, 1);
    assert_int_equal(insn->detail->x86.operands[0].type, X86_OP_IMM);
    return (taddr)insn->detail->x86.operands[0].imm;
}

static void same_operand(const cs_insn *a, const cs_insn *b, int index)
{
    const cs_x86_op *x = &a->detail->x86.operands[index], *y = &b->detail->x86.operands[index];
    assert_int_equal(x->type, y->type);
    assert_int_equal(x->size, y->size);
    if (x->type == X86_OP_REG)
        assert_int_equal(x->reg, y->reg);
    else if (x->type == X86_OP_IMM)
        assert_int_equal(x->imm, y->imm);
    else {
        assert_int_equal(x->mem.base, y->mem.base);
        assert_int_equal(x->mem.index, y->mem.index);
        assert_int_equal(x->mem.segment, y->mem.segment);
        bool rip = x->mem.base == X86_REG_RIP;
        assert_int_equal(x->mem.disp + (int64_t)(rip ? a->address + a->size : 0),
                         y->mem.disp + (int64_t)(rip ? b->address + b->size : 0));
    }
}

/* The pushed return address: push low; movl high, 4(%rsp). Returns the bytes taken. */
static size_t same_return_address(const cs_insn *call, const uint8_t *at)
{
    uint32_t low, high;
    assert_int_equal(at[0], 0x68);
    assert_memory_equal(at + 5, "\xc7\x44\x24\x04", 4);
    memcpy(&low, at + 1, 4);
    memcpy(&high, at + 9, 4);
    assert_int_equal(((taddr)high << 32) + low, call->address + call->size);
    return 13;
}

/* Compares one original instruction with what stands for it at `at`; returns how many bytes that
 * takes. */
static size_t same_instruction(const cs_insn *original, const uint8_t *at, taddr address)
{
    size_t before = original->id == X86_INS_CALL ? same_return_address(original, at) : 0;
    cs_insn *moved = decode(at + before, 15, address + before);
    size_t size = before + moved->size;
    const cs_x86 *x = &original->detail->x86;
    if (original->id == X86_INS_CALL) {
        assert_int_equal(moved->id, X86_INS_JMP);
        assert_int_equal(branch_target(moved), branch_target(original));
    } else {
        assert_int_equal(moved->id, original->id);
        assert_string_equal(moved->mnemonic, original->mnemonic);
        assert_int_equal(moved->detail->x86.op_count, x->op_count);
        for (int i = 0; i < x->op_count; i++)
            same_operand(original, moved, i);
    }
    cs_free(moved, 1);
    return size;
}

static void check_slot(const struct replace_patch *patch)
{
    const struct jump_plan *jump = &patch->jump;
    size_t at = JUMP_HOME;
    taddr home;
    memcpy(&home, patch->slot_bytes + JUMP_SWITCH, sizeof home);
    assert_int_equal(home, patch->slot + JUMP_HOME);
    for (size_t done = 0; done < jump->displaced;) {
        cs_insn *original = decode(jump->bytes + done, jump->displaced - done, jump->entry + done);
        at += same_instruction(original, patch->slot_bytes + at, patch->slot + at);
        done += original->size;
        cs_free(original, 1);
    }
    cs_insn *back = decode(patch->slot_bytes + at, JUMP_SLOT - at, patch->slot + at);
    assert_int_equal(back->id, X86_INS_JMP);
    assert_int_equal(branch_target(back), jump->entry + jump->displaced);
    cs_free(back, 1);
}

static void check_entry(const struct replace_patch *patch)
{
    cs_insn *jmp = decode(patch->entry, jump_entry_size, patch->jump.entry);
    assert_int_equal(jmp->id, X86_INS_JMP);
    assert_int_equal(jmp->size, jump_entry_size);
    assert_int_equal(branch_target(jmp), patch->slot);
    cs_free(jmp, 1);
}

static void check_slots(const struct object *libc)
{
    struct replace *r = planned(libc);
    for (size_t i = 0; i < replace_count_slots(r); i++) {
        check_slot(replace_at(r, i));
        check_entry(replace_at(r, i));
    }
    replace_free(r);
}

static void test_slots_mean_the_same_in_glibc(void **state)
{
    (void)state;
    check_slots(libcs.glibc);
}

static void test_slots_mean_the_same_in_musl(void **state)
{
    (void)state;
    check_slots(libcs.musl);
}

/* --- no branch into an entry, from anywhere in the library --- */

static void check_branch(const struct replace *r, const cs_insn *insn)
{
    const cs_x86 *x = &insn->detail->x86;
    if (x->op_count != 1 || x->operands[0].type != X86_OP_IMM ||
        !cs_insn_group(disassembler, insn, CS_GRP_BRANCH_RELATIVE))
        return;
    const struct replace_patch *patch = replace_covers_pc(r, (taddr)x->operands[0].imm);
    if (patch)
        fail_msg("%s at %" PRIx64 " branches into the entry of %s", insn->mnemonic, insn->address,
                 patch->name);
}

static void sweep(const struct object *libc)
{
    struct replace *r = planned(libc);
    size_t size = libc->text_used_end - libc->text_start, left = size;
    uint8_t *text = malloc(size);
    const uint8_t *at = text;
    uint64_t address = libc->text_start;
    size_t decoded = 0;
    assert_int_equal(object_text(libcs.objects, libc, libc->text_start, text, size), 0);
    cs_insn *insn = cs_malloc(disassembler);
    cs_option(disassembler, CS_OPT_SKIPDATA, CS_OPT_ON);
    for (; cs_disasm_iter(disassembler, &at, &left, &address, insn); decoded++)
        if (insn->id)
            check_branch(r, insn);
    cs_option(disassembler, CS_OPT_SKIPDATA, CS_OPT_OFF);
    assert_int_equal(left, 0);
    assert_true(decoded > size / 10);
    cs_free(insn, 1);
    free(text);
    replace_free(r);
}

static void test_no_branch_into_an_entry_of_glibc(void **state)
{
    (void)state;
    sweep(libcs.glibc);
}

static void test_no_branch_into_an_entry_of_musl(void **state)
{
    (void)state;
    sweep(libcs.musl);
}

/* --- live --- */

/* The target program, and its libc as we see it. */
struct live {
    pid_t pid;
    FILE *to, *from;
    int memory;
    struct maps maps;
    struct objects *objects;
    const struct object *libc;
    struct replace *replace;
};

/* BUILD/targets/NAME, where we are BUILD/tests/test_replace. */
static bool target_path(const char *name, char *path, size_t size)
{
    char self[PATH_MAX] = "";
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        return false;
    *strrchr(self, '/') = 0;
    *strrchr(self, '/') = 0;
    snprintf(path, size, "%.3000s/targets/%s", self, name);
    return access(path, X_OK) == 0;
}

static void start(struct live *live, const char *path)
{
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
        fail_msg("pipe: %s", strerror(errno));
    live->pid = fork();
    if (live->pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        execl(path, path, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    live->to = fdopen(to[1], "w");
    live->from = fdopen(from[0], "r");
}

/* Sends a command and returns the answer, without its last line; the caller frees. */
static char *ask(struct live *live, const char *format, ...)
{
    char line[512], *answer = calloc(1, 1 << 16);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(live->to, format, arguments);
    va_end(arguments);
    fputc('\n', live->to);
    fflush(live->to);
    while (fgets(line, sizeof line, live->from)) {
        if (strcmp(line, "end\n") == 0)
            return answer;
        strncat(answer, line, (1 << 16) - 1 - strlen(answer));
    }
    int status = 0;
    waitpid(live->pid, &status, 0);
    fail_msg("the target died (status %#x) after: %s", (unsigned)status, answer);
    return NULL;
}

static void look(struct live *live)
{
    char path[64];
    if (maps_read(live->pid, &live->maps, &failure) != 0 ||
        objects_open(live->pid, &live->maps, &live->objects, &failure) != 0)
        fail_msg("%s", failure.text);
    live->libc = objects_libc(live->objects);
    assert_non_null(live->libc);
    if (replace_plan(live->objects, live->libc, &live->replace, &failure) != 0)
        fail_msg("%s", failure.text);
    snprintf(path, sizeof path, "/proc/%d/mem", (int)live->pid);
    live->memory = open(path, O_RDWR | O_CLOEXEC);
    assert_true(live->memory >= 0);
}

static void place(struct live *live)
{
    uint64_t size = (replace_island_size(live->replace) + 4095) & ~4095ul;
    taddr island;
    assert_true(maps_gap(&live->maps, live->libc->text_start, size, jump_reach / 2, &island));
    char *answer = ask(live, "island %" PRIx64 " %" PRIx64, island, size);
    assert_string_equal(answer, "mapped\n");
    free(answer);
    if (replace_place(live->replace, island, &failure) != 0)
        fail_msg("%s", failure.text);
}

static void poke(struct live *live, taddr address, const uint8_t *bytes, size_t size)
{
    assert_int_equal(pwrite(live->memory, bytes, size, (off_t)address), size);
}

/* The target waits for a command in read(), behind its entry: no thread is inside what we write. */
static void write_jumps(struct live *live)
{
    for (size_t i = 0; i < replace_count_slots(live->replace); i++) {
        const struct replace_patch *patch = replace_at(live->replace, i);
        poke(live, patch->slot, patch->slot_bytes, JUMP_SLOT);
    }
    for (size_t i = 0; i < replace_count_slots(live->replace); i++) {
        const struct replace_patch *patch = replace_at(live->replace, i);
        poke(live, patch->jump.entry, patch->entry, jump_entry_size);
    }
}

static void remove_jumps(struct live *live)
{
    for (size_t i = 0; i < replace_count_slots(live->replace); i++) {
        const struct replace_patch *patch = replace_at(live->replace, i);
        poke(live, patch->jump.entry, patch->jump.bytes, jump_entry_size);
    }
}

/* How many bytes of the target's libc text differ from the file's. */
static size_t text_differs(struct live *live)
{
    size_t size = live->libc->text_used_end - live->libc->text_start, differing = 0;
    uint8_t *memory = malloc(size), *file = malloc(size);
    assert_int_equal(pread(live->memory, memory, size, (off_t)live->libc->text_start), size);
    assert_int_equal(object_text(live->objects, live->libc, live->libc->text_start, file, size), 0);
    for (size_t i = 0; i < size; i++)
        differing += memory[i] != file[i];
    free(memory);
    free(file);
    return differing;
}

/* getppid switched to getpid's home: the program sees its own pid, so the jumps are what it runs
 * through. */
static void check_switch(struct live *live)
{
    const struct replace_patch *parent = patch_named(live->replace, "getppid");
    taddr to = patch_named(live->replace, "getpid")->slot + JUMP_HOME;
    taddr home = parent->slot + JUMP_HOME;
    char own[64], *answer;
    snprintf(own, sizeof own, "%d %d\n", (int)live->pid, (int)live->pid);
    poke(live, parent->slot + JUMP_SWITCH, (uint8_t *)&to, sizeof to);
    answer = ask(live, "ppid");
    assert_string_equal(answer, own);
    free(answer);
    poke(live, parent->slot + JUMP_SWITCH, (uint8_t *)&home, sizeof home);
    snprintf(own, sizeof own, "%d %d\n", (int)getpid(), (int)live->pid);
    answer = ask(live, "ppid");
    assert_string_equal(answer, own);
    free(answer);
}

static void compare_runs(struct live *live, const char *expected)
{
    char *answer = ask(live, "run");
    assert_string_equal(answer, expected);
    free(answer);
}

static void show_cost(struct live *live, const char *when)
{
    char *answer = ask(live, "bench");
    print_message("# %-8s ns per call: %s", when, answer);
    free(answer);
}

static void stop(struct live *live)
{
    int status = -1;
    fclose(live->to);
    assert_int_equal(waitpid(live->pid, &status, 0), live->pid);
    assert_int_equal(status, 0);
    fclose(live->from);
    close(live->memory);
    replace_free(live->replace);
    objects_free(live->objects);
    maps_free(&live->maps);
}

static void check_live(const char *name)
{
    struct live live;
    char path[PATH_MAX];
    if (!target_path(name, path, sizeof path)) {
        print_message("# no %s: `make tests` builds it\n", path);
        skip();
    }
    start(&live, path);
    char *expected = ask(&live, "run");
    assert_non_null(strstr(expected, "cleaned: 5"));
    look(&live);
    place(&live);
    assert_int_equal(text_differs(&live), 0);
    show_cost(&live, "before");
    write_jumps(&live);
    assert_true(text_differs(&live) >= 2 * replace_count_slots(live.replace));
    compare_runs(&live, expected);
    compare_runs(&live, expected);
    check_switch(&live);
    show_cost(&live, "patched");
    remove_jumps(&live);
    assert_int_equal(text_differs(&live), 0);
    compare_runs(&live, expected);
    free(expected);
    stop(&live);
}

static void test_program_on_glibc_notices_nothing(void **state)
{
    (void)state;
    check_live("jumps");
}

static void test_program_on_musl_notices_nothing(void **state)
{
    (void)state;
    check_live("musl/jumps");
}

static int setup(void **state)
{
    (void)state;
    libcs_open(&libcs);
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &disassembler) != CS_ERR_OK)
        return -1;
    return cs_option(disassembler, CS_OPT_DETAIL, CS_OPT_ON) == CS_ERR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    cs_close(&disassembler);
    libcs_close(&libcs);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_for_glibc),
        cmocka_unit_test(test_plan_for_musl),
        cmocka_unit_test(test_each_row_is_a_function_somewhere),
        cmocka_unit_test(test_library_without_calls),
        cmocka_unit_test(test_island_out_of_reach),
        cmocka_unit_test(test_covers_the_interior_only),
        cmocka_unit_test(test_slots_mean_the_same_in_glibc),
        cmocka_unit_test(test_slots_mean_the_same_in_musl),
        cmocka_unit_test(test_no_branch_into_an_entry_of_glibc),
        cmocka_unit_test(test_no_branch_into_an_entry_of_musl),
        cmocka_unit_test(test_program_on_glibc_notices_nothing),
        cmocka_unit_test(test_program_on_musl_notices_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
