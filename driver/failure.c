/* failure.c - see failure.h. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "driver/failure.h"

int fail(struct failure *f, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->text, sizeof f->text, format, arguments);
    va_end(arguments);
    return f->code = code;
}

int fail_errno(struct failure *f, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(f->text, sizeof f->text, format, arguments);
    va_end(arguments);
    if (n >= 0 && (size_t)n < sizeof f->text)
        snprintf(f->text + n, sizeof f->text - (size_t)n, ": %s", strerror(-code));
    return f->code = code;
}
