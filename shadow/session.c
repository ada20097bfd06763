/* session.c - the application's life as its shadow sees it (the states of shadow.h). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shadow/kept.h"
#include "shadow/control.h"

#define EXITING 0x4 /* PF_EXITING of the kernel's sched.h */

struct stat_fields {
    uint64_t start_time;
    unsigned long flags;
    char name[16];
};

/* Fields 9 and 22 of /proc/PID/stat; the name before them may hold anything but ends at the last
 * parenthesis. */
static int read_stat(pid_t pid, struct stat_fields *out)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    text[size > 0 ? size : 0] = 0;
    char *open_at = strchr(text, '('), *close_at = strrchr(text, ')');
    if (!open_at || !close_at)
        return -ESRCH;
    *close_at = 0;
    snprintf(out->name, sizeof out->name, "%s", open_at + 1);
    char *field = close_at + 1; /* before field 3 */
    for (int i = 3; i < 22 && field; i++) {
        field = strchr(field + 1, ' ');
        if (i == 8 && field)
            out->flags = strtoul(field, NULL, 10);
    }
    if (!field)
        return -ESRCH;
    out->start_time = control_start_time(strtoull(field, NULL, 10));
    return 0;
}

/* A process closes its descriptors a moment before its pidfd tells that it has ended. */
static bool is_ending(pid_t pid)
{
    struct stat_fields fields;
    return read_stat(pid, &fields) || fields.flags & EXITING;
}

int session_identify(pid_t pid, uint64_t *start_time, char name[16])
{
    struct stat_fields found;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        return -errno;
    int error = read_stat(pid, &found);
    if (error || (*start_time && *start_time != found.start_time)) {
        close(pidfd);
        return error ? error : -ESRCH;
    }
    *start_time = found.start_time;
    memcpy(name, found.name, sizeof found.name);
    return pidfd;
}

/* The last number of its NSpid. */
pid_t session_innermost(pid_t pid)
{
    char path[64], line[512];
    pid_t last = pid;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *status = fopen(path, "re");
    while (status && fgets(line, sizeof line, status))
        if (!strncmp(line, "NSpid:", 6))
            last = (pid_t)strtol(strrchr(line, '\t'), NULL, 10);
    if (status)
        fclose(status);
    return last;
}

/* A program may rename itself, and a restarted one still had the starter's name when it was
 * adopted. */
void session_name(struct shadow *s)
{
    struct stat_fields fields;
    if (s->application >= 0 && read_stat(s->start.pid, &fields) == 0)
        memcpy(s->name, fields.name, sizeof s->name);
}

static void forward_report(struct shadow *s, const struct frame_report *report)
{
    if (s->requester)
        peer_tell(s, s->requester, FRAME_REPORT, report, sizeof *report);
    s->requester = NULL;
    s->request_state = REQUEST_NONE;
    s->reported = false;
}

static void report_failure(struct shadow *s, int error, const char *step, const char *text)
{
    static struct frame_report report;
    report = (struct frame_report){.error = error};
    snprintf(report.step, sizeof report.step, "%s", step);
    snprintf(report.text, sizeof report.text, "%s", text);
    forward_report(s, &report);
}

static void remember_image(struct shadow *s, const struct frame_report *report)
{
    if (s->image_count == FRAME_IMAGES)
        memmove(s->images, s->images + 1, --s->image_count * sizeof *s->images);
    struct frame_image *image = &s->images[s->image_count++];
    *image = (struct frame_image){.time = time(NULL), .bytes = report->bytes};
    snprintf(image->path, sizeof image->path, "%s", report->path);
}

/* The program's word on a checkpoint. When it leaves, the tool hears of it once the program has
 * ended and its record locks are taken again. */
void session_report(struct shadow *s, const struct frame_report *report)
{
    if (!report->error && *report->path)
        remember_image(s, report);
    if (report->error)
        hold_drop(&s->offered);
    kept_settle(s, !report->error && !report->left && remote_alive(s));
    if (s->state == SHADOW_LEAVING && !report->error && report->left) {
        s->report = *report;
        s->reported = true;
        return;
    }
    if (s->state == SHADOW_LEAVING) {
        hold_drop(&s->held);
        s->remote.left = (struct frame_offer){0};
        s->state = SHADOW_HOME;
    }
    /* A checkpoint by a raw signal that was under way already is not the one that a tool waits for.
     */
    if (s->request_state != REQUEST_PENDING)
        forward_report(s, report);
}

/* The program has ended. A shadow that holds nothing for the restart, because all was the
 * terminal's, is of no more use: the restart makes its own. */
static void left(struct shadow *s)
{
    s->state = SHADOW_HELD;
    s->end = s->held.count == 0 && !remote_alive(s);
    kept_drop(s);
    hold_lock(&s->held);
    if (!s->reported)
        return;
    if (s->held.lost_locks)
        snprintf(s->report.text, sizeof s->report.text,
                 "%u record locks went to another process when the program ended",
                 s->held.lost_locks);
    forward_report(s, &s->report);
}

