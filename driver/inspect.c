/* inspect.c - see inspect.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "driver/inspect.h"

static const char help[] =
    "  Enter      the next step\n"
    "  jumps      the functions that are replaced\n"
    "  jump NAME  a function's entry, and its slot in the island\n"
    "  maps       the address space\n"
    "  threads    where each thread stands, and which one is served\n"
    "  undo       undo what was done, and end\n"
    "  gdb's x, info, disassemble, backtrace, print, output, show, help: to look, not to change\n";

bool inspect_only_looks(const char *command)
{
    static const char *const words[] = {"x", "info",  "disassemble", "backtrace", "bt",
                                        "p", "print", "output",      "show",      "help"};
    size_t length = strcspn(command, " \t/");
    if (strpbrk(command, "=()|\n") || strstr(command, "++") || strstr(command, "--"))
        return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == length && strncmp(command, words[i], length) == 0)
            return true;
    return false;
}

static void run_gdb(const struct inspect *inspect, const char *command)
{
    struct failure f;
    const char *answer = inferior_console(inspect->target->inferior, command, &f);
    fprintf(stderr, "%s%s", answer ? answer : f.text, answer ? "" : "\n");
}

static void list_jumps(const struct inspect *inspect)
{
    for (size_t i = 0; i < replace_count_slots(inspect->replace); i++) {
        const struct replace_patch *patch = replace_at(inspect->replace, i);
        fprintf(stderr, "  %-24s %" PRItaddr " -> slot %" PRItaddr "\n", patch->name,
                patch->address, patch->slot);
    }
}

/* gdb's disassembly of the function's first instructions and, when the island is there, of its
 * slot. */
static void show_jump(const struct inspect *inspect, const char *name)
{
    char command[64];
    for (size_t i = 0; i < replace_count_slots(inspect->replace); i++) {
        const struct replace_patch *patch = replace_at(inspect->replace, i);
        if (strcmp(patch->name, name) != 0)
            continue;
        fprintf(stderr, "%s, %" PRIu64 " bytes:\n", patch->name, patch->size);
        snprintf(command, sizeof command, "x/4i %" PRIu64, patch->address);
        run_gdb(inspect, command);
        if (!maps_find(&inspect->target->maps, patch->slot)) {
            fputs("its slot in the island does not exist yet\n", stderr);
            return;
        }
        fprintf(stderr, "its slot, which jumps through the pointer at %" PRItaddr ":\n",
                patch->slot + JUMP_SWITCH);
        snprintf(command, sizeof command, "x/i %" PRIu64, patch->slot);
        run_gdb(inspect, command);
        snprintf(command, sizeof command, "x/gx %" PRIu64, patch->slot + JUMP_SWITCH);
        run_gdb(inspect, command);
        snprintf(command, sizeof command, "x/%zui %" PRIu64, patch->jump.count + 1,
                 patch->slot + JUMP_HOME);
        run_gdb(inspect, command);
        return;
    }
    fprintf(stderr, "%s is not among the functions that are replaced; `jumps` lists them\n", name);
}

static void show_maps(const struct inspect *inspect)
{
    const struct maps *maps = &inspect->target->maps;
    for (size_t i = 0; i < maps->count; i++) {
        const struct mapping *m = &maps->at[i];
        fprintf(stderr, "  %" PRIx64 "-%" PRIx64 " %c%c%c%c %s\n", m->start, m->end,
                m->read ? 'r' : '-', m->write ? 'w' : '-', m->execute ? 'x' : '-',
                m->shared ? 's' : 'p', m->path);
    }
}

static void list_threads(const struct inspect *inspect)
{
    const struct target *target = inspect->target;
    for (size_t i = 0; i < target->threads.count; i++) {
        const struct thread *thread = &target->threads.at[i];
        const struct object *object = objects_holding(target->objects, thread->pc);
        struct object_function function = {.name = ""};
        if (object)
            object_function_at(target->objects, object, thread->pc, &function);
        fprintf(stderr, "  %-8d %" PRItaddr " %s%s\n", (int)thread->tid, thread->pc, function.name,
                thread == target->chosen ? " (served)" : "");
    }
}

static void look(const struct inspect *inspect, const char *command)
{
    if (strcmp(command, "jumps") == 0)
        list_jumps(inspect);
    else if (strncmp(command, "jump ", 5) == 0)
        show_jump(inspect, command + 5);
    else if (strcmp(command, "maps") == 0)
        show_maps(inspect);
    else if (strcmp(command, "threads") == 0)
        list_threads(inspect);
    else if (inspect_only_looks(command))
        run_gdb(inspect, command);
    else
        fputs(help, stderr);
}

int inspect_pause(const struct inspect *inspect, struct failure *f)
{
    char *line = NULL;
    size_t capacity = 0;
    int code = 0;
    for (;;) {
        fputs("(hijack) ", stderr);
        ssize_t n = getline(&line, &capacity, stdin);
        if (n > 0)
            line[strcspn(line, "\n")] = '\0';
        if (n < 0 || strcmp(line, "undo") == 0)
            code = fail(f, -ECANCELED, "%s", n < 0 ? "the input has ended" : "undone on request");
        if (n < 0 || code < 0 || !*line)
            break;
        look(inspect, line);
    }
    free(line);
    return code;
}
