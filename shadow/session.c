/* session.c - the application's life as its shadow sees it (the states of shadow.h). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shadow/shadow.h"

/* Field 22 of /proc/PID/stat; the name before it may hold anything but ends at the last
 * parenthesis. */
static int read_stat(pid_t pid, uint64_t *start_time, char name[16])
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
    snprintf(name, 16, "%s", open_at + 1);
    char *field = close_at + 1; /* before field 3 */
    for (int i = 3; i < 22 && field; i++)
        field = strchr(field + 1, ' ');
    if (!field)
        return -ESRCH;
    *start_time = strtoull(field, NULL, 10);
    return 0;
}

int session_identify(pid_t pid, uint64_t *start_time, char name[16])
{
    uint64_t found;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        return -errno;
    int error = read_stat(pid, &found, name);
    if (error || (*start_time && *start_time != found)) {
        close(pidfd);
        return error ? error : -ESRCH;
    }
    *start_time = found;
    return pidfd;
}

static void forward_report(struct shadow *s, const struct frame_report *report)
{
    if (s->requester)
        serve_tell(s, s->requester, FRAME_REPORT, report, sizeof *report);
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
    if (!report->error)
        remember_image(s, report);
    if (s->state == SHADOW_LEAVING && !report->error && report->left) {
        s->report = *report;
        s->reported = true;
        return;
    }
    if (s->state == SHADOW_LEAVING) {
        hold_drop(&s->held);
        s->state = SHADOW_HOME;
    }
    forward_report(s, report);
}

static void left(struct shadow *s)
{
    s->state = SHADOW_HELD;
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
    else
        s->end = true;
    if (s->request_state != REQUEST_NONE)
        report_failure(s, -ESRCH, "checkpoint",
                       "the process ended before the checkpoint was taken");
}

void session_peer_gone(struct shadow *s, struct peer *p)
{
    if (p == s->requester) {
        s->requester = NULL;
        if (s->request_state == REQUEST_PENDING)
            s->request_state = REQUEST_CANCELED;
    }
    if (p == s->giver) {
        hold_drop(&s->offered);
        s->giver = NULL;
    }
    if (p->role == FRAME_APPLICATION && s->request_state == REQUEST_TAKEN && !s->reported)
        report_failure(s, -EIO, "checkpoint",
                       "the process broke off the checkpoint without a report");
    if (p == s->adopter) {
        s->adopter = NULL;
        s->state = SHADOW_HELD;
        hold_lock(&s->held);
    }
}

int session_adopt(struct shadow *s, struct peer *p)
{
    if (s->state == SHADOW_RETURNING && s->adopter != p)
        return -EBUSY;
    if (s->state != SHADOW_HELD && s->state != SHADOW_RETURNING)
        return -ENOENT;
    s->adopter = p;
    s->state = SHADOW_RETURNING;
    return 0;
}

int session_done(struct shadow *s, struct peer *p)
{
    uint64_t start_time = 0;
    if (s->state != SHADOW_RETURNING || s->adopter != p)
        return -EPROTO;
    int pidfd = session_identify(p->pid, &start_time, s->name);
    if (pidfd < 0)
        return pidfd;
    hold_drop(&s->held);
    s->application = pidfd;
    s->start.pid = p->pid;
    s->start.start_time = start_time;
    s->adopter = NULL;
    s->state = SHADOW_HOME;
    s->epoch++;
    return 0;
}
