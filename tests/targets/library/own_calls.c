/* own_calls.c - a library whose system calls are instructions of its own; it needs no libc. See
 * tests/targets/own_calls.c. */
#include "tests/targets/own_call.h"

long library_call(long number, const long arguments[6]);

long library_call(long number, const long arguments[6])
{
    return own_call(number, arguments);
}
