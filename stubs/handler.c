/* handler.c - see handler.h. */
#include "stubs/agent.h"
#include "stubs/handler.h"
#include "stubs/raw.h"
#include "stubs/reissue.h"

/* A forked child has inherited the handler, not the hijack: for it the signal never happened. The
 * saved call is made ready to be issued again before memory is written, so that the image has it
 * so. */
int handler_main(int signal, void *info, ucontext_t *frame)
{
    (void)signal, (void)info;
    enum reissue kind = reissue(frame);
    if (raw(SYS_getpid) == hijack_params.pid)
        handler_checkpoint(frame);
    if (kind != REISSUE_CONTINUE)
        return 0;
    reissue_continue(frame);
    raw(SYS_sigaltstack, &frame->uc_stack,
        NULL); /* with SS_AUTODISARM the kernel has taken it away */
    return 1;
}
