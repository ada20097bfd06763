/* Look-up by path in a result tree, and the numbers, bytes and quotes around it. */
#include "tests/unit/mi_records.h"

#include <errno.h>

#include "gdbmi/mi_session.h"

static struct records all; /* one record, parsed by parse() */

static const struct mi_value *parse(const char *results)
{
    char *line;
    int size = asprintf(&line, "^done,%s\n", results);

    records_free(&all);
    all = records_parse(line, (size_t)size, NULL);
    free(line);
    assert_int_equal(all.count, 1);
    assert_int_equal(all.at[0]->kind, MI_RESULT);
    return all.at[0]->results;
}

static int forget(void **state)
{
    (void)state;
    records_free(&all);
    return 0;
}

static void paths_reach_members_and_elements(void **state)
{
    const struct mi_value *v =
        parse("frame={func=\"main\",args=[{name=\"argc\",value=\"1\"}]},m=[[\"a\",\"b\"],[\"c\"]]");

    (void)state;
    assert_string_equal(mi_string(v, "frame.func"), "main");
    assert_string_equal(mi_string(v, "frame.args[0].name"), "argc");
    assert_string_equal(mi_string(v, "m[0][1]"), "b");
    assert_string_equal(mi_string(v, "m[1][0]"), "c");
    assert_string_equal(mi_string(mi_get(v, "frame"), "func"), "main");
    assert_string_equal(mi_string(mi_get(v, "frame.func"), ""), "main");
    assert_ptr_equal(mi_get(v, ""), v);
    assert_ptr_equal(mi_at(v, 0), mi_get(v, "frame"));
    assert_string_equal(mi_name(mi_at(v, 1)), "m");
}

static void a_path_that_leads_nowhere_gives_nothing(void **state)
{
    static const char *const paths[] = {"x",     "fram", "frames", "frame.x", "s.x",   "l[2]",
                                        "l[-1]", "l[]",  "l[0",    "l[0]x",   "l.x",   "s[0]",
                                        "l[ 0]", ".s",   "s.",     "l[0].",   "frame."};
    const struct mi_value *v = parse("frame={a=\"1\"},s=\"text\",l=[\"1\",\"2\"]");

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        assert_null(mi_get(v, paths[i]));
    assert_null(mi_string(v, "frame"));
    assert_null(mi_string(NULL, "a"));
    assert_null(mi_at(v, 3));
    assert_null(mi_at(NULL, 0));
    assert_null(mi_name(NULL));
    assert_int_equal(mi_count(NULL), 0);
    assert_int_equal(mi_count(mi_get(v, "s")), 0);
    assert_int_equal(mi_count(mi_get(v, "l")), 2);
}

static void the_first_of_equal_names_is_found(void **state)
{
    const struct mi_value *v = parse("a=\"1\",a=\"2\"");

    (void)state;
    assert_string_equal(mi_string(v, "a"), "1");
    assert_string_equal(mi_string(mi_at(v, 1), ""), "2");
}

static void numbers_are_decimal_or_hexadecimal(void **state)
{
    const struct mi_value *v = parse("d=\"12\",x=\"0x1F\",max=\"0xffffffffffffffff\",z=\"0\",dm="
                                     "\"18446744073709551615\",s=\"0x401136 <main+4>\",o=\"010\"");
    uint64_t n;

    (void)state;
    assert_int_equal(mi_u64(v, "d", &n), 0);
    assert_int_equal(n, 12);
    assert_int_equal(mi_u64(v, "x", &n), 0);
    assert_int_equal(n, 31);
    assert_int_equal(mi_u64(v, "max", &n), 0);
    assert_int_equal(n, UINT64_MAX);
    assert_int_equal(mi_u64(v, "dm", &n), 0);
    assert_int_equal(n, UINT64_MAX);
    assert_int_equal(mi_u64(v, "z", &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(mi_u64(v, "s", &n), 0);
    assert_int_equal(n, 0x401136);
    assert_int_equal(mi_u64(v, "o", &n), 0);
    assert_int_equal(n, 10);
}

static void what_is_no_number_is_refused(void **state)
{
    const struct mi_value *v =
        parse("e=\"\",w=\"abc\",m=\"-1\",t=\"12ab\",b=\" 1\",x=\"0x\",l=[],"
              "big=\"18446744073709551616\",bigx=\"0x10000000000000000\",f=\"1.5\"");
    static const char *const invalid[] = {"e", "w", "m", "t", "b", "x", "f"};
    uint64_t n = 7;

    (void)state;
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++)
        assert_int_equal(mi_u64(v, invalid[i], &n), -EINVAL);
    assert_int_equal(mi_u64(v, "big", &n), -ERANGE);
    assert_int_equal(mi_u64(v, "bigx", &n), -ERANGE);
    assert_int_equal(mi_u64(v, "none", &n), -ENOENT);
    assert_int_equal(mi_u64(v, "l", &n), -ENOENT);
    assert_int_equal(n, 7);
}

static void bytes_and_hex_are_inverse(void **state)
{
    const struct mi_value *v = parse("c=\"00ff10aB\",odd=\"00f\",bad=\"0g\"");
    unsigned char bytes[4];
    char text[9];

    (void)state;
    assert_int_equal(mi_bytes(v, "c", bytes, 4), 0);
    assert_memory_equal(bytes, "\x00\xff\x10\xab", 4);
    mi_hex(bytes, 4, text);
    assert_string_equal(text, "00ff10ab");
    assert_int_equal(mi_bytes(v, "c", bytes, 3), -EMSGSIZE);
    assert_int_equal(mi_bytes(v, "odd", bytes, 1), -EMSGSIZE);
    assert_int_equal(mi_bytes(v, "bad", bytes, 1), -EINVAL);
    assert_int_equal(mi_bytes(v, "none", bytes, 1), -ENOENT);
}

static void a_quoted_argument_reads_back(void **state)
{
    static const char hard[] = "a \"b\" \\ c\n\t\001"
                               "2\177\303\251";
    char *quoted = mi_quote(hard), *results;
    const struct mi_value *v;

    (void)state;
    assert_string_equal(quoted, "\"a \\\"b\\\" \\\\ c\\012\\011\\0012\\177\303\251\"");
    assert_true(asprintf(&results, "a=%s", quoted) > 0);
    v = parse(results);
    assert_string_equal(mi_string(v, "a"), hard);
    free(results);
    free(quoted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_reach_members_and_elements),
        cmocka_unit_test(a_path_that_leads_nowhere_gives_nothing),
        cmocka_unit_test(the_first_of_equal_names_is_found),
        cmocka_unit_test(numbers_are_decimal_or_hexadecimal),
        cmocka_unit_test(what_is_no_number_is_refused),
        cmocka_unit_test(bytes_and_hex_are_inverse),
        cmocka_unit_test(a_quoted_argument_reads_back),
    };

    return cmocka_run_group_tests_name("mi_value", tests, NULL, forget);
}
