/* options.c - see options.h. */
#include <errno.h>
#include <stdlib.h>

#include "driver/options.h"

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
