/*
 * starter_fds_shadow.c - the image's shadow: is it there, has it the descriptors, and getting them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "restart/starter_fds_plan.h"

/* --- is it there? --- */

/* One image is one program at a time. */
static void lives(struct starter_fds *f, int pid, const char *name)
{
    f->lives = true;
    snprintf(f->reason, sizeof f->reason,
             "the program lives: it is process %d (%s) where its shadow is; it was restarted "
             "already, or went on after this image",
             pid, name);
    f->no_shadow = f->reason;
}

/* The shadow has not this image's descriptors, or not for us: why? */
static void explain(struct starter_fds *f, struct control *c, int error)
{
    static struct control_status now;
    if (error == -ENOENT && !control_status(c, &now) && now.status.seen > 0)
        lives(f, now.status.seen, now.status.name);
    else if (error == -ENOENT)
        f->no_shadow = "its shadow keeps the descriptors of a newer image of it";
    else if (error == -EBUSY)
        f->no_shadow = "another restart of this image is under way";
    else if (error == -EAGAIN)
        f->no_shadow = "the program has not ended yet";
    f->lives = f->lives || error == -EBUSY || error == -EAGAIN;
}

static int ask_for_image(struct starter_fds *f, struct control *c)
{
    static struct control_frame reply;
    struct frame_offer asked = {.image = f->h->image};
    const struct frame_offer *offer = (const void *)reply.payload;
    int error = control_ask(c, FRAME_FETCH, &asked, sizeof asked, &reply);
    f->kept = !error && reply.header.length == sizeof *offer && offer->kept;
    if (error)
        explain(f, c, error);
    return error;
}

static bool try_socket(struct starter_fds *f, const char *path)
{
    struct control c;
    int error = control_open(&c, path, f->o.params->key);
    if (error == -EACCES)
        f->no_shadow = "the shadow there is another user's, or of another session";
    if (error)
        return false;
    f->key_in_use = true;
    if (f->o.copy)
        f->no_shadow = "a copy gets descriptors of its own (--copy)";
    if (f->o.copy || ask_for_image(f, &c)) {
        control_close(&c);
        return true;
    }
    f->shadow = c;
    f->shadow.fd = starter_fds_lift(f, c.fd);
    f->with_shadow = f->shadow.fd >= 0;
    return true;
}

/* The shadow listens where the image says, or, when directories have changed since, where a new one
 * would. */
static void look(struct starter_fds *f)
{
    char path[CONTROL_SOCKET], why[256];
    f->no_shadow = f->o.away ? "what is at home is out of reach (--away)" : "its shadow is gone";
    if (f->o.away) {
        f->key_in_use = true; /* perhaps: there */
        return;
    }
    if (try_socket(f, f->o.socket ? f->o.socket : f->o.params->socket) || f->o.socket)
        return;
    if (control_socket_path(geteuid(), getegid(), f->o.params->key, path, why, sizeof why) == 0)
        try_socket(f, path);
}

/* A shadow may have been killed, and its program goes on. */
static void look_for_program(struct starter_fds *f)
{
    struct control_process now;
    const struct hijack_params *then = f->o.params;
    if (!f->o.away && then->start_time && control_process(then->pid, &now) == 0 &&
        now.start_time == then->start_time)
        lives(f, then->pid, now.name);
}

/* Entries that were not kept are marked as in the shadow's own table, which has the same ones. */
static void merge(struct starter_fds *f, const struct fds_header *theirs)
{
    struct fds_entry *e = (struct fds_entry *)fds_entries(f->h);
    for (uint32_t i = 0; i < f->h->count; i++)
        e[i].flags |= fds_entries(theirs)[i].flags & FDS_GONE;
}

static int read_table(struct starter_fds *f, char *table, size_t size)
{
    static struct control_frame reply;
    for (size_t done = 0; done < size; done += reply.header.length) {
        uint32_t from = (uint32_t)done;
        int error = control_ask(&f->shadow, FRAME_PIECE, &from, sizeof from, &reply);
        if (error < 0 || !reply.header.length || reply.header.length > size - done)
            return error < 0 ? error : -EBADMSG;
        memcpy(table + done, reply.payload, reply.header.length);
    }
    const struct fds_header *theirs = (const void *)table;
    return fds_valid(table, size) && theirs->count == f->h->count ? 0 : -EBADMSG;
}

/* From here on nobody else can take what was kept. */
static int adopt_kept(struct starter_fds *f)
{
    char *table = malloc(f->size);
    int error = table ? control_ask(&f->shadow, FRAME_ADOPT, NULL, 0, NULL) : -ENOMEM;
    if (!error)
        error = read_table(f, table, f->size);
    if (!error)
        merge(f, (const void *)table);
    free(table);
    f->no_shadow = "its shadow has kept only its files, for the program went on after this image";
    return error ? starter_fds_fail(f, error, "cannot get the files that the shadow has kept: %s",
                                    strerror(-error))
                 : 0;
}

int starter_fds_find_shadow(struct starter_fds *f)
{
    look(f);
    if (!f->with_shadow && !f->lives)
        look_for_program(f);
    if (f->lives && !f->o.copy)
        return starter_fds_fail(f, -EBUSY, "%s%s", f->no_shadow,
                                f->o.remote
                                    ? ""
                                    : "; --copy starts a second one, with descriptors of its "
                                      "own");
    if ((f->o.remote || f->o.socket) && !f->with_shadow)
        return starter_fds_fail(f, -ENOLINK, "no shadow at '%s': %s",
                                f->o.socket ? f->o.socket : f->o.params->socket, f->no_shadow);
    return f->kept ? adopt_kept(f) : 0;
}

/* --- its descriptors --- */

/* Puts one batch from the shadow where the next travelling entries expect it. */
static int place_batch(struct starter_fds *f, const int *fds, uint32_t count, uint32_t *index)
{
    int error = 0;
    for (uint32_t i = 0; i < count; i++) {
        while (!fds_travels(entry_at(f, *index)))
            ++*index;
        struct plan *p = &f->plans[(*index)++];
        int fd = starter_fds_lift(f, fds[i]);
        if (fd < 0)
            error = fd;
        else if (p->source == FROM_SHADOW)
            p->made = fd;
        else
            close(fd); /* shares another entry's, or --fd names something else */
    }
    return error;
}

int starter_fds_fetch(struct starter_fds *f)
{
    int fds[FRAME_BATCH];
    uint32_t total = 0, index = 0;
    for (uint32_t i = 0; i < f->h->count; i++)
        total += (uint32_t)fds_travels(entry_at(f, i));
    int error = control_ask(&f->shadow, FRAME_ADOPT, NULL, 0, NULL);
    for (struct frame_batch batch = {0, 0}; !error && batch.first < total;
         batch.first += batch.count) {
        uint32_t got;
        batch.count = total - batch.first < FRAME_BATCH ? total - batch.first : FRAME_BATCH;
        error = control_ask_descriptors(&f->shadow, &batch, fds, &got);
        if (error >= 0)
            error = got == batch.count ? place_batch(f, fds, got, &index) : -EBADMSG;
    }
    return error ? starter_fds_fail(f, error, "cannot get the descriptors from the shadow: %s",
                                    strerror(-error))
                 : 0;
}
