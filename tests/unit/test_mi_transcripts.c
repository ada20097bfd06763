/*
 * What real gdb writes (tests/mi/NAME.mi, recorded by tests/mi/record.sh): every line is
 * understood, the values are found where they belong, and the pieces in which the bytes arrive make
 * no difference.
 */
#include "tests/unit/mi_records.h"

#include <dirent.h>

struct transcript {
    char *data;
    size_t size;
};

static struct transcript load(const char *name)
{
    struct transcript t = {0};
    char path[300];
    FILE *file;
    int c;
    FILE *to = open_memstream(&t.data, &t.size);

    snprintf(path, sizeof path, "tests/mi/%s", name);
    file = fopen(path, "r");
    if (!file)
        fail_msg("%s is missing (run from the top of the tree)", path);
    while ((c = fgetc(file)) != EOF)
        fputc(c, to);
    fclose(file);
    fclose(to);
    return t;
}

static struct records parse(const char *name)
{
    struct transcript t = load(name);
    struct records all = records_parse(t.data, t.size, NULL);

    free(t.data);
    for (size_t i = 0; i < all.count; i++)
        assert_int_not_equal(all.at[i]->kind, MI_BROKEN);
    return all;
}

/* The answer to command `token`. */
static const struct mi_record *answer(const struct records *all, uint64_t token, const char *class)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->at[i]->kind == MI_RESULT && all->at[i]->token == token) {
            assert_string_equal(all->at[i]->class, class);
            return all->at[i];
        }
    fail_msg("no answer to command %d", (int)token);
    return NULL;
}

/* Async record number `nth` (from 0) of its class. */
static const struct mi_value *event(const struct records *all, const char *class, size_t nth)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct mi_record *r = all->at[i];

        if (r->class && r->kind != MI_RESULT && strcmp(r->class, class) == 0 && nth-- == 0)
            return r->results;
    }
    return NULL;
}

/* The first stream record of `kind` that holds `text`. */
static const char *stream(const struct records *all, enum mi_kind kind, const char *text)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->at[i]->kind == kind && strstr(all->at[i]->text, text))
            return all->at[i]->text;
    return NULL;
}

static uint64_t number(const struct mi_value *v, const char *path)
{
    uint64_t n = 0;

    assert_int_equal(mi_u64(v, path, &n), 0);
    return n;
}

static void attach(void **state)
{
    struct records all = parse("attach.mi");
    const struct mi_value *stopped = event(&all, "stopped", 0);
    const struct mi_value *threads = mi_get(answer(&all, 5, "done")->results, "threads");

    (void)state;
    assert_string_equal(mi_string(event(&all, "thread-group-added", 0), "id"), "i1");
    assert_non_null(stopped);
    assert_string_equal(mi_string(stopped, "frame.func"), "__GI___clock_nanosleep");
    assert_string_equal(mi_string(stopped, "frame.arch"), "i386:x86-64");
    assert_string_equal(mi_string(stopped, "frame.args[1].name"), "clock_id@entry");
    assert_string_equal(mi_string(stopped, "stopped-threads"), "all");
    assert_int_equal(mi_count(threads), 1);
    assert_string_equal(mi_string(threads, "[0].name"), "sleep");
    assert_int_equal(number(threads, "[0].frame.addr"), number(stopped, "frame.addr"));
    assert_int_equal(number(answer(&all, 6, "done")->results, "groups[0].pid"),
                     number(event(&all, "thread-group-started", 0), "pid"));
    assert_non_null(stream(&all, MI_CONSOLE, "detached]\n"));
    assert_non_null(event(&all, "thread-group-exited", 0));
    answer(&all, 8, "exit");
    records_free(&all);
}

