/* Entry jumps on x86-64: what is displaced, what is refused, and that the relocated code does the
 * same. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "driver/jump.h"

#include <cmocka.h> /* last: it has a macro fail() */

#define AT 0x7f0000001000

static struct failure failure;
static struct jump_plan plan;

#define BYTES(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})

static int plan_bytes(const uint8_t *body, size_t size)
{
    failure.text[0] = 0;
    return jump_plan(body, size, AT, &plan, &failure);
}

static void assert_refused(const uint8_t *body, size_t size, const char *why)
{
    assert_int_equal(plan_bytes(body, size), -ENOTSUP);
    if (!strstr(failure.text, why))
        fail_msg("refused because '%s', expected '%s'", failure.text, why);
}

static int32_t rel32(const uint8_t *at)
{
    int32_t value;
    memcpy(&value, at, 4);
    return value;
}

/* --- planning --- */

static void test_whole_instructions_are_displaced(void **state)
{
    (void)state;
    /* mov $39,%eax; syscall; ret */
    assert_int_equal(plan_bytes(BYTES(0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3)), 0);
    assert_int_equal(plan.displaced, 5);
    /* xor %edi,%edi; mov $121,%eax; syscall; ret */
    assert_int_equal(plan_bytes(BYTES(0x31, 0xff, 0xb8, 121, 0, 0, 0, 0x0f, 0x05, 0xc3)), 0);
    assert_int_equal(plan.displaced, 7);
    assert_int_equal(plan.count, 2);
    assert_int_equal(plan.entry, AT);
}

static void test_endbr64_stays(void **state)
{
    (void)state;
    assert_int_equal(plan_bytes(BYTES(0xf3, 0x0f, 0x1e, 0xfa, 0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3)),
                     0);
    assert_int_equal(plan.entry, AT + 4);
    assert_int_equal(plan.displaced, 5);
    assert_int_equal(plan.bytes[0], 0xb8);
}

static void test_refusals(void **state)
{
    (void)state;
    assert_refused(BYTES(0x31, 0xc0, 0xc3), "only 3 bytes");
    assert_refused(BYTES(0x31, 0xc0, 0x0f, 0x05, 0xc3, 0x90), "system call");
    assert_refused(BYTES(0x06, 0x90, 0x90, 0x90, 0x90), "unknown");
    assert_refused(BYTES(0xe2, 0x10, 0x90, 0x90, 0x90, 0xc3), "loop at the entry cannot be moved");
    assert_refused(BYTES(0xff, 0x15, 0, 0, 0, 0, 0xc3), "call at the entry cannot be moved");
    assert_refused(BYTES(0xff, 0xd0, 0x90, 0x90, 0x90, 0xc3, 0x90, 0x90), "");
    assert_refused(BYTES(0xe8, 0, 0, 0), "unknown"); /* cut off */
}

static void test_branch_into_the_entry_is_refused(void **state)
{
    (void)state;
    /* push; mov %rdi,%rbx; dec %edi; jne 1b, to the second instruction */
    const uint8_t loop[] = {0x53, 0x48, 0x89, 0xfb, 0xff, 0xcf, 0x75, 0xf9, 0x5b, 0xc3};
    assert_refused(loop, sizeof loop, "branch at byte 6");
    uint8_t again[sizeof loop];
    memcpy(again, loop, sizeof loop);
    again[7] = 0xf8; /* to the first: there the jump stands, and it is whole */
    assert_int_equal(plan_bytes(again, sizeof again), 0);
    again[7] = 0xfe; /* to behind it */
    assert_int_equal(plan_bytes(again, sizeof again), 0);
}

static void test_immediate_that_looks_like_a_branch_is_none(void **state)
{
    (void)state;
    /* mov $7,%eax; mov $0xf875,%ecx: 75 f8 would be jne to byte 0, 75 fa to byte 2 */
    const uint8_t body[] = {0xb8, 7, 0, 0, 0, 0xb9, 0x75, 0xfa, 0, 0, 0xc3};
    assert_int_equal(plan_bytes(body, sizeof body), 0);
}

