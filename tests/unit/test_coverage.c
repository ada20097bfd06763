/*
 * What is covered: the system call instructions of the libraries of this machine are found, each of
 * them and nothing else, and counted where they belong.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <capstone/capstone.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "driver/coverage.h"
#include "driver/sites.h"
#include "tests/unit/libcs.h"

#include <cmocka.h> /* last: it has a macro fail() */

static struct libcs libcs;
static struct failure failure;

/* --- finding --- */

/* All of them: offsets, ascending. The caller frees. */
static size_t *find_all(const uint8_t *text, size_t size, size_t *count)
{
    size_t *list = calloc(size / 2 + 1, sizeof *list);
    *count = 0;
    for (size_t at = sites_next(text, size, 0); at < size; at = sites_next(text, size, at + 1))
        if (sites_is_one(text, size, at))
            list[(*count)++] = at;
    return list;
}

/* The text from its first byte to its last must give what we found. */
static void compare_with_disassembly(const struct object *object)
{
    csh handle;
    size_t size = object->text_used_end - object->text_start, count, next = 0;
    const uint8_t *text = object_bytes(libcs.objects, object, object->text_start, size), *at = text;
    size_t left = size;
    uint64_t offset = 0;
    assert_non_null(text);
    size_t *found = find_all(text, size, &count);
    assert_int_equal(cs_open(CS_ARCH_X86, CS_MODE_64, &handle), CS_ERR_OK);
    cs_option(handle, CS_OPT_SKIPDATA, CS_OPT_ON);
    cs_insn *insn = cs_malloc(handle);
    while (cs_disasm_iter(handle, &at, &left, &offset, insn))
        if (insn->id == X86_INS_SYSCALL) {
            if (next == count || found[next] != insn->address)
                fail_msg("%s: offset %#zx, not %#zx", object->path, (size_t)insn->address,
                         next < count ? found[next] : 0);
            next++;
        }
    assert_int_equal(next, count);
    print_message("# %s: %zu in %zu KiB\n", object->path, count, size / 1024);
    cs_free(insn, 1);
    cs_close(&handle);
    free(found);
}

static void test_found_as_by_disassembly(void **state)
{
    (void)state;
    for (size_t i = 0; i < objects_count(libcs.objects); i++)
        compare_with_disassembly(objects_at(libcs.objects, i));
}

/* Behind enough other instructions to be in step. */
static size_t count_in(const char *bytes, size_t size)
{
    uint8_t text[256];
    size_t count;
    memset(text, 0x90, sizeof text); /* nop */
    memcpy(text + 200, bytes, size);
    free(find_all(text, sizeof text, &count));
    return count;
}

static void test_within_another_instruction(void **state)
{
    (void)state;
    assert_int_equal(count_in("\x0f\x05", 2), 1);
    assert_int_equal(count_in("\xb8\x27\0\0\0\x0f\x05", 7), 1);
    assert_int_equal(count_in("\xbe\x0f\x05\0\0", 5), 0);             /* mov $0x50f,%esi */
    assert_int_equal(count_in("\xe9\x0f\x05\x15\0", 5), 0);           /* jmp */
    assert_int_equal(count_in("\x0f\x8f\x0f\x05\0\0", 6), 0);         /* jg */
    assert_int_equal(count_in("\x48\x8b\x05\x10\x0f\x05\0", 7), 0);   /* mov 0x50f10(%rip),%rax */
    assert_int_equal(count_in("\xbe\x0f\x05\0\0\x0f\x05\xc3", 8), 1); /* both */
}

static void test_at_every_place(void **state)
{
    (void)state;
    uint8_t text[80];
    for (size_t size = 2; size <= sizeof text; size++)
        for (size_t at = 0; at + 2 <= size; at++) {
            memset(text, 0x90, sizeof text);
            text[at] = 0x0f;
            text[at + 1] = 0x05;
            assert_int_equal(sites_next(text, size, 0), at);
            assert_int_equal(sites_next(text, size, at), at);
            assert_int_equal(sites_next(text, size, at + 1), size);
            assert_true(sites_is_one(text, size, at));
        }
    assert_int_equal(sites_next(text, 0, 0), 0);
    assert_int_equal(sites_next((const uint8_t *)"\x0f", 1, 0), 1);
    assert_int_equal(sites_next((const uint8_t *)"\x0f\x05", 1, 0), 1);
}

