/*
 * The table of system calls: that the functions of the C libraries are complete.
 *
 * Completeness is a survey of the C libraries installed here: each system call instruction in each
 * exported function (and, in musl, each call of its cancellable system call) is found by
 * disassembly, with its number. If the shadow executes that call, the function must be in a
 * FUNCTION row, or be one of the exceptions below; what is done here is left to the net under the
 * jumps. A function that is neither fails the test: add a row, or say why not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <capstone/capstone.h>

#include "driver/calls.h"
#include "tests/unit/libcs.h"

#include <cmocka.h> /* last: it has a macro fail() */

/* Functions that make a call of the table and have no row. Those that do much more than one call
 * are left to the net under the jumps (DESIGN: entry jumps), which catches the system call
 * instruction itself. */
static const struct {
    const char *name, *why;
} exceptions[] = {
    {"syscall", "any call by number; the net sees the number"},
    {"herror", "writes one message behind a look-up of it"},
    {"ustat", "obsolete; the kernel has it on few architectures"},
    {"opendir", "open and allocate; close on failure"},
    {"readdir", "reads on only when its buffer is empty"},
    {"statvfs", "statfs, converted"},
    {"fstatvfs", "fstatfs, converted"},
    {"fopen", "open and much else"},
    {"fdopen", "allocates; asks for flags and terminal"},
    {"freopen", "flush, open, dup3, close"},
    {"popen", "pipe, spawn, close"},
    {"pclose", "close and wait"},
    {"tmpfile", "makes names until one is free"},
    {"tmpnam", "makes names until one is free"},
    {"tempnam", "makes names until one is free"},
    {"remove", "unlink, then rmdir"},
    {"ptsname_r", "ioctl and a name made of it"},
    {"if_indextoname", "socket, ioctl, close"},
    {"if_nametoindex", "socket, ioctl, close"},
    {"aio_cancel", "threads and a queue"},
    {"_Fork", "a thread asks for its own id"},
    {"sem_open", "makes names until one is free"},
    {"__libc_start_main", "runs before any hijack: opens /dev/null for closed standard streams"},
};

struct survey {
    struct libcs *libcs;
    const struct object *object;
    taddr cancellable; /* musl's __syscall_cp(number, ...), 0: none */
    csh disassembler;
    int found, in_rows, bad;
};

static void test_exceptions_have_no_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++)
        assert_null(call_named(exceptions[i].name));
}

/* --- the survey --- */

/* Does the shadow execute it? What is unknown might be. */
static bool is_forwarded(long number)
{
    return number < 0 || number >= (long)calls_count || calls[number].how == CALL_FORWARD;
}

static bool is_exception(const char *name)
{
    for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++)
        if (strcmp(exceptions[i].name, name) == 0)
            return true;
    return false;
}

/* What is known of the registers: constants, followed through mov and xor. */
#define UNKNOWN (-1L)
static long registers[16];

static int register_index(x86_reg reg)
{
    static const x86_reg all[16][4] = {
        {X86_REG_RAX, X86_REG_EAX, X86_REG_AX, X86_REG_AL},
        {X86_REG_RCX, X86_REG_ECX, X86_REG_CX, X86_REG_CL},
        {X86_REG_RDX, X86_REG_EDX, X86_REG_DX, X86_REG_DL},
        {X86_REG_RBX, X86_REG_EBX, X86_REG_BX, X86_REG_BL},
        {X86_REG_RSI, X86_REG_ESI, X86_REG_SI, X86_REG_SIL},
        {X86_REG_RDI, X86_REG_EDI, X86_REG_DI, X86_REG_DIL},
        {X86_REG_RBP, X86_REG_EBP, X86_REG_BP, X86_REG_BPL},
        {X86_REG_R8, X86_REG_R8D, X86_REG_R8W, X86_REG_R8B},
        {X86_REG_R9, X86_REG_R9D, X86_REG_R9W, X86_REG_R9B},
        {X86_REG_R10, X86_REG_R10D, X86_REG_R10W, X86_REG_R10B},
        {X86_REG_R11, X86_REG_R11D, X86_REG_R11W, X86_REG_R11B},
        {X86_REG_R12, X86_REG_R12D, X86_REG_R12W, X86_REG_R12B},
        {X86_REG_R13, X86_REG_R13D, X86_REG_R13W, X86_REG_R13B},
        {X86_REG_R14, X86_REG_R14D, X86_REG_R14W, X86_REG_R14B},
        {X86_REG_R15, X86_REG_R15D, X86_REG_R15W, X86_REG_R15B},
    };
    for (int i = 0; i < 15; i++)
        for (int k = 0; k < 4; k++)
            if (all[i][k] == reg)
                return i;
    return 15;
}

static void forget_registers(void)
{
    for (int i = 0; i < 16; i++)
        registers[i] = UNKNOWN;
}

static long value_of(const cs_x86_op *op)
{
    if (op->type == X86_OP_IMM)
        return (long)(uint32_t)op->imm;
    return op->type == X86_OP_REG ? registers[register_index(op->reg)] : UNKNOWN;
}

static void follow(csh disassembler, const cs_insn *insn)
{
    const cs_x86 *x = &insn->detail->x86;
    cs_regs read, written;
    uint8_t reads, writes;
    long value = UNKNOWN;
    if (insn->id == X86_INS_MOV || insn->id == X86_INS_MOVABS)
        value = value_of(&x->operands[1]);
    else if (insn->id == X86_INS_XOR && x->operands[0].type == X86_OP_REG &&
             x->operands[1].type == X86_OP_REG && x->operands[0].reg == x->operands[1].reg)
        value = 0;
    if (insn->id == X86_INS_CALL)
        for (int i = 0; i < 11; i++) /* rbx and rbp too: they hold no numbers in practice */
            registers[i] = UNKNOWN;
    if (cs_regs_access(disassembler, insn, read, &reads, written, &writes) != CS_ERR_OK)
        return;
    for (int i = 0; i < writes; i++)
        registers[register_index(written[i])] = UNKNOWN;
    if (x->op_count > 0 && x->operands[0].type == X86_OP_REG)
        registers[register_index(x->operands[0].reg)] = value;
}

