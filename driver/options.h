/* options.h - arguments of the commands, for argp(3). */
#ifndef DRIVER_OPTIONS_H
#define DRIVER_OPTIONS_H

#include <argp.h>

/* The number that `text` is, from `least` to `most`; else ends the program with a usage message
 * that names `what`. */
int option_number(const struct argp_state *state, const char *what, const char *text, int least,
                  int most);

#endif
