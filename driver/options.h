/* options.h - arguments of the commands, for argp(3). */
#ifndef DRIVER_OPTIONS_H
#define DRIVER_OPTIONS_H

#include <argp.h>
#include <sys/types.h>

/* The number that `text` is, from `least` to `most`; else ends the program with a usage message
 * that names `what`. */
int option_number(const struct argp_state *state, const char *what, const char *text, int least,
                  int most);

/* The one process id of a command line, at ARGP_KEY_ARG (of its program, where it is that of the
 * process that `restart --keep-ids` has become); ends the program as above when it is the
 * second. */
pid_t option_pid(const struct argp_state *state, const char *text);

#endif