/* The number of the system call that `insn` makes; -2: it makes none. */
static long number_of(const struct survey *s, const cs_insn *insn)
{
    const cs_x86 *x = &insn->detail->x86;
    if (insn->id == X86_INS_SYSCALL)
        return registers[register_index(X86_REG_RAX)];
    if ((insn->id == X86_INS_CALL || insn->id == X86_INS_JMP) && s->cancellable &&
        x->op_count == 1 && x->operands[0].type == X86_OP_IMM &&
        (taddr)x->operands[0].imm == s->cancellable)
        return registers[register_index(X86_REG_RDI)];
    return -2;
}

/* Does any name of the function at `address` stand in the table, or among the exceptions? */
struct known {
    taddr address;
    bool row, exception;
    const struct call_function *first;
};

static int look_at_name(void *context, const struct object_function *function)
{
    struct known *known = context;
    const struct call_function *row = call_named(function->name);
    if (function->address != known->address)
        return 0;
    known->row |= row != NULL;
    known->exception |= is_exception(function->name);
    if (row && known->first && row != known->first)
        fail_msg("%s is a name of both %s and %s", function->name, row->name, known->first->name);
    if (row)
        known->first = row;
    return 0;
}

static void judge(struct survey *s, const struct object_function *function, long number)
{
    struct known known = {.address = function->address};
    s->found++;
    object_functions(s->libcs->objects, s->object, look_at_name, &known);
    s->in_rows += known.row;
    if (known.row || known.exception || !is_forwarded(number))
        return;
    /* numbers not seen to be constants: only the waiting of threads and the exit have such */
    if ((number < 0 || number > 1000) &&
        (strncmp(function->name, "pthread_", 8) == 0 || strcmp(function->name, "_exit") == 0))
        return;
    print_message("# %s makes system call %ld and is in no row\n", function->name, number);
    s->bad++;
}

static int survey_function(void *context, const struct object_function *function)
{
    struct survey *s = context;
    static uint8_t body[65536];
    if (function->size == 0 || function->size > sizeof body ||
        object_text(s->libcs->objects, s->object, function->address, body, function->size) != 0)
        return 0;
    const uint8_t *at = body;
    size_t left = function->size;
    uint64_t address = function->address;
    cs_insn *insn = cs_malloc(s->disassembler);
    forget_registers();
    while (cs_disasm_iter(s->disassembler, &at, &left, &address, insn)) {
        long number = number_of(s, insn);
        if (number != -2)
            judge(s, function, number);
        follow(s->disassembler, insn);
    }
    cs_free(insn, 1);
    return 0;
}

/* musl's cancellable calls go through one hidden function; read() and write() do nothing but that.
 */
static taddr first_call(struct survey *s, const char *name)
{
    struct object_function function;
    uint8_t body[128];
    taddr found = 0;
    taddr address;
    if (!object_symbol(s->libcs->objects, s->object, name, &address) ||
        !object_function_at(s->libcs->objects, s->object, address, &function) ||
        function.size > sizeof body ||
        object_text(s->libcs->objects, s->object, function.address, body, function.size) != 0)
        return 0;
    cs_insn *insns;
    size_t count = cs_disasm(s->disassembler, body, function.size, function.address, 0, &insns);
    for (size_t i = 0; i < count && !found; i++)
        if (insns[i].id == X86_INS_CALL)
            found = (taddr)insns[i].detail->x86.operands[0].imm;
    cs_free(insns, count);
    return found;
}

static void survey(struct libcs *libcs, const struct object *object, struct survey *s)
{
    *s = (struct survey){.libcs = libcs, .object = object};
    assert_int_equal(cs_open(CS_ARCH_X86, CS_MODE_64, &s->disassembler), CS_ERR_OK);
    cs_option(s->disassembler, CS_OPT_DETAIL, CS_OPT_ON);
    if (object == libcs->musl) {
        s->cancellable = first_call(s, "read");
        assert_int_not_equal(s->cancellable, 0);
        assert_int_equal(s->cancellable, first_call(s, "write"));
    }
    object_functions(libcs->objects, object, survey_function, s);
    cs_close(&s->disassembler);
    print_message("# %s: %d system calls in exported functions, %d in rows\n", object->path,
                  s->found, s->in_rows);
}

static void test_glibc_is_covered(void **state)
{
    struct libcs *libcs = *state;
    struct survey s;
    if (!libcs->glibc)
        skip();
    survey(libcs, libcs->glibc, &s);
    assert_true(s.in_rows > 150);
    assert_int_equal(s.bad, 0);
}

static void test_musl_is_covered(void **state)
{
    struct libcs *libcs = *state;
    struct survey s;
    if (!libcs->musl) {
        print_message("# no " MUSL " (package musl)\n");
        skip();
    }
    survey(libcs, libcs->musl, &s);
    assert_true(s.in_rows > 150);
    assert_int_equal(s.bad, 0);
}

static int setup(void **state)
{
    static struct libcs libcs;
    libcs_open(&libcs);
    *state = &libcs;
    return 0;
}

static int teardown(void **state)
{
    libcs_close(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exceptions_have_no_row),
        cmocka_unit_test(test_glibc_is_covered),
        cmocka_unit_test(test_musl_is_covered),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
