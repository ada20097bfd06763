/* preflight_smaps.c - what only /proc/PID/smaps tells of a mapping: its VmFlags and protection key
 * (proc(5)), as restart/ckpt_maps.c reads them in the process itself. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/findings.h"

/* The rows of restart/state.def behind the letters. */
static const struct {
    char letters[3];
    const char *id, *what;
} odd_flags[] = {
    {"ht", "huge_pages", "hugetlb memory"},
    {"io", "device_memory", "a mapped device"},
    {"pf", "device_memory", "a mapped device"},
    {"um", "userfaultfd", "memory under userfaultfd"},
    {"uw", "userfaultfd", "memory under userfaultfd"},
    {"ui", "userfaultfd", "memory under userfaultfd"},
    {"sl", "sealed_memory", "sealed memory (mseal)"},
};

/* The mapping whose lines are read. */
struct reading {
    struct preflight *p;
    taddr start;
    bool special; /* the kernel's own: vdso, vvar, vsyscall */
};

static bool is_found(const struct preflight *p, const char *id)
{
    for (size_t i = 0; i < p->findings->count; i++)
        if (!strcmp(p->findings->at[i].id, id))
            return true;
    return false;
}

static void found(const struct reading *r, const char *id, const char *what)
{
    if (!is_found(r->p, id))
        findings_add(r->p->findings, FINDING_REFUSE_CHECKPOINT, id,
                     "process %d has %s (at %" PRItaddr "): that cannot be restored",
                     (int)r->p->info.pid, what, r->start);
}

static void read_flags(const struct reading *r, const char *flags)
{
    for (; flags[0] == ' ' && flags[1] && flags[2]; flags += 3)
        for (size_t i = 0; i < sizeof odd_flags / sizeof *odd_flags; i++)
            if (!strncmp(flags + 1, odd_flags[i].letters, 2))
                found(r, odd_flags[i].id, odd_flags[i].what);
}

static void read_line(struct reading *r, const char *line)
{
    taddr start, end;
    unsigned key;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2) {
        r->start = start;
        r->special =
            strstr(line, " [vdso]") || strstr(line, " [vvar") || strstr(line, " [vsyscall]");
    } else if (r->special) {
        return;
    } else if (!strncmp(line, "VmFlags:", 8)) {
        read_flags(r, line + 8);
    } else if (sscanf(line, "ProtectionKey: %u", &key) == 1 && key) {
        found(r, "protection_keys", "memory protection keys");
    }
}

void preflight_smaps(struct preflight *p)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/smaps", (int)p->info.pid);
    char *text = proc_slurp(path, NULL), *rest = text;
    struct reading r = {.p = p};
    for (char *line; rest && (line = strsep(&rest, "\n"));)
        read_line(&r, line);
    free(text);
}
