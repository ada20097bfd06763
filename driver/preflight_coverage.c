/* preflight_coverage.c - how many of the process's system calls would come to the stubs, and how,
 * while its I/O is remote. A note, no reason against anything. */
#include "driver/coverage.h"
#include "driver/findings.h"

void preflight_coverage(struct preflight *p)
{
    struct objects *objects;
    struct replace *replace;
    struct coverage c;
    struct failure f;
    char text[COVERAGE_TEXT];
    if (objects_open(p->info.pid, &p->maps, &objects, &f) != 0)
        return;
    const struct object *libc = objects_libc(objects);
    if (libc && replace_plan(objects, libc, &replace, &f) == 0) {
        coverage_count(objects, libc, replace, UINT64_MAX, &c);
        findings_add(p->findings, FINDING_NOTE, "coverage",
                     "of the system call instructions in %zu files, %zu are in functions that are "
                     "patched, %zu of calls that stay here, %s",
                     c.files, c.patched, c.local, coverage_text(&c, text, sizeof text));
        replace_free(replace);
    }
    objects_free(objects);
}
