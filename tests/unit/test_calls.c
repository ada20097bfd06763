/*
 * The table of system calls: that it is complete and sound, and what BY stands for.
 *
 * Complete: every number that gdb's table or the kernel's header knows has a row, under that name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "driver/arch.h"
#include "driver/calls.h"
#include "driver/tdesc.h"
#include "stubs/calls_by.h"
#include "stubs/wire.h"

#include <cmocka.h> /* last: it has a macro fail() */

#define GDB_DATA "/usr/share/gdb"

static const struct call *row_of(long number)
{
    return number >= 0 && number < (long)calls_count && calls[number].how != CALL_UNKNOWN
               ? &calls[number]
               : NULL;
}

/* --- complete --- */

static void check_every_number(const char *data_directory, size_t at_least)
{
    struct tdesc_syscalls known;
    struct failure f;
    int missing = 0;
    assert_int_equal(tdesc_syscalls_load(data_directory, arch.gdb_name, &known, &f), 0);
    assert_true(known.count >= at_least);
    for (size_t i = 0; i < known.count; i++) {
        const struct call *row = row_of(known.at[i].number);
        if (!row)
            print_message("# system call %ld, %s, has no row\n", known.at[i].number,
                          known.at[i].name);
        missing += !row;
        if (row)
            assert_string_equal(row->name, known.at[i].name);
    }
    tdesc_syscalls_free(&known);
    assert_int_equal(missing, 0);
}

static void test_every_number_has_a_row(void **state)
{
    (void)state;
    check_every_number(GDB_DATA, 300);
}

static void test_every_compiled_number_has_a_row(void **state)
{
    (void)state;
    check_every_number(NULL, 300);
}

/* --- sound --- */

static int count_arguments(const struct call_arg *args)
{
    int n = 0;
    while (n < CALL_ARGS && args[n].kind != ARG_NONE)
        n++;
    return n;
}

/* The kinds that another argument of one of these kinds belongs to: 0 where there is none. */
static bool fits(uint8_t kind, uint8_t other)
{
    switch (kind) {
    case ARG_IN:
    case ARG_OUT:
    case ARG_INH:
    case ARG_OUTH:
    case ARG_SIGSET:
        return other == ARG_LEN;
    case ARG_OUTL:
        return other == ARG_LENP;
    case ARG_INA:
    case ARG_OUTA:
    case ARG_INOUTA:
    case ARG_IOVIN:
    case ARG_IOVOUT:
    case ARG_FDSET:
        return other == ARG_COUNT;
    case ARG_BY:
        return other == ARG_INT || other == ARG_FLAGS;
    default:
        return other == ARG_NONE;
    }
}

static bool has_size(uint8_t kind)
{
    return wire_is_pointer(kind) && kind != ARG_PATH && kind != ARG_STR && kind != ARG_BY &&
           kind != ARG_PTR && kind != ARG_INW && kind != ARG_INOUTW;
}

static void check_argument(const struct call *row, int index)
{
    const struct call_arg *arg = &row->args[index];
    assert_in_range(arg->other, 0, CALL_ARGS);
    if (!fits(arg->kind, arg->other ? row->args[arg->other - 1].kind : ARG_NONE))
        fail_msg("%s: argument %d does not fit argument %d", row->name, index + 1, arg->other);
    if (has_size(arg->kind) && (arg->value <= 0 || arg->value > (int32_t)WIRE_DATA))
        fail_msg("%s: argument %d has size %d", row->name, index + 1, arg->value);
    if (arg->kind >= ARG_NEXT)
        fail_msg("%s: argument %d is a function's", row->name, index + 1);
    if (row->how == CALL_FORWARD && arg->kind == ARG_PTR)
        fail_msg("%s: argument %d cannot travel", row->name, index + 1);
}

static void test_arguments_fit(void **state)
{
    (void)state;
    for (size_t i = 0; i < calls_count; i++) {
        int count = count_arguments(calls[i].args);
        for (int k = 0; k < count; k++)
            check_argument(&calls[i], k);
        for (int k = count; k < CALL_ARGS; k++)
            assert_int_equal(calls[i].args[k].kind, ARG_NONE);
    }
}

/* Only a call that is forwarded has a size to be agreed upon; one that is refused needs an error
 * and, like all that do not behave as at home, a reason. */
