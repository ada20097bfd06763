/* test_inspect.c - the interactive mode passes commands to gdb that look, and no other. */
#include "driver/inspect.h" /* before cmocka.h, which has a macro fail() */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void commands_that_look_pass(void **state)
{
    static const char *const look[] = {
        "x/4i $pc",     "x",  "info registers",           "print $rsp",
        "p/x $rip + 8", "bt", "disassemble 0x1000,0x1010"};
    (void)state;
    for (size_t i = 0; i < sizeof look / sizeof *look; i++)
        if (!inspect_only_looks(look[i]))
            fail_msg("refused: %s", look[i]);
}

static void commands_that_change_do_not(void **state)
{
    static const char *const change[] = {
        "set var $rip = 0", "print $rip = 0", "print kill(1)", "p $rax++",       "call 1",
        "continue",         "detach",         "kill",          "x/4i $pc\nkill", "",
        "printf",           "p --$rax",       "pipe x | sh",   "shell rm x",     "xx"};
    (void)state;
    for (size_t i = 0; i < sizeof change / sizeof *change; i++)
        if (inspect_only_looks(change[i]))
            fail_msg("let through: %s", change[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(commands_that_look_pass),
                                       cmocka_unit_test(commands_that_change_do_not)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
