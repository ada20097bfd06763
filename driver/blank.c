/* blank.c - gdb-blank, the empty executable that gdb is given instead of the target's own (see
 * inferior.h). It is never run. That it exits at once is only for the curious. */
#include "stubs/raw.h"

void _start(void);

void _start(void)
{
    raw(SYS_exit, 0);
}
