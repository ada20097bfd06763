/*
 * policy.h - what the user said about the files of a program whose I/O is remote: --io
 * PATTERN=remote|buffer|local.
 *
 * The text of all of them stands in remote.policy, a line each, "PATTERN=WORD\n". The first pattern
 * that matches decides; none: remote. A pattern with a slash is compared with the path as the
 * program names it, another one with its last component; * ? [a-z] \ as in fnmatch(3), * and ?
 * also for slashes.
 */
#ifndef STUBS_POLICY_H
#define STUBS_POLICY_H

#include <errno.h>
#include <stddef.h>

enum policy { POLICY_REMOTE, POLICY_BUFFER, POLICY_LOCAL };

/* Inline, without libc: the driver checks with it what the user typed. */
static inline int policy_set(const char **pattern, const char *end, char c)
{
    const char *p = *pattern + 1;
    int found = 0, inverted = p < end && (*p == '!' || *p == '^');
    for (p += inverted; p < end; p++) {
        char low = *p, high = low;
        if (p + 2 < end && p[1] == '-' && p[2] != ']')
            high = *(p += 2);
        found |= c >= low && c <= high;
        if (p + 1 < end && p[1] == ']') {
            *pattern = p + 2;
            return found != inverted;
        }
    }
    return -1; /* no set: the bracket stands for itself */
}

/* Does the pattern in [pattern, end) match the whole text? */
static inline int policy_matches(const char *pattern, const char *end, const char *text)
{
    const char *star = NULL, *resume = NULL;
    while (*text) {
        if (pattern < end && *pattern == '*') {
            star = ++pattern;
            resume = text;
            continue;
        }
        const char *behind = pattern;
        int set = pattern < end && *pattern == '[' ? policy_set(&behind, end, *text) : -1;
        const char *literal =
            pattern < end && *pattern == '\\' && pattern + 1 < end ? pattern + 1 : pattern;
        if (set == 1 || (set < 0 && literal < end && (*literal == *text || *pattern == '?'))) {
            pattern = set == 1 ? behind : literal + 1;
            text++;
            continue;
        }
        if (!star)
            return 0;
        pattern = star;
        text = ++resume;
    }
    while (pattern < end && *pattern == '*')
        pattern++;
    return pattern == end;
}

static inline enum policy policy_word(const char *word, const char *end)
{
    return word < end && *word == 'b'   ? POLICY_BUFFER
           : word < end && *word == 'l' ? POLICY_LOCAL
                                        : POLICY_REMOTE;
}

static inline int policy_same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

/* Appends what the user typed, PATTERN=WORD, to the lines in `text`. 0, -EINVAL: it is not that;
 * -E2BIG: no room. */
static inline int policy_add(char *text, size_t room, const char *typed)
{
    const char *equals = NULL, *end = typed;
    size_t used = 0;
    for (; *end; end++) {
        if (*end == '\n')
            return -EINVAL;
        if (*end == '=')
            equals = end;
    }
    if (!equals || equals == typed ||
        !(policy_same(equals + 1, "remote") || policy_same(equals + 1, "buffer") ||
          policy_same(equals + 1, "local")))
        return -EINVAL;
    while (text[used])
        used++;
    if (room - used < (size_t)(end - typed) + 2)
        return -E2BIG;
    while (*typed)
        text[used++] = *typed++;
    text[used++] = '\n';
    text[used] = '\0';
    return 0;
}

/* What `text`, the lines, says of `path`. */
static inline enum policy policy_of(const char *text, const char *path)
{
    const char *last = path;
    for (const char *p = path; *p; p++)
        if (*p == '/')
            last = p + 1;
    while (*text) {
        const char *equals = NULL, *end = text;
        int slash = 0;
        for (; *end && *end != '\n'; end++) {
            if (*end == '=')
                equals = end;
        }
        for (const char *p = text; equals && p < equals; p++)
            slash |= *p == '/';
        if (equals && policy_matches(text, equals, slash ? path : last))
            return policy_word(equals + 1, end);
        text = *end ? end + 1 : end;
    }
    return POLICY_REMOTE;
}

#endif
