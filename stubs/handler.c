/* handler.c - see handler.h. */
#include <sys/resource.h>
#include <time.h>

#include "stubs/agent.h"
#include "stubs/handler.h"
#include "stubs/raw.h"
#include "stubs/reissue.h"

uint64_t handler_switches;

uint64_t handler_time(void)
{
    struct timespec now;
    raw(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t switches(void)
{
    struct rusage usage = {0};
    raw(SYS_getrusage, RUSAGE_THREAD, &usage);
    return (uint64_t)usage.ru_nvcsw;
}

/* A forked child has inherited the handler, not the hijack: for it the signal never happened. The
 * saved call is made ready to be issued again before memory is written, so that the image has it
 * so. */
int handler_main(int signal, void *info, ucontext_t *frame)
{
    (void)signal, (void)info;
    uint64_t began = handler_time();
    handler_switches = switches();
    enum reissue kind = reissue(frame);
    if (raw(SYS_getpid) == hijack_params.pid)
        handler_checkpoint(frame);
    if (kind == REISSUE_CALL)
        reissue_elapsed(frame, handler_time() - began);
    if (kind != REISSUE_CONTINUE)
        return 0;
    reissue_continue(frame);
    raw(SYS_sigaltstack, &frame->uc_stack,
        NULL); /* with SS_AUTODISARM the kernel has taken it away */
    return 1;
}