static void test_rows_say_what_and_why(void **state)
{
    (void)state;
    for (size_t i = 0; i < calls_count; i++) {
        const struct call *row = &calls[i];
        if (row->how == CALL_UNKNOWN)
            continue;
        size_t length = strlen(row->why);
        if (row->how != CALL_FORWARD && length == 0)
            fail_msg("%s: why?", row->name);
        if (length > 76 || (length && row->why[length - 1] == '.') || strpbrk(row->why, "\"\\"))
            fail_msg("%s: '%s' is no remark", row->name, row->why);
        if (row->how == CALL_REFUSE)
            assert_in_range(row->detail, 1, 133);
        else
            assert_in_range(row->detail, 0, row->how == CALL_FORWARD ? CALL_INTERRUPTED : 0);
    }
}

/* Every size that the program gives a pointer to is the size of something. */
static void test_lengths_are_used(void **state)
{
    (void)state;
    for (size_t i = 0; i < calls_count; i++)
        for (int k = 0; k < CALL_ARGS; k++) {
            bool used = calls[i].args[k].kind != ARG_LENP || i == __NR_getsockopt;
            for (int j = 0; j < CALL_ARGS; j++)
                used |= calls[i].args[j].other == k + 1;
            if (!used)
                fail_msg("%s: argument %d is the length of nothing", calls[i].name, k + 1);
        }
}

/* --- functions --- */

static void test_names_lead_to_their_row(void **state)
{
    (void)state;
    for (int i = 0; i < FUNCTIONS; i++) {
        char names[256], *save, *name;
        assert_true(strlen(call_functions[i].names) < sizeof names);
        strcpy(names, call_functions[i].names);
        for (name = strtok_r(names, " ", &save); name; name = strtok_r(NULL, " ", &save))
            if (call_named(name) != &call_functions[i]) /* also when two rows claim a name */
                fail_msg("%s: belongs to %s and to %s", name, call_functions[i].name,
                         call_named(name) ? call_named(name)->name : "none");
    }
    assert_ptr_equal(call_named("__open64_nocancel"), &call_functions[FUNCTION_ID_open]);
    assert_null(call_named("malloc"));
    assert_null(call_named("rea"));
    assert_null(call_named("readx"));
    assert_null(call_named(""));
}

/* A jump past libc pays where a stub does the call; and it must hand over what the kernel takes. */
static void check_function(const struct call_function *function)
{
    const struct call *call = row_of(function->number);
    int given = 0;
    if (!call)
        fail_msg("%s: its system call has no row", function->name);
    if (call_has_stub(function) && call->how != CALL_FORWARD && call->how != CALL_EMULATE)
        fail_msg("%s: %s is not for a stub", function->name, call->name);
    for (int i = 0; i < CALL_ARGS; i++) {
        uint8_t kind = function->args[i].kind;
        assert_true(kind == ARG_NONE || kind >= ARG_NEXT);
        given += kind == ARG_NEXT || kind == ARG_CONST;
    }
    int taken = function->how == FUNCTION_LOCK ? 1 : count_arguments(call->args);
    if (count_arguments(function->args) > 0 && given != taken)
        fail_msg("%s gives %d arguments, %s takes %d", function->name, given, call->name, taken);
}

static void test_functions_fit_their_call(void **state)
{
    (void)state;
    for (int i = 0; i < FUNCTIONS; i++)
        check_function(&call_functions[i]);
}

static void test_hand_written_stubs_are_the_fewer(void **state)
{
    (void)state;
    int special = 0, emulated = 0, forwarded = 0;
    for (int i = 0; i < FUNCTIONS; i++)
        special += !call_has_stub(&call_functions[i]);
    for (size_t i = 0; i < calls_count; i++) {
        emulated += calls[i].how == CALL_EMULATE;
        forwarded += calls[i].how == CALL_FORWARD;
    }
    print_message("# %d functions, %d of them by the net; %d calls forwarded, %d emulated\n",
                  FUNCTIONS, special, forwarded, emulated);
    assert_true(special * 3 < FUNCTIONS);
    assert_true(emulated * 4 < forwarded);
}

/* --- BY --- */

static struct call_arg by(uint32_t number, int argument, const uint64_t *args)
{
    assert_int_equal(calls[number].args[argument - 1].kind, ARG_BY);
    return call_by(number, &calls[number], argument - 1, args);
}

/* Each listed argument is a BY of its row, and comes out as it is listed. */
static const struct {
    uint32_t number, argument, value;
    struct call_arg arg;
} listed[] = {
#define WHEN(call, argument, value, kind) {__NR_##call, argument, (uint32_t)(value), kind},
#include "stubs/calls.def"
};

/* The arguments with which call_by() sees the value of `listed[i]`. */
static void make_arguments(size_t i, uint64_t *args)
{
    uint32_t number = listed[i].number, value = listed[i].value;
    int other = calls[number].args[listed[i].argument - 1].other - 1;
    memset(args, 0xff, CALL_ARGS * sizeof *args);
    args[other] = value;
    if (number == __NR_getsockopt || number == __NR_setsockopt) {
        args[other] = value >> 16;
        args[other + 1] = value & 0xffff;
    }
    if (number == __NR_quotactl || number == __NR_quotactl_fd)
        args[other] = value << SUBCMDSHIFT | GRPQUOTA;
}

