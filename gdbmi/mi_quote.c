/* mi_quote.c - arguments as MI c-strings. */
#include "gdbmi/mi_session.h"

#include <stdlib.h>
#include <string.h>

/* Up to four characters. Octal with all three digits, so that a digit behind it stays apart. */
static char *put_escape(char *to, unsigned char c)
{
    *to++ = '\\';
    if (c == '"' || c == '\\') {
        *to++ = (char)c;
        return to;
    }
    *to++ = (char)('0' + (c >> 6));
    *to++ = (char)('0' + (c >> 3 & 7));
    *to++ = (char)('0' + (c & 7));
    return to;
}

char *mi_quote(const char *argument)
{
    char *quoted = malloc(4 * strlen(argument) + 3), *to = quoted;

    if (!quoted)
        return NULL;
    *to++ = '"';
    for (; *argument; argument++) {
        unsigned char c = (unsigned char)*argument;

        if (c == '"' || c == '\\' || c < ' ' || c == 127)
            to = put_escape(to, c);
        else
            *to++ = (char)c;
    }
    *to++ = '"';
    *to = '\0';
    return quoted;
}
