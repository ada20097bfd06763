/* control_proc.c - see control.h: what /proc says about a process, and JSON text. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shadow/control.h"

static size_t read_whole(pid_t pid, const char *name, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    FILE *file = fopen(path, "re");
    size_t got = file ? fread(text, 1, size - 1, file) : 0;
    if (file)
        fclose(file);
    text[got] = 0;
    return got;
}

/* The name stands in parentheses and may hold any byte, parentheses too. */
static int parse_stat(char *text, struct control_process *out)
{
    char *name = strchr(text, '('), *end = strrchr(text, ')');
    if (!name || !end || end[1] != ' ')
        return -ESRCH;
    *end = 0;
    snprintf(out->name, sizeof out->name, "%s", name + 1);
    out->state = end[2];
    char *field = end + 1; /* before field 3 */
    for (int i = 3; i < 22 && field; i++)
        field = strchr(field + 1, ' ');
    if (!field)
        return -ESRCH;
    out->start_time = control_start_time(strtoull(field, NULL, 10));
    return 0;
}

static const char *line(const char *text, const char *label)
{
    const char *at = strstr(text, label);
    return at ? at + strlen(label) : "";
}

static pid_t last_number(const char *text)
{
    long number = 0;
    for (char *end; *text && *text != '\n'; text = end) {
        long next = strtol(text, &end, 10);
        if (end == text)
            break;
        number = next;
    }
    return (pid_t)number;
}

int control_process(pid_t pid, struct control_process *out)
{
    char text[8192];
    *out = (struct control_process){0};
    if (!read_whole(pid, "stat", text, sizeof text) || parse_stat(text, out))
        return -ESRCH;
    if (!read_whole(pid, "status", text, sizeof text))
        return -ESRCH;
    unsigned real, effective = 0;
    if (sscanf(line(text, "\nUid:"), "%u %u", &real, &effective) == 2)
        out->uid = effective;
    if (sscanf(line(text, "\nGid:"), "%u %u", &real, &effective) == 2)
        out->gid = effective;
    out->innermost = last_number(line(text, "\nNSpid:"));
    if (!out->innermost)
        out->innermost = pid;
    out->threads = atoi(line(text, "\nThreads:"));
    out->caught = strtoull(line(text, "\nSigCgt:"), NULL, 16);
    return 0;
}

/* Length of the UTF-8 sequence that begins here, 0 if there is none. */
static int utf8_length(const unsigned char *at)
{
    int length = *at < 0x80                  ? 1
                 : *at >= 0xc2 && *at < 0xe0 ? 2
                 : *at >= 0xe0 && *at < 0xf0 ? 3
                 : *at >= 0xf0 && *at < 0xf5 ? 4
                                             : 0;
    for (int i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

char *control_json(char *out, size_t size, const char *text)
{
    size_t used = 0;
    const unsigned char *at = (const unsigned char *)text;
    out[used++] = '"';
    while (*at && used + 8 < size) {
        int length = utf8_length(at);
        if (!length)
            used += (size_t)sprintf(out + used, "\\ufffd");
        else if (*at < 0x20 || *at == 0x7f)
            used += (size_t)sprintf(out + used, "\\u%04x", *at);
        else if (*at == '"' || *at == '\\')
            used += (size_t)sprintf(out + used, "\\%c", *at);
        else
            used += (size_t)sprintf(out + used, "%.*s", length, at);
        at += length ? length : 1;
    }
    out[used++] = '"';
    out[used] = 0;
    return out;
}

/* To run it: others, this program among them, map the file to read it. */
bool control_has_agent(pid_t pid)
{
    char path[64], line[PATH_MAX + 128];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    while (maps && !found && fgets(line, sizeof line, maps))
        found = strstr(line, "/libhijack.so") && strstr(line, "r-xp ");
    if (maps)
        fclose(maps);
    return found;
}

static bool has_name(pid_t pid, const char *name)
{
    char text[32];
    size_t length = strlen(name);
    return read_whole(pid, "comm", text, sizeof text) == length + 1 && !memcmp(text, name, length);
}

/* Beside the program it has one child, restart/starter_family.h. */
pid_t control_program(pid_t pid)
{
    char path[64], text[128];
    if (!has_name(pid, "hijack-parent"))
        return pid;
    snprintf(path, sizeof path, "task/%d/children", (int)pid);
    read_whole(pid, path, text, sizeof text);
    for (char *at = text, *end;; at = end) {
        pid_t child = (pid_t)strtol(at, &end, 10);
        if (end == at)
            return pid;
        if (!has_name(child, "hijack-guard"))
            return child;
    }
}
