/* blocked.c - see blocked.h. */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driver/blocked.h"

#define MARGIN 1024 /* one part in so many: clocks differ by up to 500 in a million */

/* The number behind `key` in /proc/PID/FILE, as "KEY : 123.456" or "KEY:\t123"; in units of a
 * millionth when it has a fraction. */
static int number_of(pid_t pid, const char *file, const char *key, uint64_t *out)
{
    char path[64], line[256];
    int code = -ENODATA;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    FILE *stream = fopen(path, "re");
    while (stream && code && fgets(line, sizeof line, stream)) {
        uint64_t whole, fraction;
        const char *colon = strchr(line, ':');
        if (strncmp(line, key, strlen(key)) != 0 || !colon)
            continue;
        int count = sscanf(colon + 1, "%" SCNu64 ".%6" SCNu64, &whole, &fraction);
        *out = count == 2 ? whole * 1000000 + fraction : whole;
        code = count >= 1 ? 0 : -ENODATA;
    }
    if (stream)
        fclose(stream);
    return code;
}

/* State and processor: fields 3 and 39 of /proc/PID/stat, behind the name, which may hold anything.
 */
static int look(pid_t pid, char *state, int *processor)
{
    char path[64], line[1024] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *stream = fopen(path, "re");
    if (stream && !fgets(line, sizeof line, stream))
        *line = '\0';
    if (stream)
        fclose(stream);
    const char *at = strrchr(line, ')');
    if (!at || sscanf(at + 1, " %c", state) != 1)
        return -ESRCH;
    for (int field = 2; at && field < 39; field++)
        at = strchr(at + 1, ' ');
    return at && sscanf(at, "%d", processor) == 1 ? 0 : -ESRCH;
}

/* The present time by the clock of a processor: it is ours while we run there. */
static int clock_of(int processor, uint64_t *now)
{
    cpu_set_t old, there;
    CPU_ZERO(&there);
    if (processor < 0 || processor >= CPU_SETSIZE || sched_getaffinity(0, sizeof old, &old))
        return -EINVAL;
    CPU_SET(processor, &there);
    if (sched_setaffinity(0, sizeof there, &there))
        return -errno;
    sched_yield(); /* brings the account up to date */
    int code = number_of(getpid(), "sched", "se.exec_start", now);
    sched_setaffinity(0, sizeof old, &old);
    return code;
}

int blocked_for(pid_t pid, uint64_t *nanoseconds, uint64_t *switches)
{
    uint64_t since, now, again;
    char state;
    int processor;
    int code = number_of(pid, "status", "voluntary_ctxt_switches", switches);
    if (!code)
        code = number_of(pid, "sched", "se.exec_start", &since);
    if (!code)
        code = look(pid, &state, &processor);
    if (!code)
        code = clock_of(processor, &now);
    if (!code)
        code = number_of(pid, "status", "voluntary_ctxt_switches", &again);
    if (code)
        return code;
    if ((state != 'S' && state != 'D') || again != *switches || now < since)
        return -EAGAIN;
    *nanoseconds = now - since - (now - since) / MARGIN;
    return 0;
}
