/* options.c - see options.h. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "driver/options.h"
#include "shadow/control.h"

int option_number(const struct argp_state *state, const char *what, const char *text, int least,
                  int most)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < least || value > most)
        argp_error(state, "%s \"%s\" is no number from %d to %d", what, text, least, most);
    return (int)value;
}

pid_t option_pid(const struct argp_state *state, const char *text)
{
    if (state->arg_num > 0)
        argp_error(state, "one process at a time: \"%s\" is too many", text);
    return control_program(option_number(state, "process id", text, 1, INT_MAX));
}
