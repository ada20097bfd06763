/* ckpt_text.c - see ckpt_text.h. */
#include <errno.h>

#include "restart/ckpt_text.h"

void text_add(struct text *t, const char *s)
{
    while (*s && t->length + 1 < t->size)
        t->bytes[t->length++] = *s++;
    t->bytes[t->length] = '\0';
}

static void add_digits(struct text *t, uint64_t n)
{
    char digits[24];
    size_t i = sizeof digits;
    digits[--i] = '\0';
    do
        digits[--i] = (char)('0' + n % 10);
    while (n /= 10);
    text_add(t, digits + i);
}

void text_number(struct text *t, int64_t n)
{
    if (n < 0)
        text_add(t, "-");
    add_digits(t, n < 0 ? -(uint64_t)n : (uint64_t)n);
}

static const char *cause(long error)
{
    static const struct {
        int error;
        const char text[48];
    } causes[] = {
        {ENOSPC, "no space left on the device"},
        {EDQUOT, "disk quota exceeded"},
        {EFBIG, "file too large for the limit (RLIMIT_FSIZE)"},
        {EIO, "input/output error"},
        {EACCES, "permission denied"},
        {EPERM, "operation not permitted"},
        {EROFS, "read-only file system"},
        {ENOENT, "no such file or directory"},
        {ENOTDIR, "not a directory"},
        {EISDIR, "is a directory"},
        {EEXIST, "exists already"},
        {ENAMETOOLONG, "name too long"},
        {EMFILE, "no free descriptor (RLIMIT_NOFILE)"},
        {ENFILE, "too many open files in the system"},
        {ENOMEM, "not enough memory"},
        {EFAULT, "memory that cannot be read"},
        {EINVAL, "invalid argument"},
    };
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++)
        if (causes[i].error == -error)
            return causes[i].text;
    return NULL;
}

void text_cause(struct text *t, long error)
{
    const char *words = cause(error);
    text_add(t, ": ");
    text_add(t, words ? words : "error ");
    if (!words)
        text_number(t, -error);
}
