#include "driver/calls.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

const struct call_function call_functions[FUNCTIONS] = {
#define FUNCTION CALL_FUNCTION_ROW
#include "stubs/calls.def"
};

const struct call calls[] = {
#define SYSCALL CALL_ROW
#include "stubs/calls.def"
};
const size_t calls_count = sizeof calls / sizeof *calls;

/* Names are found by open addressing: libc has thousands, and a hijack looks all of them up. */
#define SLOTS 1024

struct entry {
    const char *name; /* within a row's names, not NUL-terminated */
    size_t length;
    const struct call_function *row;
};

static struct entry table[SLOTS];
static bool filled;

static size_t hash(const char *name, size_t length)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        h = (h ^ (uint8_t)name[i]) * 16777619u;
    return h % SLOTS;
}

static struct entry *find(const char *name, size_t length)
{
    size_t i = hash(name, length);
    while (table[i].name && (table[i].length != length || memcmp(table[i].name, name, length) != 0))
        i = (i + 1) % SLOTS;
    return &table[i];
}

static void fill_row(const struct call_function *row)
{
    for (const char *name = row->names; *name;) {
        size_t length = strcspn(name, " ");
        *find(name, length) = (struct entry){name, length, row};
        name += length + (name[length] == ' ');
    }
}

static void fill(void)
{
    for (size_t i = 0; i < FUNCTIONS; i++)
        fill_row(&call_functions[i]);
    filled = true;
}

const struct call_function *call_named(const char *name)
{
    if (!filled)
        fill();
    return find(name, strlen(name))->row;
}
