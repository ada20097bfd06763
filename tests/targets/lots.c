/* lots.c - touches much memory with a pattern and verifies it later. Usage: lots MEBIBYTES */
#include <stdint.h>

#include "tests/targets/target.h"

static uint64_t pattern(uint64_t i)
{
    return (i + 1) * 0x9e3779b97f4a7c15u;
}

int main(int argc, char **argv)
{
    size_t words = (argc > 1 ? (size_t)atol(argv[1]) : 64) << 17, wrong = 0;
    uint64_t *memory = malloc(words * sizeof *memory);

    if (!memory)
        cannot("malloc");
    for (size_t i = 0; i < words; i++)
        memory[i] = pattern(i);
    ready();
    do
        rest(5);
    while (!stop_asked());
    for (size_t i = 0; i < words; i++)
        wrong += memory[i] != pattern(i);
    CHECK(!wrong, "%zu of %zu words changed", wrong, words);
    return finish();
}