static void test_calls(void **state)
{
    (void)state;
    /* sub $8,%rsp; call: returns behind the displaced bytes */
    assert_int_equal(plan_bytes(BYTES(0x48, 0x83, 0xec, 8, 0xe8, 0x10, 0, 0, 0, 0xc3)), 0);
    assert_int_equal(plan.displaced, 9);
    assert_int_equal(plan.insns[1].target, AT + 9 + 0x10);
    /* being as long as the entry, a call is always the last */
    assert_int_equal(plan_bytes(BYTES(0xe8, 0x10, 0, 0, 0, 0xc3)), 0);
    assert_int_equal(plan.count, 1);
}

static void test_random_bytes(void **state)
{
    (void)state;
    srandom(1);
    int planned = 0;
    for (int round = 0; round < 20000; round++) {
        uint8_t body[40], slot[JUMP_SLOT];
        size_t size = (size_t)random() % sizeof body;
        for (size_t i = 0; i < size; i++)
            body[i] = (uint8_t)random();
        if (plan_bytes(body, size) != 0)
            continue;
        planned++;
        assert_in_range(plan.displaced, jump_entry_size, jump_entry_size + 14);
        assert_true(plan.entry - AT + plan.displaced <= size);
        assert_memory_equal(plan.bytes, body + (plan.entry - AT), plan.displaced);
        assert_true(jump_slot(&plan, AT + 0x100000, slot, &failure) == 0 ||
                    failure.code == -ERANGE);
    }
    assert_true(planned > 1000);
}

/* --- bytes --- */

static void test_entry_reaches_the_slot(void **state)
{
    (void)state;
    uint8_t bytes[JUMP_MAX];
    assert_int_equal(plan_bytes(BYTES(0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3)), 0);
    assert_int_equal(jump_entry(&plan, AT + 0x1000, bytes, &failure), 0);
    assert_int_equal(bytes[0], 0xe9);
    assert_int_equal(rel32(bytes + 1), 0x1000 - 5);
    taddr far = AT + jump_reach, back = AT - jump_reach;
    assert_int_equal(jump_entry(&plan, far, bytes, &failure), 0);
    assert_int_equal(jump_entry(&plan, back, bytes, &failure), 0);
    assert_int_equal(jump_entry(&plan, AT + 0x80000005, bytes, &failure), -ERANGE);
    assert_int_equal(jump_entry(&plan, AT - 0x7ffffffc, bytes, &failure), -ERANGE);
    assert_int_equal(jump_entry(&plan, 0x1000, bytes, &failure), -ERANGE);
}

static void test_slot_begins_at_home(void **state)
{
    (void)state;
    uint8_t slot[JUMP_SLOT];
    taddr at = AT + 0x10000, home;
    assert_int_equal(plan_bytes(BYTES(0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3)), 0);
    assert_int_equal(jump_slot(&plan, at, slot, &failure), 0);
    memcpy(&home, slot + JUMP_SWITCH, sizeof home);
    assert_int_equal(home, at + JUMP_HOME);
    assert_memory_equal(slot, "\xff\x25\x02\x00\x00\x00", 6);
    assert_memory_equal(slot + JUMP_HOME, "\xb8\x27\x00\x00\x00\xe9", 6);
    assert_int_equal(at + JUMP_HOME + 10 + (taddr)(int64_t)rel32(slot + JUMP_HOME + 6), AT + 5);
}

static void test_operand_out_of_reach(void **state)
{
    (void)state;
    uint8_t slot[JUMP_SLOT];
    /* cmpb $0,0x70000000(%rip): the entry reaches this slot, the operand does not */
    assert_int_equal(plan_bytes(BYTES(0x80, 0x3d, 0, 0, 0, 0x70, 0, 0xc3)), 0);
    assert_int_equal(jump_slot(&plan, AT - 0x20000000, slot, &failure), -ERANGE);
    assert_int_equal(jump_slot(&plan, AT + 0x1000, slot, &failure), 0);
}

/* --- running them --- */

/* A page of code with the function at 0, a byte of data at 256, a callee at 512, the island at
 * 2048. */
struct page {
    uint8_t function[256], data[256], callee[1536], slot[JUMP_SLOT];
};
typedef long (*function)(long);

