/* main.c - gdb-hijack: chooses the command. A process id alone means `hijack`. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driver/commands.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *arguments, *what;
} commands[] = {
    {"hijack", cmd_hijack, "PID", "make a running process checkpointable (also: gdb-hijack PID)"},
    {"checkpoint", cmd_checkpoint, "PID [-o FILE] [--exit]",
     "write an image of a hijacked process"},
    {"restart", cmd_restart, "IMAGE", "become the program of an image, and go on with it"},
    {"status", cmd_status, "[PID]", "what is hijacked here"},
    {"trace", cmd_trace, "PID [-c]", "the system calls that its shadow makes for a program, live"},
    {"doctor", cmd_doctor, "[PID]",
     "can it be hijacked and checkpointed, here, by me? touches nothing"},
    {"release", cmd_release, "PID", "undo a hijack"},
};
#define COMMANDS (sizeof commands / sizeof *commands)

static void usage(FILE *to)
{
    fprintf(to, "usage: gdb-hijack [COMMAND] [OPTION...] PID\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-10s %-24s %s\n", commands[i].name, commands[i].arguments,
                commands[i].what);
    fprintf(to, "\nEach command has --help. The manual is gdb-hijack(1).\n");
}

/* A process id, or an option of `hijack` before one. */
static bool means_hijack(const char *argument)
{
    return argument[0] == '-' || strspn(argument, "0123456789") == strlen(argument);
}

/* A file of ours at descriptor 2 would get our messages. */
static bool fill_standard(void)
{
    int fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd < 3)
        fd = dup(fd);
    return fd >= 0 && close(fd) == 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("gdb-hijack %s\n", HIJACK_VERSION);
        return 0;
    }
    /* what a restart lacks is the program's affair */
    if (strcmp(argv[1], "restart") != 0 && !fill_standard())
        return EXIT_USAGE;
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        char name[64];
        snprintf(name, sizeof name, "gdb-hijack %s", commands[i].name);
        argv[1] = name;
        return commands[i].run(argc - 1, argv + 1);
    }
    if (means_hijack(argv[1]))
        return cmd_hijack(argc, argv);
    fprintf(stderr, "gdb-hijack: \"%s\" is neither a command nor a process id\n\n", argv[1]);
    usage(stderr);
    return EXIT_USAGE;
}