static bool equal(struct call_arg a, struct call_arg b)
{
    return a.kind == b.kind && a.other == b.other && a.value == b.value;
}

static void test_listed_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof listed / sizeof *listed; i++) {
        uint64_t args[CALL_ARGS];
        make_arguments(i, args);
        struct call_arg arg = by(listed[i].number, (int)listed[i].argument, args);
        if (!equal(arg, listed[i].arg))
            fail_msg("%s, %#x: kind %d of %d bytes", calls[listed[i].number].name, listed[i].value,
                     arg.kind, arg.value);
        assert_in_range(arg.value, 0, 16384);
    }
}

static void test_every_by_is_listed(void **state)
{
    (void)state;
    for (size_t i = 0; i < calls_count; i++)
        for (uint32_t k = 1; k <= CALL_ARGS; k++) {
            bool found = calls[i].args[k - 1].kind != ARG_BY || (i == __NR_keyctl && k > 4);
            for (size_t j = 0; j < sizeof listed / sizeof *listed; j++)
                found |= listed[j].number == i && listed[j].argument == k;
            if (!found)
                fail_msg("%s: argument %u is by nothing", calls[i].name, k);
        }
}

static void expect_by(uint32_t number, int argument, const uint64_t args[CALL_ARGS], uint8_t kind,
                      int32_t bytes)
{
    struct call_arg arg = by(number, argument, args);
    assert_int_equal(arg.kind, kind);
    assert_int_equal(arg.value, bytes);
}

#define POINTER 0x7ffe12345678u
#define ARGS    (uint64_t[CALL_ARGS])

/* The kernel's sizes, where libc's struct or the number itself says otherwise. */
static void test_sizes_are_the_kernels(void **state)
{
    (void)state;
    expect_by(__NR_ioctl, 3, ARGS{0, TCGETS, POINTER}, ARG_OUTS, 36);
    expect_by(__NR_ioctl, 3, ARGS{0, FS_IOC_GETFLAGS, POINTER}, ARG_OUTS, 4);
    expect_by(__NR_ioctl, 3, ARGS{0, TUNSETIFF, POINTER}, ARG_INOUTS, 40);
    expect_by(__NR_ioctl, 3, ARGS{0, BLKBSZGET, POINTER}, ARG_OUTS, 4);
    expect_by(__NR_ioctl, 3, ARGS{0, FICLONE, 7}, ARG_INT, 0);
    expect_by(__NR_fcntl, 3, ARGS{0, F_SETLKW, POINTER}, ARG_INS, 32);
    expect_by(__NR_fcntl, 3, ARGS{0, F_SETOWN, 1234}, ARG_PID, 0);
    expect_by(__NR_epoll_ctl, 4, ARGS{0, EPOLL_CTL_ADD, 1, POINTER}, ARG_INS, 12);
    expect_by(__NR_semctl, 4, ARGS{0, 0, GETALL, POINTER}, ARG_SEMSOUT, 2);
    expect_by(__NR_semctl, 4, ARGS{0, 0, IPC_STAT, POINTER}, ARG_OUTS, 104);
}

/* As the request is 32 bits wide to the kernel, so it is to us: libc passes some sign-extended. */
static void test_upper_half_of_a_request_is_nothing(void **state)
{
    (void)state;
    expect_by(__NR_ioctl, 3, ARGS{0, 0xffffffff00000000 | TCGETS, POINTER}, ARG_OUTS, 36);
    expect_by(__NR_ioctl, 3, ARGS{0, (uint64_t)(int32_t)TIOCGPTN, POINTER}, ARG_OUTS, 4);
}

static void test_unknown_requests_by_their_number(void **state)
{
    (void)state;
    expect_by(__NR_ioctl, 3, ARGS{0, _IOR('h', 1, char[321]), POINTER}, ARG_OUTS, 321);
    expect_by(__NR_ioctl, 3, ARGS{0, _IOW('h', 1, char[16383]), POINTER}, ARG_INS, 16383);
    expect_by(__NR_ioctl, 3, ARGS{0, _IOWR('h', 1, long), POINTER}, ARG_INOUTS, sizeof(long));
}

