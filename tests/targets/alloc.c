/*
 * alloc.c - does nothing but malloc, realloc, free and fprintf, so that nearly every moment is
 * inside the allocator or stdio.
 *
 * Each block is filled with bytes derived from its number and checked before it is freed; a heap
 * that was entered in the middle of another operation shows as a changed byte, an abort or a lost
 * line. Usage: alloc FILE
 */
#include "tests/targets/target.h"

#define BLOCKS 512

static unsigned char *block[BLOCKS];
static size_t size[BLOCKS];
static unsigned long serial[BLOCKS];
static unsigned long lines;

static unsigned char byte_of(unsigned long number, size_t offset)
{
    return (unsigned char)(number * 31 + offset);
}

static void fill(int i)
{
    for (size_t at = 0; at < size[i]; at++)
        block[i][at] = byte_of(serial[i], at);
}

static void check(int i)
{
    for (size_t at = 0; at < size[i]; at++)
        if (block[i][at] != byte_of(serial[i], at)) {
            differs("block %lu of %zu bytes: byte %zu changed", serial[i], size[i], at);
            return;
        }
}

static size_t some_size(void)
{
    long r = random();

    return r % 100 == 0 ? 100000 + (size_t)r % 300000 : 1 + (size_t)r % 2000; /* some are mmapped */
}

static void replace(int i, unsigned long number)
{
    check(i);
    if (number % 3) {
        free(block[i]);
        block[i] = NULL;
    }
    size[i] = some_size();
    serial[i] = number;
    block[i] = realloc(block[i], size[i]);
    if (!block[i])
        cannot("realloc");
    fill(i);
}

/* Every line once, in order, none torn. */
static void check_file(FILE *file)
{
    unsigned long number, expected = 0;

    rewind(file);
    while (fscanf(file, "line %lu of alloc\n", &number) == 1)
        if (number != expected++) {
            differs("line %lu follows line %lu", number, expected - 2);
            return;
        }
    CHECK(expected == lines, "%lu lines written, %lu read", lines, expected);
}

int main(int argc, char **argv)
{
    unsigned long number = 0;
    FILE *file = fopen(argc > 1 ? argv[1] : "/dev/null", "w+");

    if (!file)
        cannot("output file");
    ready();
    do {
        for (int n = 0; n < 2000; n++)
            replace((int)(random() % BLOCKS), number++);
        for (int n = 0; n < 20; n++)
            fprintf(file, "line %lu of alloc\n", lines++);
    } while (!stop_asked());
    for (int i = 0; i < BLOCKS; i++)
        check(i);
    if (argc > 1)
        check_file(file);
    return finish();
}