static void libraries(void **state)
{
    struct records all = parse("libraries.mi");
    const struct mi_value *libc = event(&all, "library-loaded", 0);
    const struct mi_value *stack = mi_get(answer(&all, 2, "done")->results, "stack");
    const struct mi_value *arguments = mi_get(answer(&all, 3, "done")->results, "stack-args");
    size_t last = mi_count(stack) - 1;

    (void)state;
    assert_string_equal(mi_string(libc, "id"), "/lib/x86_64-linux-gnu/libc.so.6");
    assert_true(number(libc, "ranges[0].from") < number(libc, "ranges[0].to"));
    assert_non_null(event(&all, "library-loaded", 1));
    assert_null(event(&all, "library-loaded", 2));
    assert_int_equal(mi_count(stack), mi_count(arguments));
    assert_string_equal(mi_name(mi_at(stack, last)), "frame");
    assert_string_equal(mi_string(mi_at(stack, last), "func"), "main");
    assert_int_equal(number(mi_at(stack, last), "level"), last);
    assert_string_equal(mi_string(mi_at(stack, last - 1), "func"), "doze");
    assert_string_equal(mi_string(mi_at(arguments, last - 1), "args[0].name"), "turn");
    assert_non_null(
        strstr(mi_string(mi_at(arguments, last - 1), "args[1].value"), "\"caf\303\251\\t\""));
    records_free(&all);
}

static void registers(void **state)
{
    struct records all = parse("registers.mi");
    const struct mi_value *names = mi_get(answer(&all, 5, "done")->results, "register-names");
    const struct mi_value *some = answer(&all, 6, "done")->results;
    const struct mi_value *every = mi_get(answer(&all, 7, "done")->results, "register-values");
    const struct mi_value *pc = answer(&all, 8, "done")->results;

    (void)state;
    assert_string_equal(mi_string(names, "[0]"), "rax");
    assert_string_equal(mi_string(names, "[16]"), "rip");
    assert_int_equal(mi_count(mi_get(some, "register-values")), 4);
    assert_int_equal(number(some, "register-values[2].number"), 16);
    assert_int_equal(number(some, "register-values[0].value"),
                     0xfffffffffffffdfcUL); /* -ERESTART_RESTARTBLOCK */
    assert_int_equal(number(every, "[16].value"), number(some, "register-values[2].value"));
    assert_int_equal(number(pc, "value"), number(every, "[16].value"));
    assert_true(mi_count(every) > 100);
    assert_int_equal(mi_type(mi_at(every, mi_count(every) - 1)), MI_TUPLE);
    records_free(&all);
}

static void memory(void **state)
{
    struct records all = parse("memory.mi");
    const struct mi_value *text = answer(&all, 2, "done")->results;
    const struct mi_value *stack = answer(&all, 5, "done")->results;
    unsigned char bytes[16];

    (void)state;
    assert_int_equal(mi_bytes(text, "memory[0].contents", bytes, 16), 0);
    assert_memory_equal(bytes, "\x55\x48\x89\xe5", 4); /* push %rbp; mov %rsp,%rbp */
    assert_int_equal(number(text, "memory[0].end") - number(text, "memory[0].begin"), 16);
    assert_string_equal(mi_string(answer(&all, 3, "error")->results, "msg"),
                        "Unable to read memory.");
    answer(&all, 4, "done");
    assert_int_equal(mi_bytes(stack, "memory[0].contents", bytes, 3), 0);
    assert_memory_equal(bytes, "\x00\xff\x10", 3);
    records_free(&all);
}

static void syscalls(void **state)
{
    struct records all = parse("syscall.mi");
    const struct mi_value *entry = event(&all, "stopped", 1), *exit = event(&all, "stopped", 2);

    (void)state;
    assert_string_equal(mi_string(event(&all, "breakpoint-created", 0), "bkpt.catch-type"),
                        "syscall");
    assert_string_equal(mi_string(event(&all, "breakpoint-created", 0), "bkpt.what"),
                        "<any syscall>");
    answer(&all, 6, "running");
    assert_string_equal(mi_string(event(&all, "running", 0), "thread-id"), "all");
    assert_string_equal(mi_string(entry, "reason"), "syscall-entry");
    assert_string_equal(mi_string(exit, "reason"), "syscall-return");
    assert_int_equal(number(entry, "syscall-number"), 219);
    assert_string_equal(mi_string(exit, "syscall-name"), "restart_syscall");
    assert_int_equal(number(event(&all, "breakpoint-modified", 1), "bkpt.times"), 2);
    records_free(&all);
}

