/* handler_reissue.c - x86-64: see stubs/reissue.h. */
#include <errno.h>

#include "stubs/raw.h"
#include "stubs/reissue.h"

int reissue(ucontext_t *frame)
{
    (void) frame;
    return 0;
}
