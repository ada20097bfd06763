/* mi_records.h - gathers what the MI parser delivers, for its tests. Static functions, to be
 * included once. */
#ifndef TESTS_MI_RECORDS_H
#define TESTS_MI_RECORDS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gdbmi/mi_parser.h"

struct records {
    struct mi_record **at;
    size_t count;
};

static inline void records_add(void *context, struct mi_record *r)
{
    struct records *all = context;

    all->at = reallocarray(all->at, all->count + 1, sizeof *all->at);
    assert_non_null(all->at);
    all->at[all->count++] = r;
}

static inline void records_free(struct records *all)
{
    for (size_t i = 0; i < all->count; i++)
        mi_record_free(all->at[i]);
    free(all->at);
    *all = (struct records){0};
}

/* Parses `size` bytes, pushed in pieces of the length that `next` gives (NULL: in one piece). */
static inline struct records records_parse(const char *data, size_t size, size_t (*next)(void))
{
    struct records all = {0};
    struct mi_parser *p = mi_parser_new(records_add, &all);

    assert_non_null(p);
    for (size_t at = 0, n; at < size; at += n) {
        n = next ? next() : size;
        n = n > size - at ? size - at : n;
        mi_parser_push(p, data + at, n);
    }
    mi_parser_free(p);
    return all;
}

static inline void dump_bytes(FILE *to, const char *s, size_t size)
{
    fputc('"', to);
    for (size_t i = 0; i < size; i++)
        fprintf(to, s[i] >= ' ' && s[i] < 127 && s[i] != '"' ? "%c" : "<%02x>", s[i] & 255);
    fputc('"', to);
}

static inline void dump_value(FILE *to, const struct mi_value *v)
{
    if (mi_name(v))
        fprintf(to, "%s=", mi_name(v));
    if (mi_type(v) == MI_STRING) {
        dump_bytes(to, mi_string(v, ""), mi_string_size(v, ""));
        return;
    }
    fputs(mi_type(v) == MI_TUPLE ? "{" : "[", to);
    for (size_t i = 0; i < mi_count(v); i++) {
        fputs(i ? "," : "", to);
        dump_value(to, mi_at(v, i));
    }
    fputs(mi_type(v) == MI_TUPLE ? "}" : "]", to);
}

/* All records as text, so that two parses can be compared. The caller frees it. */
static inline char *records_dump(const struct records *all)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    for (size_t i = 0; i < all->count; i++) {
        const struct mi_record *r = all->at[i];

        fprintf(to, "%d %d:%llu %s ", (int)r->kind, r->has_token, (unsigned long long)r->token,
                r->class ? r->class : "-");
        if (r->results)
            dump_value(to, r->results);
        if (r->text)
            dump_bytes(to, r->text, r->text_size);
        fputc('\n', to);
    }
    fclose(to);
    return text;
}

#endif
