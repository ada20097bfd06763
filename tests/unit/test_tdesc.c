/* test_tdesc.c - GDB's XML: the real tables of this machine, and malformed documents. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "driver/tdesc.h"

#include <cmocka.h> /* last: it defines a macro fail() */

static const char sample[] =
    "<?xml version=\"1.0\"?>\n"
    "<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n"
    "<target>\n"
    "  <architecture>i386:x86-64</architecture>\n"
    "  <osabi>GNU/Linux</osabi>\n"
    "  <feature name=\"org.gnu.gdb.i386.core\">\n"
    "    <flags id=\"i386_eflags\" size=\"4\"><field name=\"CF\" start=\"0\" end=\"0\"/></flags>\n"
    "    <reg name=\"rax\" bitsize=\"64\" type=\"int64\" regnum=\"0\"/>\n"
    "    <reg name=\"rip\" bitsize=\"64\" type=\"code_ptr\" regnum=\"16\"/>\n"
    "    <reg name=\"eflags\" bitsize=\"32\" type=\"i386_eflags\"/>\n"
    "    <reg name=\"fctrl\" bitsize=\"32\" type=\"int\" regnum=\"32\" group=\"float\"/>\n"
    "  </feature>\n"
    "  <feature name=\"org.gnu.gdb.i386.linux\">\n"
    "    <reg name=\"orig_rax\" bitsize=\"64\" type=\"long\" regnum=\"57\"/>\n"
    "  </feature>\n"
    "</target>\n";

static void registers(void **state)
{
    (void)state;
    struct tdesc d;
    struct failure f;
    assert_int_equal(tdesc_parse(sample, strlen(sample), &d, &f), 0);
    assert_string_equal(d.architecture, "i386:x86-64");
    assert_string_equal(d.osabi, "GNU/Linux");
    assert_int_equal(d.count, 5);
    const struct tdesc_register *r = tdesc_register(&d, "eflags");
    assert_true(r && r->bits == 32 && r->number == 17); /* the one after rip */
    assert_string_equal(r->type, "i386_eflags");
    assert_string_equal(tdesc_register(&d, "fctrl")->group, "float");
    assert_string_equal(tdesc_register(&d, "orig_rax")->feature, "org.gnu.gdb.i386.linux");
    assert_int_equal(tdesc_register(&d, "orig_rax")->number, 57);
    assert_null(tdesc_register(&d, "x0"));
    tdesc_free(&d);
}

/* Every beginning of a document is malformed, and leaves nothing behind. */
static void truncated(void **state)
{
    (void)state;
    struct tdesc d;
    struct failure f;
    for (size_t size = 0; size < strlen(sample) - 1; size++) {
        assert_int_equal(tdesc_parse(sample, size, &d, &f), -EBADMSG);
        assert_int_equal(d.count, 0);
        assert_null(d.architecture);
        assert_non_null(strstr(f.text, "malformed target description"));
    }
}

static void other_documents(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "<target/>",
        "<target><architecture>x</architecture></target>",
        "<a></b>",
        "<syscalls_info><syscall name=\"read\" number=\"0\"/></syscalls_info>",
        "no XML",
        "<!DOCTYPE t [<!ENTITY a \"aaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><t>&b;</t>",
    };
    struct tdesc d;
    struct failure f;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(tdesc_parse(bad[i], strlen(bad[i]), &d, &f), -EBADMSG);
}

static void many_long_registers(void **state)
{
    (void)state;
    size_t size = 0, room = 1 << 20;
    char *xml = malloc(room);
    size += (size_t)sprintf(xml, "<target><architecture>x</architecture><feature name=\"f\">");
    for (int i = 0; i < 2000; i++)
        size += (size_t)sprintf(xml + size, "<reg name=\"%0300d\" bitsize=\"%d\"/>", i, i);
    size += (size_t)sprintf(xml + size, "</feature></target>");
    struct tdesc d;
    struct failure f;
    assert_int_equal(tdesc_parse(xml, size, &d, &f), 0);
    assert_int_equal(d.count, 2000);
    assert_int_equal(strlen(d.registers[1999].name), 300);
    assert_int_equal(d.registers[1999].number, 1999);
    tdesc_free(&d);
    free(xml);
}

/* GDB's own table of this machine, and what it does not know. */
static void system_calls(void **state)
{
    (void)state;
    struct tdesc_syscalls t;
    struct failure f;
    assert_int_equal(tdesc_syscalls_load("/usr/share/gdb", "i386:x86-64", &t, &f), 0);
    assert_string_equal(tdesc_syscall_name(&t, 0), "read");
    assert_int_equal(tdesc_syscall_number(&t, "clock_nanosleep"), 230);
    assert_int_equal(tdesc_syscall_number(&t, "no_such_call"), -1);
    assert_null(tdesc_syscall_name(&t, 99999));
    assert_string_equal(tdesc_syscall_name(&t, 450), "set_mempolicy_home_node");
    for (size_t i = 0; i < t.count; i++) /* nothing twice */
        assert_string_equal(tdesc_syscall_name(&t, t.at[i].number), t.at[i].name);
    tdesc_syscalls_free(&t);
}

static void system_calls_without_gdb(void **state)
{
    (void)state;
    static const char *const places[] = {NULL, "/no/such/directory"};
    struct tdesc_syscalls t;
    struct failure f;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(tdesc_syscalls_load(places[i], "i386:x86-64", &t, &f), 0);
        assert_int_equal(tdesc_syscall_number(&t, "execve"), SYS_execve);
        assert_int_equal(tdesc_syscall_number(&t, "futex_waitv"), SYS_futex_waitv);
        assert_true(t.count > 300);
        tdesc_syscalls_free(&t);
    }
}

static void malformed_table(void **state)
{
    (void)state;
    static const char xml[] = "<syscalls_info><syscall name=\"a\" number=\"1\"/>"
                              "<syscall name=\"b\" number=\"x\"/><syscall number=\"3\"/>"
                              "<syscall name=\"c\" number=\"-4\"/></syscalls_info>";
    struct tdesc_syscalls t;
    struct failure f;
    assert_int_equal(tdesc_syscalls_parse(xml, strlen(xml), &t, &f), 0);
    assert_int_equal(t.count, 1); /* rows that make no sense are passed over */
    tdesc_syscalls_free(&t);
    assert_int_equal(tdesc_syscalls_parse(xml, strlen(xml) - 4, &t, &f), -EBADMSG);
    assert_int_equal(t.count, 0);
    assert_int_equal(tdesc_syscalls_parse(sample, strlen(sample), &t, &f), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers),       cmocka_unit_test(truncated),
        cmocka_unit_test(other_documents), cmocka_unit_test(many_long_registers),
        cmocka_unit_test(system_calls),    cmocka_unit_test(system_calls_without_gdb),
        cmocka_unit_test(malformed_table),
    };
    return cmocka_run_group_tests_name("tdesc", tests, NULL, NULL);
}
