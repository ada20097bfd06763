/* tool.c - gdb-hijack with the two commands that need no gdb: tool checkpoint|status ... */
#include <string.h>

#include "driver/commands.h"

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "checkpoint"))
        return cmd_checkpoint(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "status"))
        return cmd_status(argc - 1, argv + 1);
    return 2;
}
