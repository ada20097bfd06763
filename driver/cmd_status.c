/*
 * cmd_status.c - `gdb-hijack status [PID]`: what is hijacked here, as the shadows tell it; and the
 * hijacked processes that have none any more, as their mappings tell.
 */
#include <argp.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "driver/agent.h"
#include "driver/commands.h"
#include "driver/options.h"
#include "driver/proc.h"
#include "shadow/control.h"

#define SCHEMA 1
#define KNOWN  4096 /* processes with a shadow, remembered while the others are looked for */

struct arguments {
    pid_t pid; /* 0: all */
    bool json;
};

/* The listing under way. */
struct listing {
    const struct arguments *a;
    int count;
    pid_t known[KNOWN];
    int known_count;
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 'j':
        a->json = true;
        return 0;
    case ARGP_KEY_ARG:
        a->pid = option_pid(state, argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* --- text --- */

static void print_images(const struct control_status *s)
{
    for (uint32_t i = 0; i < s->status.images; i++) {
        const struct frame_image *image = &s->images[i];
        char when[32] = "?";
        time_t seconds = (time_t)image->time;
        struct tm local;
        if (localtime_r(&seconds, &local))
            strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &local);
        printf("  image   %s  %s (%llu bytes)\n", when, image->path,
               (unsigned long long)image->bytes);
    }
}

/* "12 threads, "; "" for one. */
static const char *threads_of(pid_t pid)
{
    static char text[32];
    struct proc_info info;
    struct failure ignored;
    *text = '\0';
    if (proc_read(pid, &info, &ignored) == 0 && info.threads > 1)
        snprintf(text, sizeof text, "%d threads, ", info.threads);
    return text;
}

/* `pid` and `shadow` are the numbers that we see; shadow 0: none, it is on another host. */
static void print_text(const struct control_status *s, pid_t pid, pid_t shadow)
{
    const struct frame_status *st = &s->status;
    if (st->pid && shadow)
        printf("process %d (%s) is hijacked: %sshadow %d, signal %d takes a checkpoint\n", (int)pid,
               st->name, threads_of(pid), (int)shadow, st->signal);
    else if (st->pid)
        printf("process %d (%s) is hijacked: %sits shadow at home, signal %d takes a checkpoint\n",
               (int)pid, st->name, threads_of(pid), st->signal);
    else
        printf("%s has ended with an image; its shadow %d keeps %u descriptors for the restart "
               "(kill %d drops them)\n",
               st->name, (int)shadow, st->held, (int)shadow);
    if (st->lost_locks)
        printf("  locks   %u record locks went to another process\n", st->lost_locks);
    if (st->pid && st->away && shadow)
        printf("  away    its namespaces or user are not the shadow's; there it is process %d\n",
               st->pid);
    if (st->remote)
        printf("  remote  the shadow makes its system calls: %llu so far, of %u threads\n",
               (unsigned long long)st->calls, st->channels);
    if (st->refused)
        printf("  refused %u connections to the shadow, the last one: %s\n", st->refused,
               frame_error(st->last_error));
    print_images(s);
}

/* --- JSON --- */

static void print_json(const struct control_status *s, pid_t pid, const struct control *c)
{
    static char text[6 * FRAME_PATH];
    const struct frame_status *st = &s->status;
    printf("{\"pid\": %d, \"own_pid\": %d, \"away\": %s, \"name\": %s", (int)pid, st->pid,
           st->away ? "true" : "false", control_json(text, sizeof text, st->name));
    printf(", \"shadow\": %d, \"socket\": %s, \"signal\": %d, \"start_time\": %llu", (int)c->shadow,
           control_json(text, sizeof text, c->socket), st->signal,
           (unsigned long long)st->start_time);
    printf(", \"directory\": %s", control_json(text, sizeof text, st->directory));
    printf(", \"restarts\": %u, \"held\": %u, \"lost_locks\": %u", st->epoch, st->held,
           st->lost_locks);
    printf(", \"remote\": %s, \"calls\": %llu, \"channels\": %u", st->remote ? "true" : "false",
           (unsigned long long)st->calls, st->channels);
    printf(", \"refused\": %u, \"last_refusal\": %s, \"images\": [", st->refused,
           st->refused ? control_json(text, sizeof text, frame_error(st->last_error)) : "null");
    for (uint32_t i = 0; i < st->images; i++)
        printf("%s{\"path\": %s, \"time\": %lld, \"bytes\": %llu}", i ? ", " : "",
               control_json(text, sizeof text, s->images[i].path), (long long)s->images[i].time,
               (unsigned long long)s->images[i].bytes);
    printf("]}");
}

/* --- the listing --- */

static void separate(struct listing *l)
{
    if (l->a->json)
        printf(l->count ? ",\n  " : "\n  ");
    l->count++;
}

static void show_as(struct listing *l, pid_t pid, const struct control *c,
                    const struct control_status *s)
{
    separate(l);
    if (l->a->json)
        print_json(s, pid, c);
    else
        print_text(s, pid, c->shadow);
}

static int show(void *context, struct control *c, const struct control_status *s)
{
    struct listing *l = context;
    if (l->a->pid && !control_is_of(&s->status, l->a->pid))
        return 0;
    if (l->known_count < KNOWN)
        l->known[l->known_count++] = s->status.seen;
    show_as(l, s->status.seen, c, s);
    return 0;
}

static void show_orphan(struct listing *l, pid_t pid)
{
    static struct control_status status;
    struct control c;
    struct control_process process;
    char text[128];
    for (int i = 0; i < l->known_count; i++)
        if (l->known[i] == pid)
            return;
    if (!control_has_agent(pid) || control_process(pid, &process))
        return;
    /* In another runtime directory than ours, or on another host, which numbers us otherwise. */
    if (agent_find_shadow(pid, &c, &status) == 0) {
        show_as(l, pid, &c, &status);
        control_close(&c);
        return;
    }
    separate(l);
    if (l->a->json)
        printf("{\"pid\": %d, \"name\": %s, \"shadow\": null}", (int)pid,
               control_json(text, sizeof text, process.name));
    else
        printf("process %d (%s) is hijacked, but its shadow is gone: a raw signal still takes a "
               "checkpoint; release and "
               "hijack it again to get one\n",
               (int)pid, process.name);
}

static void show_orphans(struct listing *l)
{
    struct dirent *entry;
    DIR *proc = l->a->pid ? NULL : opendir("/proc");
    if (l->a->pid)
        show_orphan(l, l->a->pid);
    while (proc && (entry = readdir(proc)))
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
            show_orphan(l, (pid_t)atoi(entry->d_name));
    if (proc)
        closedir(proc);
}

static int run(const struct arguments *a)
{
    static struct listing l;
    struct control_process process;
    l.a = a;
    if (a->pid && control_process(a->pid, &process)) {
        fprintf(stderr, "gdb-hijack: there is no process %d\n", (int)a->pid);
        return 1;
    }
    if (a->json)
        printf("{\"schema\": %d, \"command\": \"status\", \"processes\": [", SCHEMA);
    control_each(geteuid() == 0 ? (uid_t)-1 : geteuid(), show, &l);
    show_orphans(&l);
    if (a->json)
        printf("%s]}\n", l.count ? "\n" : "");
    if (!l.count && a->pid && proc_ended(a->pid, process.start_time))
        fprintf(stderr, "gdb-hijack: process %d has ended\n", (int)a->pid);
    else if (!l.count && a->pid)
        fprintf(stderr, "gdb-hijack: process %d is not hijacked\n", (int)a->pid);
    else if (!l.count)
        fprintf(stderr, "gdb-hijack: nothing is hijacked here\n");
    return !l.count && a->pid ? 1 : 0;
}

int cmd_status(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"json", 'j', NULL, 0, "print the result as JSON", 0}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "[PID]",
        .doc = "Shows what is hijacked here: process, shadow, signal, images."};
    struct arguments a = {0};
    argp_err_exit_status = EXIT_USAGE;
    return argp_parse(&argp, argc, argv, 0, NULL, &a) ? EXIT_USAGE : run(&a);
}
