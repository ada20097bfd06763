/*
 * fuzz_mi.c - libFuzzer over the MI parser: any bytes, in any pieces, give records that can be
 * walked, the same ones as the bytes in one piece.
 *
 *   clang -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -g -O1 -D_GNU_SOURCE -I. \
 *       tests/fuzz/fuzz_mi.c gdbmi/mi_parser.c gdbmi/mi_value.c -o build/fuzz_mi
 *   mkdir -p build/corpus_mi && build/fuzz_mi -max_len=4096 -dict=tests/fuzz/mi.dict
 * -max_total_time=300 \ build/corpus_mi tests/mi tests/fuzz/corpus_mi
 */
#include <stdlib.h>
#include <string.h>

#include "gdbmi/mi_parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                         \
    do                                                                                             \
        if (!(condition))                                                                          \
            abort();                                                                               \
    while (0)

/* A running sum over all records, so that two parses can be compared without keeping them. */
struct sum {
    uint64_t hash;
};

static void add(struct sum *s, const void *data, size_t size)
{
    const uint8_t *byte = data;

    for (size_t i = 0; i < size; i++)
        s->hash = (s->hash ^ byte[i]) * 0x100000001b3;
    s->hash = (s->hash ^ size) * 0x100000001b3;
}

static void add_string(struct sum *s, const char *text)
{
    add(s, text ? text : "\1", text ? strlen(text) : 1);
}

static void add_value(struct sum *s, const struct mi_value *v, unsigned depth)
{
    enum mi_type type = mi_type(v);
    uint64_t number;
    char bytes[8];

    require(depth <= MI_DEPTH_MAX + 1);
    add(s, &type, sizeof type);
    add_string(s, mi_name(v));
    if (type == MI_STRING) {
        require(mi_string(v, "")[mi_string_size(v, "")] == '\0');
        add(s, mi_string(v, ""), mi_string_size(v, ""));
        if (mi_u64(v, "", &number) == 0)
            add(s, &number, sizeof number);
        if (mi_bytes(v, "", bytes, sizeof bytes) == 0)
            add(s, bytes, sizeof bytes);
    }
    require(type != MI_STRING || mi_count(v) == 0);
    for (size_t i = 0; i < mi_count(v); i++) {
        const char *name = mi_name(mi_at(v, i));

        require(!name || !*name || strpbrk(name, ".[") || mi_get(v, name));
        add_value(s, mi_at(v, i), depth + 1);
    }
    require(!mi_at(v, mi_count(v)));
}

static void check_record(void *context, struct mi_record *r)
{
    struct sum *s = context;

    require((r->results != NULL) == (r->kind <= MI_NOTIFY));
    require((r->class != NULL) == (r->kind <= MI_NOTIFY));
    require((r->text != NULL) == (r->kind > MI_NOTIFY && r->kind != MI_PROMPT));
    add(s, &r->kind, sizeof r->kind);
    add(s, &r->token, sizeof r->token);
    add(s, r->line, r->line_size);
    add_string(s, r->class);
    if (r->results)
        add_value(s, r->results, 0);
    if (r->text)
        add(s, r->text, r->text_size);
    mi_record_free(r);
}

/* The pieces' sizes come from the data. */
static uint64_t parse(const uint8_t *data, size_t size, int in_pieces)
{
    struct sum s = {0xcbf29ce484222325};
    struct mi_parser *p = mi_parser_new(check_record, &s);

    require(p);
    for (size_t at = 0, n; at < size; at += n) {
        n = in_pieces ? data[at] % 5 : size;
        n = n > size - at ? size - at : n ? n : 1;
        mi_parser_push(p, data + at, n);
    }
    mi_parser_free(p);
    return s.hash;
}

/* The data as a path, too: looking it up must be harmless. */
static void look_up(const uint8_t *data, size_t size, struct mi_record *r)
{
    char *path = strndup((const char *)data, size);

    require(path);
    mi_get(r->results, path);
    free(path);
}

struct path {
    const uint8_t *data;
    size_t size;
};

static void look_up_in(void *context, struct mi_record *r)
{
    struct path *path = context;

    look_up(path->data, path->size, r);
    mi_record_free(r);
}

static void try_as_path(const uint8_t *data, size_t size)
{
    static const char line[] = "^done,a=[[\"1\"],{b=\"2\"}],c={d=\"3\",d=[]}\n";
    struct path path = {data, size};
    struct mi_parser *p = mi_parser_new(look_up_in, &path);

    require(p);
    mi_parser_push(p, line, sizeof line - 1);
    mi_parser_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    require(parse(data, size, 0) == parse(data, size, 1));
    try_as_path(data, size);
    return 0;
}
