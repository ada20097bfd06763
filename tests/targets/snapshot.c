/*
 * snapshot.c - prints everything of a process that a hijack and its release must leave as it was,
 * one fact a line.
 *
 * Not a target but a tool of the tests: `snapshot PID >before`, `snapshot PID >after`, diff.
 * Mappings (of the heap and the stack only where they begin or end, since they grow), a checksum of
 * the bytes in memory of each executable mapping, signal mask and dispositions, tracer, run state,
 * threads, descriptors with flags, limits, working directory, umask.
 */
#include <dirent.h>
#include <inttypes.h>

#include "tests/targets/target.h"

static const char *pid;

static const char *proc(const char *file)
{
    static char name[4096];

    snprintf(name, sizeof name, "/proc/%s/%s", pid, file);
    return name;
}

static FILE *open_proc(const char *file)
{
    FILE *f = fopen(proc(file), "re");

    if (!f)
        cannot(proc(file));
    return f;
}

/* FNV-1a, 64 bits. */
static uint64_t checksum(int memory, uint64_t from, uint64_t to)
{
    static unsigned char page[65536];
    uint64_t sum = 0xcbf29ce484222325u;

    while (from < to) {
        size_t want = to - from < sizeof page ? to - from : sizeof page;
        ssize_t got = pread(memory, page, want, (off_t)from);

        if (got <= 0)
            cannot("text");
        for (ssize_t at = 0; at < got; at++)
            sum = (sum ^ page[at]) * 0x100000001b3u;
        from += (uint64_t)got;
    }
    return sum;
}

static void print_maps(void)
{
    FILE *maps = open_proc("maps");
    int memory = open(proc("mem"), O_RDONLY | O_CLOEXEC);
    char *line = NULL, rest_of[4200];
    size_t size = 0;

    if (memory < 0)
        cannot(proc("mem"));
    while (getline(&line, &size, maps) > 0) {
        uint64_t from, to;

        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4199[^\n]", &from, &to, rest_of) != 3)
            continue;
        if (strstr(rest_of, "[heap]"))
            printf("map %" PRIx64 "-... %s\n", from, rest_of);
        else if (strstr(rest_of, "[stack]"))
            printf("map ...-%" PRIx64 " %s\n", to, rest_of);
        else
            printf("map %" PRIx64 "-%" PRIx64 " %s\n", from, to, rest_of);
        if (strncmp(rest_of + 2, "x", 1) == 0 && !strstr(rest_of, "[vsyscall]"))
            printf("text %" PRIx64 " %016" PRIx64 "\n", from, checksum(memory, from, to));
    }
    free(line);
    fclose(maps);
    close(memory);
}

static void print_status(void)
{
    static const char *const fields[] = {"Umask:",  "TracerPid:",  "Threads:", "SigBlk:", "SigIgn:",
                                         "SigCgt:", "NoNewPrivs:", "Seccomp:", "Uid:",    "Gid:"};
    FILE *status = open_proc("status");
    char line[1024];

    while (fgets(line, sizeof line, status)) {
        for (size_t n = 0; n < sizeof fields / sizeof *fields; n++)
            if (!strncmp(line, fields[n], strlen(fields[n])))
                fputs(line, stdout);
        if (!strncmp(line,
                     "State:", 6)) /* sleeping, running and waiting for the disk come and go */
            printf("State: %s\n", strchr("RSD", line[7]) ? "runs" : line + 7);
    }
    fclose(status);
}

static void print_file(const char *file)
{
    FILE *f = open_proc(file);
    char line[1024];

    while (fgets(line, sizeof line, f))
        printf("%s %s", file, line);
    fclose(f);
}

static void print_link(const char *file)
{
    char to[4096];
    ssize_t length = readlink(proc(file), to, sizeof to);

    if (length > 0)
        printf("%s -> %.*s\n", file, (int)length, to);
}

static void print_descriptor(const char *number)
{
    char name[300], line[256];
    FILE *info;

    snprintf(name, sizeof name, "fd/%s", number);
    print_link(name);
    snprintf(name, sizeof name, "fdinfo/%s", number);
    info = fopen(proc(name), "re");
    while (info && fgets(line, sizeof line, info))
        if (!strncmp(line, "flags:", 6) || !strncmp(line, "lock:", 5))
            printf("%s %s", name, line);
    if (info)
        fclose(info);
}

static int by_number(const struct dirent **a, const struct dirent **b)
{
    return atoi((*a)->d_name) - atoi((*b)->d_name);
}

static void print_descriptors(void)
{
    struct dirent **entry;
    int count = scandir(proc("fd"), &entry, NULL, by_number);

    for (int n = 0; n < count; n++)
        if (entry[n]->d_name[0] != '.')
            print_descriptor(entry[n]->d_name);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    pid = argv[1];
    print_maps();
    print_status();
    print_descriptors();
    print_file("limits");
    print_file("cgroup");
    print_link("cwd");
    print_link("root");
    print_link("exe");
    return 0;
}
