/* The grammar of GDB/MI output, rule by rule, and what happens to lines that break it. */
#include "tests/unit/mi_records.h"

static struct records parse(const char *text)
{
    return records_parse(text, strlen(text), NULL);
}

/* Parses one line; the caller frees the record. */
static struct mi_record *parse_one(const char *text)
{
    struct records all = parse(text);
    struct mi_record *r;

    assert_int_equal(all.count, 1);
    r = all.at[0];
    free(all.at);
    return r;
}

static void a_result_record_has_token_class_and_results(void **state)
{
    struct mi_record *r = parse_one("42^done,a=\"1\",b={c=\"2\"}\n");

    (void)state;
    assert_int_equal(r->kind, MI_RESULT);
    assert_true(r->has_token);
    assert_int_equal(r->token, 42);
    assert_string_equal(r->class, "done");
    assert_int_equal(mi_count(r->results), 2);
    assert_string_equal(mi_string(r->results, "b.c"), "2");
    assert_null(r->text);
    mi_record_free(r);
}

static void a_record_without_token_or_results(void **state)
{
    struct mi_record *r = parse_one("^running\n");

    (void)state;
    assert_int_equal(r->kind, MI_RESULT);
    assert_false(r->has_token);
    assert_string_equal(r->class, "running");
    assert_int_equal(mi_type(r->results), MI_TUPLE);
    assert_int_equal(mi_count(r->results), 0);
    mi_record_free(r);
}

static void every_sign_gives_its_kind(void **state)
{
    static const struct {
        const char *line;
        enum mi_kind kind;
        const char *class, *text;
    } rows[] = {
        {"*stopped\n", MI_EXEC, "stopped", NULL},
        {"+download\n", MI_STATUS, "download", NULL},
        {"=thread-created\n", MI_NOTIFY, "thread-created", NULL},
        {"7*running\n", MI_EXEC, "running", NULL},
        {"~\"console\"\n", MI_CONSOLE, NULL, "console"},
        {"@\"target\"\n", MI_TARGET, NULL, "target"},
        {"&\"log\\n\"\n", MI_LOG, NULL, "log\n"},
        {"(gdb) \n", MI_PROMPT, NULL, NULL},
        {"(gdb)\n", MI_PROMPT, NULL, NULL},
        {"hello\n", MI_OUTPUT, NULL, "hello"},
        {"\n", MI_OUTPUT, NULL, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mi_record *r = parse_one(rows[i].line);

        assert_int_equal(r->kind, rows[i].kind);
        assert_int_equal(!r->class, !rows[i].class);
        assert_int_equal(!r->text, !rows[i].text);
        if (r->class)
            assert_string_equal(r->class, rows[i].class);
        if (r->text)
            assert_string_equal(r->text, rows[i].text);
        mi_record_free(r);
    }
}

static void escapes_are_decoded(void **state)
{
    struct mi_record *r =
        parse_one("~\"\\a\\b\\e\\f\\n\\r\\t\\v\\\\\\\"\\'\\303\\2519\\7\\0x\\q\"\n");
    static const char expected[] = "\a\b\033\f\n\r\t\v\\\"'\303\251"
                                   "9\7\0xq";

    (void)state;
    assert_int_equal(r->kind, MI_CONSOLE);
    assert_int_equal(r->text_size, sizeof expected - 1);
    assert_memory_equal(r->text, expected, sizeof expected);
    mi_record_free(r);
}

static void lists_hold_values_or_results_and_nest(void **state)
{
    struct mi_record *r = parse_one(
        "^done,e=[],v=[\"a\",[\"b\"],{c=\"d\"}],s=[frame={n=\"0\"},frame={n=\"1\"}],t={}\n");

    (void)state;
    assert_int_equal(mi_type(mi_get(r->results, "e")), MI_LIST);
    assert_int_equal(mi_count(mi_get(r->results, "e")), 0);
    assert_int_equal(mi_type(mi_get(r->results, "t")), MI_TUPLE);
    assert_string_equal(mi_string(r->results, "v[0]"), "a");
    assert_string_equal(mi_string(r->results, "v[1][0]"), "b");
    assert_string_equal(mi_string(r->results, "v[2].c"), "d");
    assert_string_equal(mi_name(mi_get(r->results, "s[1]")), "frame");
    assert_string_equal(mi_string(r->results, "s[1].n"), "1");
    mi_record_free(r);
}

/* GDB up to MI3: breakpoint commands are script={"silent","print x"}; MI1 puts whole tuples behind
 * the results. */
static void bare_values_in_tuples_are_accepted(void **state)
{
    struct mi_record *r = parse_one("^done,script={\"silent\",\"print x\"},{a=\"1\"}\n");

    (void)state;
    assert_string_equal(mi_string(r->results, "script[1]"), "print x");
    assert_string_equal(mi_string(r->results, "[1].a"), "1");
    mi_record_free(r);
}

static void a_line_may_end_in_crlf(void **state)
{
    struct records all = parse("1^done,a=\"b\"\r\n(gdb) \r\noutput\r\n");

    (void)state;
    assert_int_equal(all.count, 3);
    assert_string_equal(mi_string(all.at[0]->results, "a"), "b");
    assert_int_equal(all.at[1]->kind, MI_PROMPT);
    assert_string_equal(all.at[2]->text, "output");
    records_free(&all);
}

static void what_looks_like_a_record_but_is_none_is_output(void **state)
{
    static const char *const lines[] = {"==== heading ====\n",
                                        "*** stars\n",
                                        "= 4\n",
                                        "^\n",
                                        "123\n",
                                        "12 monkeys\n",
                                        "~tilde\n",
                                        "@home\n",
                                        "& more\n",
                                        "(gdb) x\n",
                                        "+\n",
                                        "*A\n",
                                        " ^done\n",
                                        "18446744073709551616\n"};

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct mi_record *r = parse_one(lines[i]);

        assert_int_equal(r->kind, MI_OUTPUT);
        assert_false(r->has_token);
        assert_int_equal(r->text_size, strlen(lines[i]) - 1);
        assert_memory_equal(r->text, lines[i], r->text_size);
        mi_record_free(r);
    }
}

