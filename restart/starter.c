/* starter.c - hijack-starter, what `gdb-hijack restart` executes: this process becomes the program
 * of an image. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <unistd.h>

#include "restart/starter.h"
#include "restart/starter_family.h"
#include "stubs/policy.h"

enum { REFUSED = 1, USAGE = 2, FAILED = 3 };

struct options {
    const char *named[256];
    size_t named_count;
    int rollback, accept_changed, accept_clocks, copy, away, remote, keep_ids, quiet, map;
    const char *socket;
    const char *image;
    char policy[HIJACK_PATH_MAX]; /* lines of stubs/policy.h */
};

static const char usage[] =
    "usage: gdb-hijack restart [--fd N=PATH]... [--rollback-files] [--accept-changed-files] "
    "[--accept-clocks] [--copy] [--keep-ids] [--away | --remote-io [--io PATTERN=WHAT]...] "
    "[--shadow SOCKET] "
    "[-q] IMAGE\n"
    "This process becomes the program of the image; its exit status is the program's.\n"
    "  --fd N=PATH             open PATH as descriptor N\n"
    "  --rollback-files        cut files that have grown since the image back to their old size\n"
    "  --accept-changed-files  take files as they are now\n"
    "      --accept-clocks     let CLOCK_MONOTONIC go back where this machine's is behind\n"
    "      --copy              although the program, or another copy of it, runs: with descriptors "
    "of "
    "its own\n"
    "      --away              this is another host: user, working directory and descriptors of "
    "the "
    "image are not here\n"
    "      --remote-io         the program runs here, its shadow at home does its input and "
    "output\n"
    "      --io PATTERN=WHAT   with --remote-io, of files that match: remote (each call is made at "
    "home), buffer (only this program uses them), local (of this host)\n"
    "      --shadow SOCKET     where the shadow listens, if not where it did\n"
    "      --keep-ids          the program and its threads have their old ids, in a pid "
    "namespace of their own; this process stays as its parent\n"
    "      --map               refused for now: memory mapped from the image would not behave as "
    "the "
    "program's own\n"
    "  -q, --quiet             no warnings\n"
    "      --help              this text\n";

/* -1: not understood, and said so. */
static int add_policy(struct options *o, const char *text)
{
    int error = policy_add(o->policy, sizeof o->policy, text);
    if (!error)
        return 0;
    if (error == -EINVAL)
        fprintf(
            stderr,
            "gdb-hijack: --io takes PATTERN=remote, PATTERN=buffer or PATTERN=local, not '%s'\n",
            text);
    else
        fputs("gdb-hijack: too many --io\n", stderr);
    return -1;
}

/* 0, or the exit status + 1 with which to end. */
static int parse(struct options *o, int argc, char **argv)
{
    const struct option longs[] = {{"fd", 1, NULL, 'f'},
                                   {"rollback-files", 0, &o->rollback, 1},
                                   {"accept-changed-files", 0, &o->accept_changed, 1},
                                   {"accept-clocks", 0, &o->accept_clocks, 1},
                                   {"copy", 0, &o->copy, 1},
                                   {"away", 0, &o->away, 1},
                                   {"remote-io", 0, &o->remote, 1},
                                   {"io", 1, NULL, 'p'},
                                   {"shadow", 1, NULL, 's'},
                                   {"keep-ids", 0, &o->keep_ids, 1},
                                   {"map", 0, &o->map, 1},
                                   {"quiet", 0, NULL, 'q'},
                                   {"help", 0, NULL, 'h'},
                                   {0}};
    for (int c; (c = getopt_long(argc, argv, "q", longs, NULL)) != -1;) {
        if (c == 'f' && o->named_count < 256)
            o->named[o->named_count++] = optarg;
        else if (c == 'p' && add_policy(o, optarg))
            return USAGE + 1;
        else if (c == 's')
            o->socket = optarg;
        else if (c == 'q')
            o->quiet = 1;
        else if (c && c != 'p')
            return fputs(usage, c == 'h' ? stdout : stderr), c == 'h' ? 1 : USAGE + 1;
    }
    if (optind + 1 != argc || (o->away && (o->remote || o->socket)) || (!o->remote && *o->policy))
        return fputs(usage, stderr), USAGE + 1;
    if (o->remote && o->copy)
        return fputs(
                   "gdb-hijack: a copy begins at home, with a shadow of its own; to have it here: "
                   "there, gdb-hijack restart --copy IMAGE, then gdb-hijack checkpoint --exit of "
                   "that one, then here gdb-hijack restart --remote-io of its image\n",
                   stderr),
               USAGE + 1;
    o->image = argv[optind];
    return 0;
}

static int complain(const struct image *image, int status)
{
    dprintf(image->errors, "gdb-hijack: %s\n", image->error);
    return status;
}

static void warn(const struct image *image, const char *text)
{
    if (*text)
        dprintf(image->errors, "gdb-hijack: %s\n", text);
}

