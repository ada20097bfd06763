/*
 * starter_mapped.c - shared file mappings with remote I/O: memory stands for the file, which is at
 * home (starter_kept.c), and is written back there if --io says that only this program uses it
 * (stubs/shared.h).
 *
 * The shadow looks whether the file is as it was. When it is not, what would be written back is a
 * past that others may have seen end: refused, like a file that is mapped at home.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "restart/starter.h"
#include "stubs/policy.h"

static const struct image_file *file_of(const struct image *image, const struct image_map *m)
{
    return &image->files[m->file];
}

static const char *path_of(const struct image *image, const struct image_map *m)
{
    return image_string(image, file_of(image, m)->path);
}

static bool is_candidate(const struct image *image, const struct image_map *m, const char *policy)
{
    return m->kind == IMAGE_FILE && m->flags & IMAGE_KEPT && m->flags & IMAGE_MAYWRITE &&
           policy_of(policy, path_of(image, m)) == POLICY_BUFFER;
}

/* --- is it the file that it was? --- */

static int compare(struct image *image, const struct image_map *m, const struct frame_looked *now)
{
    const struct image_file *f = file_of(image, m);
    const bool as_it_was = now->size == f->size && now->mtime == f->mtime &&
                           now->mtime_nsec == f->mtime_nsec &&
                           !files_show_no_change(m, now->file_system);
    if (!S_ISREG(now->mode))
        return image_fail(image, -ESTALE,
                          "the program has '%s' mapped, shared and writable, which is no regular "
                          "file at home any more",
                          path_of(image, m));
    if (as_it_was || image->accept_changed || image->rollback)
        return 0;
    return image_fail(image, -ESTALE,
                      "the program has '%s' mapped, shared and writable, which has, or may have, "
                      "been changed at home since the image was made, and --io says that only the "
                      "program uses it; with --rollback-files it writes what it had over what is "
                      "there",
                      path_of(image, m));
}

static int check(struct image *image, struct starter_fds *fds, const struct image_map *m)
{
    struct frame_looked now;
    int error = starter_fds_look(fds, path_of(image, m), &now);
    return error ? image_fail(image, error,
                              "the program has '%s' mapped, shared and writable, to be written "
                              "back (--io), and it cannot be at home: %s",
                              path_of(image, m), strerror(-error))
                 : compare(image, m, &now);
}

/* --- what the program is told --- */

static int no_room(struct image *image)
{
    return image_fail(image, -E2BIG,
                      "the program has too many files mapped, shared and writable, to be written "
                      "back (%d mappings, %d bytes of paths); fewer of them with --io",
                      HIJACK_MAPPED, HIJACK_MAPPED_PATHS);
}

/* Adjacent mappings of a file name it twice; there is room. */
static int tell(struct image *image, const struct image_map *m, size_t *paths)
{
    struct hijack_params *params = image->params;
    const size_t size = strlen(path_of(image, m)) + 1;
    if (params->mapped_count == HIJACK_MAPPED || size > sizeof params->mapped_paths - *paths)
        return no_room(image);
    params->mapped[params->mapped_count++] =
        (struct hijack_mapped){m->start, m->end - m->start, m->offset, m->prot, (uint32_t)*paths};
    memcpy(params->mapped_paths + *paths, path_of(image, m), size);
    *paths += size;
    return 0;
}

int mapped_check(struct image *image, struct starter_fds *fds, const char *policy)
{
    const char *holds = policy ? policy : image->params->policy;
    size_t paths = 0;
    int result = 0;
    image->params->mapped_count = 0;
    if (image->params_size < sizeof *image->params)
        return 0; /* a program of an older gdb-hijack, which cannot be told */
    for (const struct image_map *m = image->maps; m < image->maps + image->map_count && !result;
         m++)
        if (is_candidate(image, m, holds) && !(result = check(image, fds, m)))
            result = tell(image, m, &paths);
    return result;
}

bool mapped_has(const struct image *image, const struct image_map *m)
{
    const struct hijack_params *params = image->params;
    for (uint32_t i = 0; i < params->mapped_count; i++)
        if (params->mapped[i].start == m->start)
            return true;
    return false;
}
