/*
 * storm.c - threads are created and end all the time; each must run once, to its end, with a stack
 * and thread-local storage of its own.
 *
 * Usage: storm [MAKERS]. Each maker (default 2) makes a few threads, joinable and detached by
 * turns, and waits for them. $STOP ends it.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "tests/targets/target.h"

#define BATCH 4

static volatile int stopping;
static atomic_long made, run_joined, run_detached;
static __thread unsigned long own[64];

struct work {
    unsigned long seed;
    sem_t *done; /* of a detached thread */
};

static unsigned long mix(unsigned long x)
{
    return x * 6364136223846793005UL + 1442695040888963407UL;
}

/* Fills its stack and thread-local storage from the seed, and finds it there again. */
static void check_own(unsigned long seed)
{
    unsigned long stack[512], x = seed;

    for (size_t i = 0; i < 512; i++)
        stack[i] = own[i % 64] = x = mix(x);
    __asm__ volatile("" : : "r"(stack) : "memory");
    x = seed;
    for (size_t i = 0; i < 512; i++) {
        x = mix(x);
        CHECK(stack[i] == x, "word %zu of a thread's stack", i);
        if (i >= 448) /* the last values of all */
            CHECK(own[i % 64] == x, "word %zu of a thread's own storage", i % 64);
    }
}

static void *work(void *argument)
{
    struct work *w = argument;

    check_own(w->seed);
    atomic_fetch_add(w->done ? &run_detached : &run_joined, 1);
    if (w->done)
        sem_post(w->done);
    return w;
}

static void start(struct work *w, pthread_t *thread)
{
    pthread_attr_t attributes;
    int error;

    pthread_attr_init(&attributes);
    if (w->done)
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    error = pthread_create(thread, &attributes, work, w);
    pthread_attr_destroy(&attributes);
    CHECK(!error, "pthread_create: %s", strerror(error));
    atomic_fetch_add(&made, 1);
}

static void end(const struct work *w, pthread_t thread)
{
    void *result = NULL;
    int error;

    if (w->done) {
        while (sem_wait(w->done))
            CHECK(errno == EINTR, "sem_wait: %s", strerror(errno));
        return;
    }
    error = pthread_join(thread, &result);
    CHECK(!error && result == w, "pthread_join: %s", strerror(error));
}

static void *make(void *argument)
{
    unsigned long seed = (unsigned long)argument;
    struct work w[BATCH];
    pthread_t threads[BATCH];
    sem_t done;

    sem_init(&done, 0, 0);
    while (!stopping && !differences) {
        for (size_t i = 0; i < BATCH; i++) {
            w[i] = (struct work){seed = mix(seed), i & 1 ? &done : NULL};
            start(&w[i], &threads[i]);
        }
        for (size_t i = 0; i < BATCH; i++)
            end(&w[i], threads[i]);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? (size_t)atol(argv[1]) : 2;
    pthread_t *makers = calloc(count, sizeof *makers);

    for (size_t i = 0; i < count; i++)
        if (pthread_create(&makers[i], NULL, make, (void *)(i + 1)))
            cannot("pthread_create");
    ready();
    while (!stop_asked() && !differences)
        rest(5);
    stopping = 1;
    for (size_t i = 0; i < count; i++)
        pthread_join(makers[i], NULL);
    CHECK(made == run_joined + run_detached, "%ld threads made, %ld run", (long)made,
          (long)(run_joined + run_detached));
    fprintf(stderr, "%ld threads\n", (long)made);
    return finish();
}
