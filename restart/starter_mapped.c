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

/* All mappings of such a file are one memory, also those that cannot be written to. */
static bool is_candidate(const struct image *image, const struct image_map *m, const char *policy)
{
    return m->kind == IMAGE_FILE && m->flags & IMAGE_KEPT &&
           policy_of(policy, image_map_path(image, m)) == POLICY_BUFFER;
}

/* --- is it the file that it was? --- */

static int refuse(struct image *image, const struct image_map *m, const char *why)
{
    return image_fail(
        image, -ESTALE,
        "the program has '%s' mapped, shared and writable, to be written back at home (--io): %s",
        image_map_path(image, m), why);
}

/* As when it is mapped at home, but that it cannot be taken as it is (--accept-changed-files): what
 * the memory shows is the image's. */
static int compare(struct image *image, const struct image_map *m, const struct frame_looked *now)
{
    const struct image_file *f = image_map_file(image, m);
    if (!S_ISREG(now->mode))
        return refuse(image, m, "it is no regular file any more");
    if (now->size != f->size)
        return refuse(image, m,
                      "it has another size since the image was made; put the old file back");
    if ((now->mtime == f->mtime && now->mtime_nsec == f->mtime_nsec &&
         !files_show_no_change(m, now->file_system)) ||
        image->rollback)
        return 0;
    return refuse(image, m,
                  "it has, or may have, been changed since the image was made; "
                  "--rollback-files puts its contents back");
}

static int check(struct image *image, struct starter_fds *fds, const struct image_map *m,
                 struct frame_looked *now)
{
    int error = starter_fds_look(fds, image_map_path(image, m), now);
    return error ? refuse(image, m, strerror(-error)) : compare(image, m, now);
}

/* --- what the program is told --- */

static int no_room(struct image *image)
{
    return image_fail(image, -E2BIG,
                      "the program has too many files mapped, shared and writable, to be written "
                      "back (%d mappings, %d bytes of paths); fewer of them with --io",
                      HIJACK_MAPPED, HIJACK_MAPPED_PATHS);
}

/* A file is named again for each of its mappings. */
static int tell(struct image *image, const struct image_map *m, const struct frame_looked *now,
                size_t *paths)
{
    struct hijack_params *params = image->params;
    const size_t size = strlen(image_map_path(image, m)) + 1;
    if (params->mapped_count == HIJACK_MAPPED || size > sizeof params->mapped_paths - *paths)
        return no_room(image);
    const uint32_t sole = m->flags & IMAGE_MAYWRITE ? HIJACK_MAPPED_SOLE : 0;
    params->mapped[params->mapped_count++] = (struct hijack_mapped){
        .start = m->start,
        .length = m->end - m->start,
        .offset = m->offset,
        .dev = now->dev,
        .inode = now->inode,
        .protection = m->prot,
        .path = (uint32_t)*paths,
        .flags = sole | (sole && image->rollback ? HIJACK_MAPPED_WRITTEN : 0),
    };
    memcpy(params->mapped_paths + *paths, image_map_path(image, m), size);
    *paths += size;
    return 0;
}

int mapped_check(struct image *image, struct starter_fds *fds, const char *policy)
{
    const char *holds = policy ? policy : image->params->policy;
    struct frame_looked now;
    size_t paths = 0;
    int result = 0;
    image->params->mapped_count = 0;
    if (image->params_size < sizeof *image->params)
        return 0; /* a program of an older gdb-hijack, which cannot be told */
    for (const struct image_map *m = image->maps; m < image->maps + image->map_count && !result;
         m++)
        if (is_candidate(image, m, holds) && !(result = check(image, fds, m, &now)))
            result = tell(image, m, &now, &paths);
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
