/* Frames: what is accepted, and by which name everything else is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "stubs/frame.h"

static struct frame_header good(uint32_t length)
{
    struct frame_header h;
    frame_header(&h, FRAME_STATUS, 77, 5, length);
    return h;
}

static void accepts_a_whole_frame(void **state)
{
    (void)state;
    struct frame_header h = good(0);
    assert_int_equal(frame_check(&h, sizeof h), 0);
    h = good(FRAME_MAX_PAYLOAD);
    assert_int_equal(frame_check(&h, sizeof h + FRAME_MAX_PAYLOAD), 0);
}

static void refuses_what_is_cut_short_or_too_long(void **state)
{
    (void)state;
    struct frame_header h = good(10);
    for (size_t size = 0; size < sizeof h + 10; size++)
        assert_int_equal(frame_check(&h, size), -EBADMSG);
    assert_int_equal(frame_check(&h, sizeof h + 11), -EBADMSG);
    h = good(FRAME_MAX_PAYLOAD + 1);
    assert_int_equal(frame_check(&h, sizeof h + FRAME_MAX_PAYLOAD + 1), -EMSGSIZE);
    h = good(UINT32_MAX); /* a length that would overflow a 32-bit sum */
    assert_int_equal(frame_check(&h, sizeof h - 1), -EBADMSG);
    assert_int_equal(frame_check(&h, sizeof h), -EMSGSIZE);
}

static void refuses_what_is_not_ours(void **state)
{
    (void)state;
    struct frame_header h = good(0);
    h.magic ^= 1;
    assert_int_equal(frame_check(&h, sizeof h), -EPROTO);
    h = good(0);
    h.version++;
    assert_int_equal(frame_check(&h, sizeof h), -EPROTONOSUPPORT);
}

static void keeps_the_order(void **state)
{
    (void)state;
    struct frame_header h = good(0);
    assert_int_equal(frame_check_order(&h, 77, 5), 0);
    assert_int_equal(frame_check_order(&h, 77, 6), -EILSEQ); /* said again */
    assert_int_equal(frame_check_order(&h, 77, 4), -EILSEQ); /* one was lost */
    assert_int_equal(frame_check_order(&h, 78, 5), -ESTALE);
    h.session = 0; /* a tool does not know it */
    assert_int_equal(frame_check_order(&h, 78, 5), 0);
}

static void wants_texts_to_end(void **state)
{
    (void)state;
    char text[4] = "abc";
    assert_int_equal(frame_check_text(text, sizeof text), 0);
    text[3] = 'd';
    assert_int_equal(frame_check_text(text, sizeof text), -EBADMSG);
}

static void names_every_error(void **state)
{
    (void)state;
    static const int errors[] = {-EBADMSG, -EPROTO, -EPROTONOSUPPORT, -EMSGSIZE,
                                 -ENOTSUP, -EILSEQ, -ESTALE};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(frame_error(errors[i]), frame_error(errors[j]));
    assert_string_equal(frame_error(EPROTO), frame_error(-EPROTO));
}

/* The vector of the reference implementation for eight bytes 00..07 under the key 00..0f. */
static void hashes_as_siphash(void **state)
{
    (void)state;
    uint8_t key[16], text[8];
    for (uint8_t i = 0; i < 16; i++)
        key[i] = i;
    memcpy(text, key, sizeof text);
    assert_true(frame_hash(key, text) == 0x93f5f5799a932462);
}

static void names_sessions_apart(void **state)
{
    (void)state;
    uint8_t key[16] = {1}, other[16] = {1};
    assert_true(frame_session(key) == frame_session(other));
    other[15] = 1;
    assert_true(frame_session(key) != frame_session(other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_a_whole_frame),
        cmocka_unit_test(refuses_what_is_cut_short_or_too_long),
        cmocka_unit_test(refuses_what_is_not_ours),
        cmocka_unit_test(keeps_the_order),
        cmocka_unit_test(wants_texts_to_end),
        cmocka_unit_test(names_every_error),
        cmocka_unit_test(hashes_as_siphash),
        cmocka_unit_test(names_sessions_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
