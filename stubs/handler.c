/* handler.c - see handler.h. */
#include "stubs/agent.h"
#include "stubs/handler.h"
#include "stubs/raw.h"

/* A forked child has inherited the handler, not the hijack. */
int handler_main(int signal, void *info, ucontext_t *frame)
{
    (void) signal, (void) info;
    if (raw(SYS_getpid) == hijack_params.pid)
        handler_checkpoint(frame);
    return 0;
}