/* A private mapping of the image is not anonymous memory: MADV_DONTNEED brings its old bytes back
 * where allocators rely on zeros, MADV_FREE fails, mremap() grows it into what follows in the
 * image, or into SIGBUS. userfaultfd would keep memory anonymous, but for an ordinary user it
 * serves only faults of user mode (a read(2) into memory not yet filled returns EFAULT), and when
 * whoever fills it is killed the rest reads as zeros, without a word. So there is no way that is
 * right for every program. */
static int refuse_map(struct image *image)
{
    return image_fail(image, -ENOTSUP,
                      "--map is refused: memory mapped from '%s' would not behave as the program's "
                      "own (madvise, mremap); without --map it is read in, at the speed of a copy",
                      image->path);
}

/* The program itself follows the policy. */
static int check_policy(struct image *image, const struct options *o)
{
    if (!*o->policy || image->params_size >= offsetof(struct hijack_params, mapped_count))
        return 0;
    return image_fail(image, -ENOTSUP,
                      "'%s' was made by an older gdb-hijack, whose programs cannot be told --io",
                      image->path);
}

/* All that can be found out, and all memory, without touching anything outside this process. */
static int prepare(struct image *image, const struct starter_fds_options *o,
                   struct starter_fds **fds)
{
    int result;
    if ((result = starter_check(image)) || (result = process_check(image)))
        return result;
    if (!image->accept_clocks && (result = clocks_check(image)))
        return result;
    if ((result = starter_fds_check(o, image->fds, image->fds_size, fds, image->error,
                                    sizeof image->error)))
        return result;
    if (o->remote && (result = mapped_check(image, *fds, o->policy)))
        return result;
    if ((result = memory_reserve(image)) || (result = memory_map(image)))
        return result;
    result = memory_read(image);
    return result ? result : vdso_check(image);
}

static int restart(struct image *image, const struct options *o)
{
    static struct starter_fds_session session;
    struct starter_fds *fds = NULL;
    char shadow[PATH_MAX];
    int *kept[3] = {&image->fd};
    struct starter_fds_options fo = {.named = o->named,
                                     .named_count = o->named_count,
                                     .rollback = o->rollback,
                                     .accept_changed = o->accept_changed,
                                     .copy = o->copy,
                                     .away = o->away,
                                     .remote = o->remote,
                                     .policy = *o->policy ? o->policy : NULL,
                                     .socket = o->socket,
                                     .process = image->process,
                                     .shadow = shadow,
                                     .params = image->params,
                                     .keep = kept,
                                     .keep_count = 1};
    if (image->params_size < sizeof *image->params)
        *image->params->policy = '\0'; /* was that of an earlier restart alone */
    image->accept_changed = o->accept_changed;
    image->accept_clocks = o->accept_clocks;
    image->rollback = o->rollback;
    image->away = o->away || o->remote;
    if (image->family.ids) {
        fo.parent = &image->family.parent, fo.foreground = &image->family.foreground;
        kept[fo.keep_count++] = &image->family.parent;
    }
    if (o->remote) { /* all descriptors below will be closed */
        image->errors = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        kept[fo.keep_count++] = &image->errors;
    }
    if (starter_companion(image, "hijack-shadow", shadow, sizeof shadow) ||
        prepare(image, &fo, &fds))
        return complain(image, REFUSED);
    if (starter_fds_take(fds, &session, image->error, sizeof image->error))
        return complain(image, FAILED);
    if (!o->quiet)
        warn(image, session.warning), warn(image, image->warning);
    if (image->shift.user && !o->remote && !o->quiet)
        warn(image, "the program's clocks are ahead of this machine's and are shifted, in a user "
                    "namespace of its own: files of other users and groups look like nobody's "
                    "there");
    if (process_apply(image) == 0 && clocks_shift(image) == 0) {
        files_put_back(image);
        plan_go(image, &session);
    }
    return complain(image, FAILED);
}

/* Without address randomisation (setarch -R, gdb) the kernel hands out memory from right below its
 * own idea of the stack: around the stack of a program that was started with it, which could then
 * no longer grow. The program gets its own personality back in the end. */
static void randomize(char **argv)
{
    int now = personality(0xffffffff);
    if (now < 0 || !(now & ADDR_NO_RANDOMIZE))
        return;
    personality((unsigned)now & ~(unsigned)ADDR_NO_RANDOMIZE);
    if (!(personality(0xffffffff) & ADDR_NO_RANDOMIZE))
        execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
    randomize(argv);
    static struct image image;
    struct options o = {0};
    int end = parse(&o, argc, argv);
    if (end)
        return end - 1;
    if (image_open(&image, o.image) || (o.map && refuse_map(&image)) || check_policy(&image, &o))
        return complain(&image, REFUSED);
    if (o.keep_ids && family_make(&image))
        return complain(&image, REFUSED);
    return restart(&image, &o);
}