static void output_may_hold_any_byte(void **state)
{
    struct records all = records_parse("a\0b\377\n", 5, NULL);

    (void)state;
    assert_int_equal(all.count, 1);
    assert_int_equal(all.at[0]->kind, MI_OUTPUT);
    assert_int_equal(all.at[0]->text_size, 4);
    assert_memory_equal(all.at[0]->text, "a\0b\377", 5);
    records_free(&all);
}

static void a_broken_record_says_why_and_the_next_line_is_fine(void **state)
{
    static const struct {
        const char *line, *why;
    } rows[] = {
        {"^done,\n", "name and \"=\" expected"},
        {"^done,a\n", "name and \"=\" expected"},
        {"^done,=\"1\"\n", "name and \"=\" expected"},
        {"^done,a=\n", "string expected"},
        {"^done,a=b\n", "string expected"},
        {"^done,a=\"b\n", "string without an end"},
        {"^done,a=\"b\\\n", "string without an end"},
        {"^done,a=\"b\\\"\n", "string without an end"},
        {"^done,a={\n", "name and \"=\" expected"},
        {"^done,a={b=\"1\"\n", "\",\" or closing bracket expected"},
        {"^done,a=[\"1\"}\n", "\",\" or closing bracket expected"},
        {"^done,a=\"1\"x\n", "rest of the line not understood"},
        {"~\"text\"x\n", "rest of the line not understood"},
        {"99999999999999999999^done\n", "token too large"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[128];
        struct records all;

        snprintf(text, sizeof text, "%s7^done,a=\"1\"\n", rows[i].line);
        all = parse(text);
        assert_int_equal(all.count, 2);
        assert_int_equal(all.at[0]->kind, MI_BROKEN);
        assert_string_equal(all.at[0]->text, rows[i].why);
        assert_null(all.at[0]->results);
        assert_int_equal(all.at[1]->token, 7);
        assert_string_equal(mi_string(all.at[1]->results, "a"), "1");
        records_free(&all);
    }
}

static void a_broken_record_keeps_its_token(void **state)
{
    struct mi_record *r = parse_one("12^done,a=\n");

    (void)state;
    assert_int_equal(r->kind, MI_BROKEN);
    assert_true(r->has_token);
    assert_int_equal(r->token, 12);
    mi_record_free(r);
}

/* "^done,a=[[[...]]]" with `depth` lists. */
static struct mi_record *parse_nested(size_t depth)
{
    char *text;
    struct mi_record *r;
    char *open = malloc(depth + 1), *close = malloc(depth + 1);

    memset(open, '[', depth);
    memset(close, ']', depth);
    open[depth] = close[depth] = '\0';
    assert_true(asprintf(&text, "^done,a=%s\"x\"%s\n", open, close) > 0);
    r = parse_one(text);
    free(text);
    free(open);
    free(close);
    return r;
}

static void nesting_is_bounded(void **state)
{
    struct mi_record *good = parse_nested(MI_DEPTH_MAX), *bad = parse_nested(MI_DEPTH_MAX + 1),
                     *worse = parse_nested(1000000);

    (void)state;
    assert_int_equal(good->kind, MI_RESULT);
    assert_int_equal(bad->kind, MI_BROKEN);
    assert_string_equal(bad->text, "nested too deeply");
    assert_int_equal(worse->kind, MI_BROKEN);
    mi_record_free(good);
    mi_record_free(bad);
    mi_record_free(worse);
}

/* One line of `size` bytes, then a good one. */
static struct records parse_long(size_t size)
{
    char *text = malloc(size + 16);
    struct records all;

    assert_non_null(text);
    memset(text, 'x', size);
    memcpy(text, "5~\"", 3);
    text[size - 1] = '"';
    memcpy(text + size, "\n6^done\n", 9);
    all = records_parse(text, size + 8, NULL);
    free(text);
    return all;
}

static void lines_up_to_the_limit_are_parsed(void **state)
{
    struct records all = parse_long(MI_LINE_MAX);

    (void)state;
    assert_int_equal(all.count, 2);
    assert_int_equal(all.at[0]->kind, MI_CONSOLE);
    assert_int_equal(all.at[0]->text_size, MI_LINE_MAX - 4);
    records_free(&all);
}

static void a_line_beyond_the_limit_is_broken_and_the_next_fine(void **state)
{
    struct records all = parse_long(MI_LINE_MAX + 1);

    (void)state;
    assert_int_equal(all.count, 2);
    assert_int_equal(all.at[0]->kind, MI_BROKEN);
    assert_string_equal(all.at[0]->text, "line too long");
    assert_int_equal(all.at[1]->token, 6);
    assert_string_equal(all.at[1]->class, "done");
    records_free(&all);
}

static void a_line_without_its_end_is_not_delivered(void **state)
{
    struct records all = parse("1^done");

    (void)state;
    assert_int_equal(all.count, 0);
    records_free(&all);
}

static void check_line(void *context, struct mi_record *r)
{
    int *calls = context;

    assert_int_equal(r->line_size, 6);
    assert_memory_equal(r->line, "1^done", 6);
    ++*calls;
    mi_record_free(r);
}

static void the_callback_sees_the_line_as_it_came(void **state)
{
    int calls = 0;
    struct mi_parser *p = mi_parser_new(check_line, &calls);

    (void)state;
    mi_parser_push(p, "1^do", 4);
    mi_parser_push(p, "ne\r\n1^done\n", 11);
    mi_parser_free(p);
    assert_int_equal(calls, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_result_record_has_token_class_and_results),
        cmocka_unit_test(a_record_without_token_or_results),
        cmocka_unit_test(every_sign_gives_its_kind),
        cmocka_unit_test(escapes_are_decoded),
        cmocka_unit_test(lists_hold_values_or_results_and_nest),
        cmocka_unit_test(bare_values_in_tuples_are_accepted),
        cmocka_unit_test(a_line_may_end_in_crlf),
        cmocka_unit_test(what_looks_like_a_record_but_is_none_is_output),
        cmocka_unit_test(output_may_hold_any_byte),
        cmocka_unit_test(a_broken_record_says_why_and_the_next_line_is_fine),
        cmocka_unit_test(a_broken_record_keeps_its_token),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(lines_up_to_the_limit_are_parsed),
        cmocka_unit_test(a_line_beyond_the_limit_is_broken_and_the_next_fine),
        cmocka_unit_test(a_line_without_its_end_is_not_delivered),
        cmocka_unit_test(the_callback_sees_the_line_as_it_came),
    };

    return cmocka_run_group_tests_name("mi_parser", tests, NULL, NULL);
}
