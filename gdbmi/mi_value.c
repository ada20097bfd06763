/* mi_value.c - look-up in result trees, and their memory. */
#include "gdbmi/mi_tree.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int mi_append(struct mi_value *container, const struct mi_value *item)
{
    if (container->count == container->room) {
        size_t room = container->room ? container->room * 2 : 4;
        struct mi_value *items = reallocarray(container->items, room, sizeof *items);

        if (!items)
            return -ENOMEM;
        container->items = items;
        container->room = room;
    }
    container->items[container->count++] = *item;
    return 0;
}

/* Recursion is bounded by MI_DEPTH_MAX: only the parser makes trees. */
void mi_clear(struct mi_value *v)
{
    if (v->type == MI_STRING) {
        free(v->string);
    } else {
        for (size_t i = 0; i < v->count; i++)
            mi_clear(&v->items[i]);
        free(v->items);
    }
    free(v->name);
    *v = (struct mi_value){.type = MI_LIST};
}

enum mi_type mi_type(const struct mi_value *v)
{
    return v->type;
}

size_t mi_count(const struct mi_value *v)
{
    return v && v->type != MI_STRING ? v->count : 0;
}

const struct mi_value *mi_at(const struct mi_value *v, size_t index)
{
    return index < mi_count(v) ? &v->items[index] : NULL;
}

const char *mi_name(const struct mi_value *v)
{
    return v ? v->name : NULL;
}

static const struct mi_value *member(const struct mi_value *v, const char *name, size_t size)
{
    for (size_t i = 0; i < mi_count(v); i++) {
        const char *n = v->items[i].name;

        if (n && strlen(n) == size && memcmp(n, name, size) == 0)
            return &v->items[i];
    }
    return NULL;
}

/* "[index]" at *path, which moves behind it. */
static const struct mi_value *element(const struct mi_value *v, const char **path)
{
    const char *p = *path + 1;
    char *end;
    unsigned long index;

    if (*p < '0' || *p > '9')
        return NULL;
    index = strtoul(p, &end, 10);
    if (*end != ']')
        return NULL;
    *path = end + 1;
    return mi_at(v, index);
}

const struct mi_value *mi_get(const struct mi_value *v, const char *path)
{
    while (v && path && *path) {
        if (*path == '[') {
            v = element(v, &path);
        } else {
            size_t size = strcspn(path, ".[");

            v = member(v, path, size);
            path += size;
        }
        if (*path == '.' && path[1])
            path++;
    }
    return v;
}

static const struct mi_value *string_at(const struct mi_value *v, const char *path)
{
    v = mi_get(v, path);
    return v && v->type == MI_STRING ? v : NULL;
}

const char *mi_string(const struct mi_value *v, const char *path)
{
    v = string_at(v, path);
    return v ? v->string : NULL;
}

size_t mi_string_size(const struct mi_value *v, const char *path)
{
    v = string_at(v, path);
    return v ? v->count : 0;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 99;
}

/* strtoull() is not used: it takes blanks and signs, and says ERANGE through errno. */
static int number(const char **text, uint64_t *out)
{
    const char *p = *text;
    unsigned base = p[0] == '0' && (p[1] == 'x' || p[1] == 'X') ? 16 : 10;
    uint64_t n = 0;

    p += base == 16 ? 2 : 0;
    if (digit_value(*p) >= (int)base)
        return -EINVAL;
    for (; digit_value(*p) < (int)base; p++)
        if (__builtin_mul_overflow(n, base, &n) ||
            __builtin_add_overflow(n, (uint64_t)digit_value(*p), &n))
            return -ERANGE;
    *text = p;
    *out = n;
    return 0;
}

int mi_u64(const struct mi_value *v, const char *path, uint64_t *out)
{
    const char *text = mi_string(v, path);
    uint64_t n;
    int error;

    if (!text)
        return -ENOENT;
    error = number(&text, &n);
    if (error)
        return error;
    if (*text && strncmp(text, " <", 2) != 0)
        return -EINVAL;
    *out = n;
    return 0;
}

int mi_bytes(const struct mi_value *v, const char *path, void *to, size_t size)
{
    const char *text = mi_string(v, path);
    unsigned char *byte = to;

    if (!text)
        return -ENOENT;
    if (mi_string_size(v, path) != 2 * size)
        return -EMSGSIZE;
    for (size_t i = 0; i < size; i++, text += 2) {
        if (digit_value(text[0]) > 15 || digit_value(text[1]) > 15)
            return -EINVAL;
        byte[i] = (unsigned char)(digit_value(text[0]) << 4 | digit_value(text[1]));
    }
    return 0;
}

void mi_hex(const void *from, size_t size, char *text)
{
    const unsigned char *byte = from;

    for (size_t i = 0; i < size; i++) {
        *text++ = "0123456789abcdef"[byte[i] >> 4];
        *text++ = "0123456789abcdef"[byte[i] & 15];
    }
    *text = '\0';
}
