/*
 * loading.c - threads that hold the allocator's or the loader's lock nearly all the time: whoever
 * calls dlopen here while they stand still waits for ever.
 *
 * Usage: loading [THREADS]. The workers (default 3) allocate, open, look up and close a library,
 * and check what they get; the first thread only watches for $STOP.
 */
#include <dlfcn.h>
#include <pthread.h>

#include "tests/targets/target.h"

static volatile int stopping;

static void load_and_call(void)
{
    void *handle = dlopen("libm.so.6", RTLD_NOW);
    double (*floor_of)(double) = handle ? (double (*)(double))dlsym(handle, "floor") : NULL;

    CHECK(floor_of && floor_of(4.5) == 4.0, "libm: %s", handle ? "no floor" : dlerror());
    if (handle)
        dlclose(handle);
}

static void *work(void *argument)
{
    for (size_t n = (size_t)argument; !stopping && !differences; n++) {
        size_t size = n * 37 % 5000 + 1;
        unsigned char *p = malloc(size);

        memset(p, (int)n, size);
        load_and_call();
        CHECK(p[size - 1] == (unsigned char)n, "allocated memory");
        free(p);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? (size_t)atol(argv[1]) : 3;
    pthread_t *threads = calloc(count, sizeof *threads);

    if (!dlopen("libm.so.6", RTLD_NOW)) /* stays, for tests that compare what is mapped */
        cannot("dlopen");
    for (size_t i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)i))
            cannot("pthread_create");
    ready();
    while (!stop_asked() && !differences)
        rest(5);
    stopping = 1;
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    return finish();
}