static struct page *new_page(const uint8_t *body, size_t size)
{
    struct page *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    memcpy(page->function, body, size);
    return page;
}

static void patch(struct page *page, size_t size)
{
    uint8_t entry[JUMP_MAX];
    taddr at = (taddr)(uintptr_t)page->function, slot = (taddr)(uintptr_t)page->slot;
    assert_int_equal(jump_plan(page->function, size, at, &plan, &failure), 0);
    assert_int_equal(jump_slot(&plan, slot, page->slot, &failure), 0);
    assert_int_equal(jump_entry(&plan, slot, entry, &failure), 0);
    memcpy(page->function + (plan.entry - at), entry, jump_entry_size);
}

static long run(struct page *page, long argument)
{
    return ((function)(uintptr_t)page->function)(argument);
}

static void test_single_thread_check_runs(void **state)
{
    (void)state;
    /* cmpb $0,data(%rip); je 1f; mov $1,%eax; ret; 1: lea 2(%rdi),%rax; ret */
    const uint8_t body[] = {0x80, 0x3d, 249, 0, 0,    0,    0,    0x74, 0x06, 0xb8,
                            1,    0,    0,   0, 0xc3, 0x48, 0x8d, 0x47, 2,    0xc3};
    struct page *page = new_page(body, sizeof body);
    patch(page, sizeof body);
    assert_int_equal(run(page, 40), 42);
    page->data[0] = 1;
    assert_int_equal(run(page, 40), 1);
    munmap(page, 4096);
}

static void test_short_jumps_run(void **state)
{
    (void)state;
    /* test %edi,%edi; je 1f; jmp 2f; nop; 1: mov $7,%eax; ret; 2: mov $8,%eax; ret */
    const uint8_t body[] = {0x85, 0xff, 0x74, 3,    0xeb, 7, 0x90, 0xb8, 7,   0,
                            0,    0,    0xc3, 0xb8, 8,    0, 0,    0,    0xc3};
    struct page *page = new_page(body, sizeof body);
    patch(page, sizeof body);
    assert_int_equal(plan.displaced, 6);
    assert_int_equal(run(page, 0), 7);
    assert_int_equal(run(page, 1), 8);
    munmap(page, 4096);
}

static void test_call_returns_to_the_function(void **state)
{
    (void)state;
    /* sub $8,%rsp; call callee; add $8,%rsp; sub %rdx,%rax; ret   callee: mov (%rsp),%rax; ret */
    const uint8_t body[] = {0x48, 0x83, 0xec, 8, 0xe8, 0xf7, 1, 0, 0, 0x48, 0x83, 0xc4, 8, 0xc3};
    struct page *page = new_page(body, sizeof body);
    memcpy(page->callee, "\x48\x8b\x04\x24\xc3", 5);
    long unpatched = run(page, 0);
    assert_int_equal(unpatched, (long)(uintptr_t)page->function + 9);
    patch(page, sizeof body);
    assert_int_equal(run(page, 0), unpatched);
    munmap(page, 4096);
}

static long stub(long argument)
{
    return argument * 2;
}

static void test_switch_leads_to_a_stub(void **state)
{
    (void)state;
    const uint8_t body[] = {0xb8, 9, 0, 0, 0, 0xc3};
    struct page *page = new_page(body, sizeof body);
    patch(page, sizeof body);
    assert_int_equal(run(page, 21), 9);
    taddr to = (taddr)(uintptr_t)stub;
    memcpy(page->slot + JUMP_SWITCH, &to, sizeof to);
    assert_int_equal(run(page, 21), 42);
    munmap(page, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_instructions_are_displaced),
        cmocka_unit_test(test_endbr64_stays),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_branch_into_the_entry_is_refused),
        cmocka_unit_test(test_immediate_that_looks_like_a_branch_is_none),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_entry_reaches_the_slot),
        cmocka_unit_test(test_slot_begins_at_home),
        cmocka_unit_test(test_operand_out_of_reach),
        cmocka_unit_test(test_single_thread_check_runs),
        cmocka_unit_test(test_short_jumps_run),
        cmocka_unit_test(test_call_returns_to_the_function),
        cmocka_unit_test(test_switch_leads_to_a_stub),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
