/* tdesc.c - see tdesc.h. */
#include <errno.h>
#include <expat.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "driver/proc.h"
#include "driver/tdesc.h"

/* --- expat, for both documents --- */

struct reader {
    XML_Parser parser;
    void (*element)(struct reader *reader, const char *name, const char **attributes);
    void *out;
    bool expected_root, failed;
    char *text; /* character data of the element that is open, NULL: not wanted */
    char *feature;
    unsigned next_number;
    int depth;
};

static const char *attribute(const char **attributes, const char *name)
{
    for (; *attributes; attributes += 2)
        if (!strcmp(attributes[0], name))
            return attributes[1];
    return NULL;
}

static char *copy(struct reader *reader, const char *text)
{
    char *made = strdup(text ? text : "");
    reader->failed |= !made;
    return made;
}

/* One more entry at the end of an array. NULL: out of memory, the array as it was. */
static void *grow(struct reader *reader, void *array, size_t count, size_t size)
{
    void *more = (count & (count - 1)) ? array : realloc(array, (count ? 2 * count : 1) * size);
    reader->failed |= !more;
    return more;
}

/* The whole of a number, or false. */
static bool number(const char *text, long *out)
{
    char *end;
    if (!text || !*text)
        return false;
    errno = 0;
    *out = strtol(text, &end, 0);
    return !*end && !errno && *out >= 0 && *out <= INT_MAX;
}

static void XMLCALL on_start(void *data, const char *name, const char **attributes)
{
    struct reader *reader = data;
    reader->depth++;
    reader->element(reader, name, attributes);
}

static void XMLCALL on_end(void *data, const char *name)
{
    (void)name;
    struct reader *reader = data;
    reader->depth--;
    reader->element(reader, NULL, NULL);
}

static int parse(struct reader *reader, const char *xml, size_t size, const char *what,
                 struct failure *f)
{
    reader->parser = XML_ParserCreate(NULL);
    if (!reader->parser || size > INT_MAX) {
        XML_ParserFree(reader->parser);
        return fail(f, -ENOMEM, "cannot parse %s: too large", what);
    }
    XML_SetUserData(reader->parser, reader);
    XML_SetElementHandler(reader->parser, on_start, on_end);
    enum XML_Status status = XML_Parse(reader->parser, xml, (int)size, 1);
    int result = 0;
    if (status != XML_STATUS_OK)
        result = fail(f, -EBADMSG, "malformed %s: line %lu: %s", what,
                      XML_GetCurrentLineNumber(reader->parser),
                      XML_ErrorString(XML_GetErrorCode(reader->parser)));
    else if (reader->failed)
        result = fail(f, -ENOMEM, "cannot parse %s: out of memory", what);
    else if (!reader->expected_root)
        result = fail(f, -EBADMSG, "malformed %s: it is another kind of document", what);
    XML_ParserFree(reader->parser);
    return result;
}

/* --- target description --- */

static void XMLCALL on_text(void *data, const char *text, int length)
{
    struct reader *reader = data;
    if (!reader->text)
        return;
    size_t used = strlen(reader->text);
    char *more = realloc(reader->text, used + (size_t)length + 1);
    if (!more) {
        reader->failed = true;
        return;
    }
    memcpy(more + used, text, (size_t)length);
    more[used + (size_t)length] = '\0';
    reader->text = more;
}

/* The character data of <architecture> or <osabi>, without the white space around it. */
static void take_text(struct reader *reader, char **out)
{
    char *text = reader->text + strspn(reader->text, " \t\n");
    for (size_t n = strlen(text); n && strchr(" \t\n", text[n - 1]);)
        text[--n] = '\0';
    free(*out);
    *out = copy(reader, text);
}

static void add_register(struct reader *reader, const char **attributes)
{
    struct tdesc *d = reader->out;
    struct tdesc_register *all = grow(reader, d->registers, d->count, sizeof *all);
    long bits = 0, given;
    if (!all)
        return;
    d->registers = all;
    if (number(attribute(attributes, "regnum"), &given))
        reader->next_number = (unsigned)given;
    number(attribute(attributes, "bitsize"), &bits);
    all[d->count++] = (struct tdesc_register){
        .name = copy(reader, attribute(attributes, "name")),
        .type = copy(reader, attribute(attributes, "type")),
        .group = copy(reader, attribute(attributes, "group")),
        .feature = copy(reader, reader->feature),
        .bits = (unsigned)bits,
        .number = reader->next_number++,
    };
}

static void tdesc_element(struct reader *reader, const char *name, const char **attributes)
{
    struct tdesc *d = reader->out;
    if (!name) { /* the end of one: of <architecture> or <osabi>, if text was gathered */
        if (reader->text)
            take_text(reader, d->architecture ? &d->osabi : &d->architecture);
        free(reader->text);
        reader->text = NULL;
        XML_SetCharacterDataHandler(reader->parser, NULL);
        return;
    }
    if (reader->depth == 1)
        reader->expected_root = !strcmp(name, "target");
    if (!strcmp(name, "reg"))
        add_register(reader, attributes);
    if (!strcmp(name, "feature")) {
        free(reader->feature);
        reader->feature = copy(reader, attribute(attributes, "name"));
    }
    if (!reader->text && (!strcmp(name, "architecture") || !strcmp(name, "osabi"))) {
        reader->text = copy(reader, "");
        XML_SetCharacterDataHandler(reader->parser, on_text);
    }
}

