/* starter_fds_close.c - see starter_fds.h: nothing of the restart command's is left to the program.
 */
#include <stdlib.h>
#include <unistd.h>

#include "restart/starter_fds.h"

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

void starter_close_but(int *kept, size_t count)
{
    unsigned next = 0;
    qsort(kept, count, sizeof *kept, by_number);
    for (size_t i = 0; i < count; i++) {
        if (kept[i] > (int)next)
            close_range(next, (unsigned)kept[i] - 1, 0);
        next = (unsigned)(kept[i] + 1);
    }
    close_range(next, ~0u, 0);
}