static void test_number(void **state)
{
    (void)state;
    assert_int_equal(sites_number((const uint8_t *)"\xb8\xe7\0\0\0\x0f\x05", 5), 231);
    assert_int_equal(sites_number((const uint8_t *)"\xb8\xc3\x01\0\0\x0f\x05", 5), 451);
    assert_int_equal(sites_number((const uint8_t *)"\x90\x44\x89\xc0\x90\x0f\x05", 5), -1);
    assert_int_equal(sites_number((const uint8_t *)"\x0f\x05", 0), -1);
}

/* --- counting --- */

static struct replace *plan(const struct object *libc)
{
    struct replace *replace;
    assert_int_equal(replace_plan(libcs.objects, libc, &replace, &failure), 0);
    return replace;
}

static size_t sites_of(const struct object *object)
{
    size_t count, size = object->text_used_end - object->text_start;
    free(find_all(object_bytes(libcs.objects, object, object->text_start, size), size, &count));
    return count;
}

static void check_counts(const struct object *libc)
{
    struct replace *replace = plan(libc);
    struct coverage only, all;
    uint64_t others = 0;
    size_t sites = 0;
    for (size_t i = 0; i < objects_count(libcs.objects); i++) {
        const struct object *object = objects_at(libcs.objects, i);
        sites += sites_of(object);
        if (object != libc)
            others += object->text_used_end - object->text_start;
    }
    coverage_count(libcs.objects, libc, replace, 0, &only);
    assert_int_equal(only.files, 1);
    assert_int_equal(only.left_out, others);
    assert_int_equal(only.patched + only.local + only.net_only + only.uncovered, sites_of(libc));
    assert_in_range(only.patched, 150, 512);
    coverage_count(libcs.objects, libc, replace, UINT64_MAX, &all);
    assert_int_equal(all.files, objects_count(libcs.objects));
    assert_int_equal(all.left_out, 0);
    assert_int_equal(all.patched + all.local + all.net_only + all.uncovered, sites);
    assert_int_equal(all.patched, only.patched);
    replace_free(replace);
}

static void test_counts_with_glibc(void **state)
{
    (void)state;
    check_counts(libcs.glibc);
}

static void test_counts_with_musl(void **state)
{
    (void)state;
    if (!libcs.musl)
        skip();
    check_counts(libcs.musl);
}

static void test_limit_takes_the_smallest(void **state)
{
    (void)state;
    struct replace *replace = plan(libcs.glibc);
    struct coverage before = {0}, c;
    for (uint64_t most = 1 << 20; most <= 64u << 20; most *= 2) {
        coverage_count(libcs.objects, libcs.glibc, replace, most, &c);
        assert_true(most == 1 << 20 || (c.files >= before.files && c.left_out <= before.left_out));
        before = c;
    }
    assert_int_equal(before.left_out, 0);
    replace_free(replace);
}

static void test_text(void **state)
{
    (void)state;
    char text[COVERAGE_TEXT];
    struct coverage c = {.net_only = 42};
    assert_string_equal(coverage_text(&c, text, sizeof text), "42 by the net only, 0 uncovered");
    c.left_out = 3 << 20;
    assert_string_equal(coverage_text(&c, text, sizeof text),
                        "42 by the net only, 0 uncovered, 3072 KiB of text not searched");
}

/* A kernel without syscall user dispatch: prctl fails for it. */
static void lose_the_net(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_prctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 59, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        _exit(2);
}

static void test_without_the_net(void **state)
{
    (void)state;
    struct replace *replace = plan(libcs.glibc);
    struct coverage with, without;
    int status;
    coverage_count(libcs.objects, libcs.glibc, replace, 0, &with);
    pid_t child = fork();
    if (child == 0) {
        lose_the_net();
        coverage_count(libcs.objects, libcs.glibc, replace, 0, &without);
        _exit(without.net_only != 0 || without.patched != with.patched ||
              without.uncovered != with.net_only + with.uncovered || coverage_net());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    replace_free(replace);
}

static int setup(void **state)
{
    (void)state;
    libcs_open(&libcs);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    libcs_close(&libcs);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_as_by_disassembly),
        cmocka_unit_test(test_number),
        cmocka_unit_test(test_within_another_instruction),
        cmocka_unit_test(test_at_every_place),
        cmocka_unit_test(test_counts_with_glibc),
        cmocka_unit_test(test_counts_with_musl),
        cmocka_unit_test(test_limit_takes_the_smallest),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_without_the_net),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