void session_application_ended(struct shadow *s)
{
    close(s->application);
    s->application = -1;
    if (s->state == SHADOW_LEAVING)
        left(s);
    else if (kept_outlive(s)) {
        remote_end(s);
        s->state = SHADOW_HELD;
    } else
        s->end = true;
    if (s->request_state != REQUEST_NONE)
        report_failure(s, -ESRCH, "checkpoint",
                       "the process ended before the checkpoint was taken");
}

/* It may have had others than we at our start. */
void session_limits(struct shadow *s)
{
    pid_t pid = s->application >= 0 ? s->start.pid : 0;
    if (pid == 0 && s->files.rlim_max)
        return; /* what it left with */
    if (prlimit(pid, RLIMIT_NOFILE, NULL, &s->files) < 0)
        getrlimit(RLIMIT_NOFILE, &s->files);
    if (prlimit(pid, RLIMIT_FSIZE, NULL, &s->size) < 0)
        getrlimit(RLIMIT_FSIZE, &s->size);
}

/* The starter is gone without a word: all is held as before. */
static void come_to_nothing(struct shadow *s)
{
    s->adopter = NULL;
    s->goes_on = false;
    s->state = SHADOW_HELD;
    if (s->held.image)
        remote_end(s); /* it began with copies of what is held */
    else
        remote_lock(s, true);
    hold_lock(&s->held);
}

/* The program was to leave, but did not hear in time that we knew: it goes on. */
static void stays(struct shadow *s)
{
    static struct frame_report report;
    report = (struct frame_report){.error = -ETIMEDOUT, .step = "leave"};
    snprintf(report.text, sizeof report.text,
             "the image is complete, but the shadow was too slow to take over");
    session_report(s, &report);
}

void session_peer_gone(struct shadow *s, struct peer *p)
{
    if (p == s->requester) {
        s->requester = NULL;
        if (s->request_state == REQUEST_PENDING)
            s->request_state = REQUEST_CANCELED;
    }
    if (p == s->remote.asker) {
        s->remote.asker = NULL;
        if (s->remote.asker_type == FRAME_REMOTE)
            remote_end(s); /* nobody would know that it has the descriptors */
    }
    if (p == s->remote.recaller) { /* it goes on as it was */
        s->remote.recaller = NULL;
        remote_lock(s, true);
    }
    if (p == s->giver) {
        hold_drop(&s->offered);
        s->giver = NULL;
    }
    if (p == s->taker && s->state == SHADOW_LEAVING && !is_ending(s->start.pid))
        stays(s);
    if (p == s->taker && s->request_state == REQUEST_TAKEN && !s->reported &&
        !is_ending(s->start.pid))
        report_failure(s, -EIO, "checkpoint",
                       "the process broke off the checkpoint without a report");
    s->taker = p == s->taker ? NULL : s->taker;
    if (p == s->adopter)
        come_to_nothing(s);
}

/* A restart with remote calls: the executor that the program left goes on, or one begins with what
 * is held. */
int session_remote(struct shadow *s, struct peer *p, const struct frame *f)
{
    s->away = f->header.length && ((const struct frame_remote *)f->payload)->away;
    if (remote_alive(s)) {
        s->goes_on = true;
        return 0;
    }
    hold_unlock(&s->held);
    return remote_start(s, p, f, &s->held);
}

int session_adopt(struct shadow *s, struct peer *p)
{
    if (s->state == SHADOW_RETURNING && s->adopter != p)
        return -EBUSY;
    if (s->state != SHADOW_HELD && s->state != SHADOW_RETURNING)
        return -ENOENT;
    if (p->pid <= 0)
        return -ESRCH; /* in a pid namespace that is not below ours: it could not be followed */
    s->adopter = p;
    s->state = SHADOW_RETURNING;
    if (!remote_alive(s))
        kept_revive(&s->held);
    return 0;
}

/* The program has taken its descriptors home and goes on there. */
static int session_home(struct shadow *s, struct peer *p, const struct frame *f)
{
    if (s->remote.recaller != p)
        return -EPROTO;
    s->remote.recaller = NULL;
    return remote_end_for(s, p, f);
}

/* Answered when nothing is held any more: what the program closes then is closed. */
int session_done(struct shadow *s, struct peer *p, const struct frame *f)
{
    uint64_t start_time = 0;
    if (p->role == FRAME_APPLICATION)
        return session_home(s, p, f);
    if (s->state != SHADOW_RETURNING || s->adopter != p)
        return -EPROTO;
    int pidfd = session_identify(p->pid, &start_time, s->name);
    if (pidfd < 0)
        return pidfd;
    bool began = s->held.image && remote_alive(s);
    hold_drop(&s->held);
    s->application = pidfd;
    s->start.pid = p->pid;
    s->start.start_time = start_time;
    s->own = session_innermost(p->pid);
    s->adopter = NULL;
    s->state = SHADOW_HOME;
    s->epoch++;
    bool remote = s->goes_on || began;
    s->goes_on = false;
    s->away = s->away && remote;
    if (!remote) /* the starter has its descriptors */
        return remote_end_for(s, p, f);
    remote_adopted(s);
    return 0;
}
