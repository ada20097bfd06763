/* control_start.c - see control.h: when a process started, by the machine's clock. */
#include <stdio.h>
#include <unistd.h>

#include "shadow/control.h"

/* Of whole seconds: with a fraction, what /proc shows is rounded and cannot be told exactly. */
uint64_t control_start_time(uint64_t shown)
{
    long long boottime = 0;
    FILE *f = fopen("/proc/self/timens_offsets", "re");
    if (f && fscanf(f, "%*s %*d %*d %*s %lld", &boottime) != 1)
        boottime = 0;
    if (f)
        fclose(f);
    return shown - (uint64_t)(boottime * sysconf(_SC_CLK_TCK));
}
