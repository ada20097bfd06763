/*
 * mi_parser.c - lines are gathered first, then parsed by recursive descent, one function per rule
 * of the grammar:
 *
 *   line    = [token] ( ("^"|"*"|"+"|"=") class ("," result)* | ("~"|"@"|"&") c-string ) | "(gdb)"
 * | anything result  = name "=" value | value          (GDB up to MI3 puts bare values into tuples,
 * too) value   = c-string | "{" [result ("," result)*] "}" | "[" [result ("," result)*] "]"
 */
#include "gdbmi/mi_parser.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gdbmi/mi_tree.h"

struct mi_parser {
    mi_callback *callback;
    void *context;
    char *line; /* the beginning of a line not yet complete */
    size_t size;
    size_t room;
    const char *lost; /* why the rest of this line is thrown away, or NULL */
};

/* Where the descent stands within one line. */
struct cursor {
    const char *start, *p, *end;
    const char *wrong; /* the first thing found wrong */
    unsigned depth;
};

static bool parse_value(struct cursor *c, struct mi_value *v);

static bool wrong(struct cursor *c, const char *why)
{
    if (!c->wrong)
        c->wrong = why;
    return false;
}

static bool at(const struct cursor *c, char ch)
{
    return c->p < c->end && *c->p == ch;
}

static bool accept(struct cursor *c, char ch)
{
    if (!at(c, ch))
        return false;
    c->p++;
    return true;
}

/* --- c-strings --- */

/* Up to three octal digits, the first of which is `digit`. */
static char octal(struct cursor *c, char digit)
{
    int n = digit - '0';

    for (int i = 0; i < 2 && c->p < c->end && *c->p >= '0' && *c->p <= '7'; i++)
        n = n * 8 + (*c->p++ - '0');
    return (char)n;
}

/* What follows a backslash. An escape that C does not know means the character itself. */
static char escape(struct cursor *c)
{
    static const char names[] = "abefnrtv", means[] = "\a\b\033\f\n\r\t\v";
    char ch = *c->p++;
    const char *name;

    if (ch >= '0' && ch <= '7')
        return octal(c, ch);
    name = ch ? strchr(names, ch) : NULL;
    return name ? means[name - names] : ch;
}

/* The quote that ends the string that begins at `p` (behind its first quote), or NULL. */
static const char *closing_quote(const char *p, const char *end)
{
    for (; p < end && *p != '"'; p++)
        if (*p == '\\')
            p++;
    return p < end ? p : NULL;
}

/* A c-string, decoded: never longer than its source. */
static bool parse_string(struct cursor *c, char **text, size_t *size)
{
    const char *quote;
    char *to;

    if (!accept(c, '"'))
        return wrong(c, "string expected");
    quote = closing_quote(c->p, c->end);
    if (!quote)
        return wrong(c, "string without an end");
    to = *text = malloc((size_t)(quote - c->p) + 1);
    if (!to)
        return wrong(c, "out of memory");
    while (c->p < quote) {
        char ch = *c->p++;

        *to++ = ch == '\\' ? escape(c) : ch;
    }
    *to = '\0';
    *size = (size_t)(to - *text);
    c->p = quote + 1;
    return true;
}

/* --- values --- */

static bool parse_name(struct cursor *c, char **name)
{
    const char *from = c->p;

    while (c->p < c->end && !strchr("=,\"{}[]", *c->p))
        c->p++;
    if (c->p == from || !at(c, '='))
        return wrong(c, "name and \"=\" expected");
    *name = strndup(from, (size_t)(c->p - from));
    c->p++;
    return *name ? true : wrong(c, "out of memory");
}

static bool parse_result(struct cursor *c, struct mi_value *v)
{
    bool bare = at(c, '"') || at(c, '{') || at(c, '[');

    return (bare || parse_name(c, &v->name)) && parse_value(c, v);
}

static bool parse_element(struct cursor *c, struct mi_value *container)
{
    struct mi_value item = {.type = MI_LIST};

    if (parse_result(c, &item)) {
        if (mi_append(container, &item) == 0)
            return true;
        wrong(c, "out of memory");
    }
    mi_clear(&item);
    return false;
}

static bool parse_container(struct cursor *c, struct mi_value *v, char close)
{
    bool good = true;

    c->p++;
    if (accept(c, close))
        return true;
    if (++c->depth > MI_DEPTH_MAX)
        return wrong(c, "nested too deeply");
    do
        good = parse_element(c, v);
    while (good && accept(c, ','));
    c->depth--;
    return good && (accept(c, close) || wrong(c, "\",\" or closing bracket expected"));
}

static bool parse_value(struct cursor *c, struct mi_value *v)
{
    if (at(c, '{')) {
        v->type = MI_TUPLE;
        return parse_container(c, v, '}');
    }
    if (at(c, '['))
        return parse_container(c, v, ']');
    v->type = MI_STRING;
    return parse_string(c, &v->string, &v->count);
}

/* --- records --- */

static const char signs[] = "^*+=~@&"; /* in the order of enum mi_kind */

static bool is_class_char(char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || ch == '-';
}

/* Length of the class at the cursor, 0 when what stands there is none: then the line is the
 * inferior's. */
static size_t class_size(const struct cursor *c)
{
    const char *p = c->p;

    while (p < c->end && is_class_char(*p))
        p++;
    return p == c->end || *p == ',' ? (size_t)(p - c->p) : 0;
}