int tdesc_parse(const char *xml, size_t size, struct tdesc *out, struct failure *f)
{
    *out = (struct tdesc){0};
    struct reader reader = {.element = tdesc_element, .out = out};
    int result = parse(&reader, xml, size, "target description", f);
    free(reader.text);
    free(reader.feature);
    if (!result && (!out->architecture || !out->count))
        result = fail(f, -EBADMSG, "malformed target description: no architecture or registers");
    if (!result && !out->osabi)
        out->osabi = calloc(1, 1);
    if (result)
        tdesc_free(out);
    return result;
}

void tdesc_free(struct tdesc *d)
{
    for (size_t i = 0; i < d->count; i++) {
        free(d->registers[i].name);
        free(d->registers[i].type);
        free(d->registers[i].group);
        free(d->registers[i].feature);
    }
    free(d->registers);
    free(d->architecture);
    free(d->osabi);
    *d = (struct tdesc){0};
}

const struct tdesc_register *tdesc_register(const struct tdesc *d, const char *name)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->registers[i].name && !strcmp(d->registers[i].name, name))
            return &d->registers[i];
    return NULL;
}

/* --- system calls --- */

static void add_syscall(struct reader *reader, const char *name, long call)
{
    struct tdesc_syscalls *table = reader->out;
    struct tdesc_syscall *all = grow(reader, table->at, table->count, sizeof *all);
    if (!all)
        return;
    table->at = all;
    all[table->count++] = (struct tdesc_syscall){copy(reader, name), call};
}

static void syscall_element(struct reader *reader, const char *name, const char **attributes)
{
    long call;
    if (!name)
        return;
    if (reader->depth == 1)
        reader->expected_root = !strcmp(name, "syscalls_info");
    if (!strcmp(name, "syscall") && attribute(attributes, "name") &&
        number(attribute(attributes, "number"), &call))
        add_syscall(reader, attribute(attributes, "name"), call);
}

int tdesc_syscalls_parse(const char *xml, size_t size, struct tdesc_syscalls *out,
                         struct failure *f)
{
    struct reader reader = {.element = syscall_element, .out = out};
    *out = (struct tdesc_syscalls){0};
    int result = parse(&reader, xml, size, "table of system calls", f);
    if (result)
        tdesc_syscalls_free(out);
    return result;
}

void tdesc_syscalls_free(struct tdesc_syscalls *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->at[i].name);
    free(table->at);
    *table = (struct tdesc_syscalls){0};
}

/* What this program was compiled with: one row for each call that asm/unistd.h knows. */
static const struct {
    const char *name;
    long number;
} compiled_in[] = {
#include "driver/syscalls.def"
};

static int unite(struct tdesc_syscalls *table, struct failure *f)
{
    struct reader reader = {.out = table};
    for (size_t i = 0; i < sizeof compiled_in / sizeof *compiled_in; i++)
        if (!tdesc_syscall_name(table, compiled_in[i].number))
            add_syscall(&reader, compiled_in[i].name, compiled_in[i].number);
    return reader.failed ? fail(f, -ENOMEM, "cannot list the system calls: out of memory") : 0;
}

/* gdb/syscalls/ names its files by its own names of architectures. */
static const char *table_file(const char *architecture)
{
    static const char *const names[][2] = {
        {"i386:x86-64", "amd64-linux.xml"}, {"aarch64", "aarch64-linux.xml"},
        {"sparc:v9", "sparc64-linux.xml"},  {"powerpc:common64", "ppc64-linux.xml"},
        {"s390:64-bit", "s390x-linux.xml"}, {"i386", "i386-linux.xml"},
        {"arm", "arm-linux.xml"},
    };
    for (size_t i = 0; architecture && i < sizeof names / sizeof *names; i++)
        if (!strcmp(architecture, names[i][0]))
            return names[i][1];
    return NULL;
}

int tdesc_syscalls_load(const char *data_directory, const char *architecture,
                        struct tdesc_syscalls *out, struct failure *f)
{
    const char *file = data_directory ? table_file(architecture) : NULL;
    char path[PATH_MAX];
    size_t size;
    *out = (struct tdesc_syscalls){0};
    snprintf(path, sizeof path, "%s/syscalls/%s", file ? data_directory : "", file ? file : "");
    char *xml = file ? proc_slurp(path, &size) : NULL;
    int result = xml ? tdesc_syscalls_parse(xml, size, out, f) : 0;
    free(xml);
    if (!result && (result = unite(out, f)))
        tdesc_syscalls_free(out);
    return result;
}

const char *tdesc_syscall_name(const struct tdesc_syscalls *table, long call)
{
    for (size_t i = 0; i < table->count; i++)
        if (table->at[i].number == call)
            return table->at[i].name;
    return NULL;
}

long tdesc_syscall_number(const struct tdesc_syscalls *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++)
        if (table->at[i].name && !strcmp(table->at[i].name, name))
            return table->at[i].number;
    return -1;
}
