/*
 * preload.c - makes a program checkpointable without the mutator: a constructor that loads the
 * agent named in HIJACK_LIB and starts it, with images in HIJACK_DIR, the signal HIJACK_SIGNAL (63)
 * and no shadow.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stubs/agent.h"

static uint64_t start_time(void)
{
    char text[2048];
    unsigned long long time = 0;
    FILE *f = fopen("/proc/self/stat", "re");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = '\0';
    char *end = strrchr(text, ')');
    if (end)
        sscanf(end + 2,
               "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
               &time);
    return time;
}

static void fill(struct hijack_params *p)
{
    const ptrdiff_t *offset = dlsym(RTLD_DEFAULT, "__rseq_offset");
    const unsigned *size = dlsym(RTLD_DEFAULT, "__rseq_size");
    const char *directory = getenv("HIJACK_DIR"), *signal = getenv("HIJACK_SIGNAL");
    p->version = HIJACK_AGENT_VERSION;
    p->size = sizeof *p;
    p->signal = signal ? atoi(signal) : 63;
    p->pid = getpid();
    p->start_time = start_time();
    p->rseq_offset = offset ? *offset : 0;
    p->rseq_size = size && *size ? 32 : 0;
    p->rseq_signature = 0x53053053;
    snprintf(p->directory, sizeof p->directory, "%s", directory ? directory : "/tmp");
}

/* Children (a shell's commands) are left alone: HIJACK_LIB goes once it has been used. */
__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("HIJACK_LIB");
    void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    struct hijack_params *params = library ? dlsym(library, "hijack_params") : NULL;
    long (*hijack)(void) = library ? (long (*)(void))dlsym(library, "hijack_start") : NULL;
    if (!path)
        return;
    if (!params || !hijack) {
        fprintf(stderr, "preload: cannot use '%s': %s\n", path, dlerror());
        _exit(125);
    }
    fill(params);
    unsetenv("HIJACK_LIB");
    if (hijack() < 0)
        _exit(125);
}