static void parse_class_record(struct cursor *c, struct mi_record *r, size_t size)
{
    bool good = true;

    r->class = strndup(c->p, size);
    r->results = calloc(1, sizeof *r->results);
    if (!r->class || !r->results) {
        wrong(c, "out of memory");
        return;
    }
    r->results->type = MI_TUPLE;
    c->p += size;
    while (good && accept(c, ','))
        good = parse_element(c, r->results);
}

/* The number before the sign, if there is one. */
static void parse_token(struct cursor *c, struct mi_record *r)
{
    for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++) {
        r->has_token = true;
        if (__builtin_mul_overflow(r->token, 10u, &r->token) ||
            __builtin_add_overflow(r->token, (uint64_t)(*c->p - '0'), &r->token))
            wrong(c, "token too large");
    }
}

static bool is_prompt(const struct cursor *c)
{
    size_t size = (size_t)(c->end - c->start);

    return (size == 5 || size == 6) && memcmp(c->start, "(gdb) ", size) == 0;
}

/* True when the line is an MI record (perhaps a wrong one), false when it is none. */
static bool parse_record(struct cursor *c, struct mi_record *r)
{
    const char *sign;
    size_t size;

    r->kind = MI_PROMPT;
    if (is_prompt(c))
        return true;
    parse_token(c, r);
    sign = c->p < c->end && *c->p ? strchr(signs, *c->p) : NULL;
    if (!sign)
        return false;
    c->p++;
    r->kind = (enum mi_kind)(sign - signs);
    size = class_size(c);
    if (r->kind <= MI_NOTIFY ? size == 0 : !at(c, '"'))
        return false;
    if (r->kind <= MI_NOTIFY)
        parse_class_record(c, r, size);
    else
        parse_string(c, &r->text, &r->text_size);
    if (c->p != c->end)
        wrong(c, "rest of the line not understood");
    return true;
}

static void record_clear(struct mi_record *r)
{
    if (r->results)
        mi_clear(r->results);
    free(r->results);
    free(r->class);
    free(r->text);
    memset(r, 0, sizeof *r);
}

void mi_record_free(struct mi_record *r)
{
    if (r)
        record_clear(r);
    free(r);
}

/* Makes `r` a record of `kind` that holds only text and, when broken, still answers to its token.
 * Without memory for the text it has none. */
static void become_text(struct mi_record *r, enum mi_kind kind, const char *text, size_t size)
{
    struct mi_record keep = {.kind = kind};

    if (kind == MI_BROKEN) {
        keep.has_token = r->has_token;
        keep.token = r->token;
    }
    record_clear(r);
    *r = keep;
    r->text = malloc(size + 1);
    if (!r->text)
        return;
    memcpy(r->text, text, size);
    r->text[size] = '\0';
    r->text_size = size;
}

/* --- lines --- */

static void deliver(struct mi_parser *p, struct mi_record *r, const char *line, size_t size)
{
    r->line = line;
    r->line_size = size;
    p->callback(p->context, r);
}

static void take_line(struct mi_parser *p, const char *line, size_t size)
{
    struct mi_record *r = calloc(1, sizeof *r);
    struct cursor c = {.start = line, .p = line, .end = line + size, .wrong = p->lost};

    if (!r)
        return; /* nothing is left to say so with */
    if (p->lost)
        parse_token(&c, r); /* of a lost line the beginning is there */
    else if (!parse_record(&c, r))
        become_text(r, MI_OUTPUT, line, size);
    if (c.wrong && r->kind != MI_OUTPUT)
        become_text(r, MI_BROKEN, c.wrong, strlen(c.wrong));
    deliver(p, r, line, size);
}

/* Makes room for `more` bytes. A failure costs the line, not the parser. */
static bool reserve(struct mi_parser *p, size_t more)
{
    size_t room = p->room ? p->room : 4096;
    char *line;

    while (room < p->size + more)
        room *= 2;
    if (room == p->room)
        return true;
    line = realloc(p->line, room);
    if (!line)
        return false;
    p->line = line;
    p->room = room;
    return true;
}

static void keep(struct mi_parser *p, const char *data, size_t size)
{
    if (p->lost || size == 0)
        return;
    if (size > MI_LINE_MAX - p->size)
        p->lost = "line too long";
    else if (!reserve(p, size))
        p->lost = "out of memory";
    if (p->lost)
        return;
    memcpy(p->line + p->size, data, size);
    p->size += size;
}

static void end_line(struct mi_parser *p)
{
    size_t size = p->size;

    while (size && p->line[size - 1] == '\r')
        size--;
    take_line(p, p->line ? p->line : "", size);
    p->size = 0;
    p->lost = NULL;
}

struct mi_parser *mi_parser_new(mi_callback *callback, void *context)
{
    struct mi_parser *p = calloc(1, sizeof *p);

    if (p) {
        p->callback = callback;
        p->context = context;
    }
    return p;
}

void mi_parser_push(struct mi_parser *p, const void *data, size_t size)
{
    const char *at_data = data, *end = at_data + size, *newline;

    while (at_data < end && (newline = memchr(at_data, '\n', (size_t)(end - at_data)))) {
        keep(p, at_data, (size_t)(newline - at_data));
        end_line(p);
        at_data = newline + 1;
    }
    keep(p, at_data, (size_t)(end - at_data));
}

void mi_parser_free(struct mi_parser *p)
{
    if (p)
        free(p->line);
    free(p);
}
