/* The policy of files (stubs/policy.h): which pattern matches, and that the first one decides. The
 * library's fnmatch(3) is the reference for the patterns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <fnmatch.h>

#include "stubs/policy.h"

#include <cmocka.h>

static int matches(const char *pattern, const char *text)
{
    return policy_matches(pattern, pattern + strlen(pattern), text);
}

static void test_as_fnmatch(void **state)
{
    static const char *const patterns[] = {
        "",       "*",   "?",    "a",     "a*",    "*a", "*a*",  "a?c", "[ab]*", "[!a]?",
        "[a-c]d", "\\*", "a\\?", "*.log", "a*b*c", "**", "[]a]", "a[b", "[^b]c", "/tmp/*"};
    static const char *const texts[] = {"",   "a",   "ab", "abc",      "aXc",  "b",
                                        "cd", "*",   "a?", "x.log",    ".log", "aabbcc",
                                        "]",  "a[b", "ac", "/tmp/a/b", "bc",   "a/b"};
    (void)state;
    for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++)
        for (size_t t = 0; t < sizeof texts / sizeof *texts; t++)
            if (matches(patterns[p], texts[t]) != (fnmatch(patterns[p], texts[t], 0) == 0))
                fail_msg("pattern '%s', text '%s'", patterns[p], texts[t]);
}

/* Random patterns over few characters, where matches are frequent. */
static void test_random_as_fnmatch(void **state)
{
    static const char in_pattern[] = "ab*?[]!-", in_text[] = "ab]-!";
    char pattern[8], text[8];
    (void)state;
    srand(1);
    for (int i = 0; i < 200000; i++) {
        int n = rand() % 7, m = rand() % 7;
        for (int k = 0; k < n; k++)
            pattern[k] = in_pattern[rand() % (int)(sizeof in_pattern - 1)];
        for (int k = 0; k < m; k++)
            text[k] = in_text[rand() % (int)(sizeof in_text - 1)];
        pattern[n] = text[m] = 0;
        if (strchr(pattern, '['))
            matches(pattern, text); /* ends, and reads nothing behind */
        else
            assert_int_equal(matches(pattern, text), fnmatch(pattern, text, 0) == 0);
    }
}

static void test_first_line_decides(void **state)
{
    static const char text[] = "*.log=buffer\n/tmp/*=local\n*=remote\n";
    (void)state;
    assert_int_equal(policy_of(text, "x.log"), POLICY_BUFFER);
    assert_int_equal(policy_of(text, "/tmp/x.log"), POLICY_BUFFER);
    assert_int_equal(policy_of(text, "/tmp/x"), POLICY_LOCAL);
    assert_int_equal(policy_of(text, "/tmp/a/b"), POLICY_LOCAL);
    assert_int_equal(policy_of(text, "tmp/x"), POLICY_REMOTE);
    assert_int_equal(policy_of("", "x"), POLICY_REMOTE);
    assert_int_equal(policy_of("a=b=local\n", "a=b"), POLICY_LOCAL);
}

static void takes_what_the_user_types(void **state)
{
    char text[24] = "";
    (void)state;
    assert_int_equal(policy_add(text, sizeof text, "*.log=buffer"), 0);
    assert_int_equal(policy_add(text, sizeof text, "*.log=buffered"), -EINVAL);
    assert_int_equal(policy_add(text, sizeof text, "=local"), -EINVAL);
    assert_int_equal(policy_add(text, sizeof text, "local"), -EINVAL);
    assert_int_equal(policy_add(text, sizeof text, "a\nb=local"), -EINVAL);
    assert_int_equal(policy_add(text, sizeof text, "abc=remote"), -E2BIG);
    assert_int_equal(policy_add(text, sizeof text, "a=b=local"), 0);
    assert_string_equal(text, "*.log=buffer\na=b=local\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_the_user_types),
        cmocka_unit_test(test_as_fnmatch),
        cmocka_unit_test(test_random_as_fnmatch),
        cmocka_unit_test(test_first_line_decides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