static void test_what_may_be_a_pointer_is_no_number(void **state)
{
    (void)state;
    expect_by(__NR_ioctl, 3, ARGS{0, _IO('h', 1), 65535}, ARG_INT, 0);
    expect_by(__NR_ioctl, 3, ARGS{0, _IO('h', 1), 65536}, ARG_NONE, 0);
    expect_by(__NR_ioctl, 3, ARGS{0, 0x2285 /* SG_IO */, POINTER}, ARG_NONE, 0);
    expect_by(__NR_ioctl, 3, ARGS{0, SIOCGIFCONF, POINTER}, ARG_NONE, 0);
    expect_by(__NR_ioctl, 3, ARGS{0, FS_IOC_FIEMAP, POINTER}, ARG_NONE, 0);
    expect_by(__NR_fcntl, 3, ARGS{0, 9999, POINTER}, ARG_NONE, 0);
    expect_by(__NR_keyctl, 5, ARGS{99, 0, 0, 0, POINTER}, ARG_NONE, 0);
    expect_by(__NR_keyctl, 3, ARGS{KEYCTL_SETPERM, 1, 0x3f3f0000}, ARG_INT, 0);
}

static void test_socket_options_are_as_long_as_they_say(void **state)
{
    (void)state;
    uint64_t in, out, args[CALL_ARGS] = {3, SOL_SOCKET, SO_RCVTIMEO, POINTER, 16};
    struct call_arg set = by(__NR_setsockopt, 4, args), get = by(__NR_getsockopt, 4, args);
    assert_int_equal(wire_sizes(&set, args, &in, &out), 1);
    assert_int_equal(in, 16);
    assert_int_equal(out, 0);
    assert_int_equal(get.kind, ARG_OUTL);
    assert_int_equal(get.other, 5);
    args[2] = SO_ATTACH_FILTER;
    assert_int_equal(by(__NR_setsockopt, 4, args).kind, ARG_NONE);
    args[1] = SOL_IP;
    assert_int_equal(by(__NR_setsockopt, 4, args).kind, ARG_IN);
}

/* --- sizes --- */

static void expect_sizes(struct call_arg arg, uint64_t length, uint64_t in, uint64_t out)
{
    uint64_t args[CALL_ARGS] = {0, 0, length}, got_in, got_out;
    assert_int_equal(wire_sizes(&arg, args, &got_in, &got_out), 1);
    assert_int_equal(got_in, in);
    assert_int_equal(got_out, out);
}

static void test_sizes_of_kinds(void **state)
{
    (void)state;
    expect_sizes((struct call_arg){ARG_IN, 3, 1}, 100, 100, 0);
    expect_sizes((struct call_arg){ARG_INH, 3, 8}, 100, 108, 0);
    expect_sizes((struct call_arg){ARG_OUTH, 3, 8}, 0, 0, 8);
    expect_sizes((struct call_arg){ARG_INTIME, 0, 16}, 0, 16, 0);
    expect_sizes((struct call_arg){ARG_RELTIME, 0, 16}, 0, 16, 16);
    expect_sizes((struct call_arg){ARG_INA, 3, 6}, 2, 12, 0);
    expect_sizes((struct call_arg){ARG_FDSET, 3, 1}, 65, 16, 16);
}

/* No length, however large, comes out as one that fits. */
static void test_sizes_do_not_wrap(void **state)
{
    (void)state;
    static const uint8_t kinds[] = {ARG_IN, ARG_INH, ARG_INA, ARG_INOUTA, ARG_FDSET};
    for (size_t i = 0; i < sizeof kinds; i++)
        for (int bit = 22; bit < 64; bit++) {
            struct call_arg arg = {kinds[i], 3, 16};
            uint64_t args[CALL_ARGS] = {0, 0, 1ULL << bit}, in, out;
            assert_int_equal(wire_sizes(&arg, args, &in, &out), 1);
            assert_true(in > WIRE_DATA);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_number_has_a_row),
        cmocka_unit_test(test_every_compiled_number_has_a_row),
        cmocka_unit_test(test_arguments_fit),
        cmocka_unit_test(test_rows_say_what_and_why),
        cmocka_unit_test(test_lengths_are_used),
        cmocka_unit_test(test_names_lead_to_their_row),
        cmocka_unit_test(test_functions_fit_their_call),
        cmocka_unit_test(test_hand_written_stubs_are_the_fewer),
        cmocka_unit_test(test_listed_values),
        cmocka_unit_test(test_every_by_is_listed),
        cmocka_unit_test(test_sizes_are_the_kernels),
        cmocka_unit_test(test_upper_half_of_a_request_is_nothing),
        cmocka_unit_test(test_unknown_requests_by_their_number),
        cmocka_unit_test(test_what_may_be_a_pointer_is_no_number),
        cmocka_unit_test(test_socket_options_are_as_long_as_they_say),
        cmocka_unit_test(test_sizes_of_kinds),
        cmocka_unit_test(test_sizes_do_not_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