static void errors(void **state)
{
    struct records all = parse("error.mi");
    const struct mi_value *nonsense = answer(&all, 1, "error")->results;

    (void)state;
    assert_string_equal(mi_string(nonsense, "msg"), "Undefined MI command: nonsense");
    assert_string_equal(mi_string(nonsense, "code"), "undefined-command");
    assert_string_equal(mi_string(answer(&all, 2, "error")->results, "msg"),
                        "ptrace: No such process.");
    assert_non_null(stream(&all, MI_LOG, "Unterminated string in expression.\n"));
    answer(&all, 4, "error");
    assert_non_null(stream(&all, MI_LOG, "echo one\\ntwo\\n\n"));
    assert_non_null(stream(&all, MI_CONSOLE, "two\n"));
    records_free(&all);
}

static void target_description(void **state)
{
    struct records all = parse("tdesc.mi");
    const char *xml = stream(&all, MI_CONSOLE, "<?xml");

    (void)state;
    assert_non_null(xml);
    assert_ptr_equal(strstr(xml, "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM"), xml);
    assert_non_null(strstr(xml, "<architecture>i386:x86-64</architecture>\n"));
    assert_non_null(strstr(xml, "<reg name=\"rip\" bitsize=\"64\" type=\"code_ptr\""));
    assert_string_equal(xml + strlen(xml) - 10, "</target>\n");
    records_free(&all);
}

/* gdb runs the program itself, on gdb's own stdout: output in between, breakpoint commands as a
 * tuple of values. */
static void run(void **state)
{
    struct records all = parse("run.mi");
    const struct mi_value *table = answer(&all, 5, "done")->results;
    const struct mi_value *variables = answer(&all, 6, "done")->results;

    (void)state;
    assert_string_equal(stream(&all, MI_OUTPUT, "hello"), "hello from the \"target\"");
    assert_string_equal(mi_string(event(&all, "breakpoint-modified", 0), "bkpt.script[1]"),
                        "print name");
    assert_int_equal(mi_count(event(&all, "stopped", 0)), 0);
    assert_non_null(stream(&all, MI_CONSOLE, "\"caf\303\251\\t\"\n"));
    assert_int_equal(number(table, "BreakpointTable.nr_rows"), 1);
    assert_string_equal(mi_string(table, "BreakpointTable.hdr[4].col_name"), "addr");
    assert_string_equal(mi_string(table, "BreakpointTable.body[0].cond"), "turn==1");
    assert_string_equal(mi_string(variables, "variables[2].value"),
                        "{tv_sec = 0, tv_nsec = 10000000}");
    records_free(&all);
}

static size_t one(void)
{
    return 1;
}

static size_t few(void)
{
    return (size_t)rand() % 7;
}

static size_t many(void)
{
    return (size_t)rand() % 5000;
}

static void compare_pieces(const char *name)
{
    size_t (*const pieces[])(void) = {one, few, many, many, many};
    struct transcript t = load(name);
    struct records whole = records_parse(t.data, t.size, NULL);
    char *expected = records_dump(&whole);

    assert_true(whole.count > 10);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct records all = records_parse(t.data, t.size, pieces[i]);
        char *got = records_dump(&all);

        assert_string_equal(got, expected);
        free(got);
        records_free(&all);
    }
    free(expected);
    records_free(&whole);
    free(t.data);
}

static void pieces_make_no_difference(void **state)
{
    DIR *folder = opendir("tests/mi");
    struct dirent *entry;
    int transcripts = 0;

    (void)state;
    assert_non_null(folder);
    srand(1);
    while ((entry = readdir(folder))) {
        const char *end = strrchr(entry->d_name, '.');

        if (end && strcmp(end, ".mi") == 0) {
            compare_pieces(entry->d_name);
            transcripts++;
        }
    }
    closedir(folder);
    assert_int_equal(transcripts, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attach),
        cmocka_unit_test(libraries),
        cmocka_unit_test(registers),
        cmocka_unit_test(memory),
        cmocka_unit_test(syscalls),
        cmocka_unit_test(errors),
        cmocka_unit_test(target_description),
        cmocka_unit_test(run),
        cmocka_unit_test(pieces_make_no_difference),
    };

    return cmocka_run_group_tests_name("mi_transcripts", tests, NULL, NULL);
}
