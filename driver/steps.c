/* steps.c - see steps.h. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/interrupt.h"
#include "driver/steps.h"
#include "driver/target.h"

int steps_begin(struct steps *steps, const char *name, struct failure *f)
{
    const char *die = getenv("HIJACK_FAULT_STEP"), *fails = getenv("HIJACK_FAULT_FAIL");
    steps->name = name;
    steps->began = target_now();
    interrupt_guard();
    if (die && strcmp(die, name) == 0)
        raise(SIGKILL);
    if (fails && strcmp(fails, name) == 0)
        return fail(f, -EIO, "step %s fails, as HIJACK_FAULT_FAIL asks", name);
    return interrupt_check(f);
}

void steps_end(struct steps *steps, const char *format, ...)
{
    struct hijack_step step = {.name = steps->name, .ns = target_now() - steps->began};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(step.detail, sizeof step.detail, format, arguments);
    va_end(arguments);
    if (steps->options->progress)
        steps->options->progress(steps->options->context, &step);
}
