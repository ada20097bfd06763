/*
 * decoys.c - memory full of what locks that are held look like: its threads' ids among small
 * numbers; and word for word what such locks consist of. None of it is a lock; all of it must be as
 * it was.
 */
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tests/targets/target.h"

#define WORDS   (1 << 20)
#define THREADS 3

static volatile int over;
static volatile uint32_t ids[THREADS + 1];
static uint32_t *memory;

static void *live(void *id)
{
    *(volatile uint32_t *)id = (uint32_t)syscall(SYS_gettid);
    while (!over)
        rest(5);
    return NULL;
}

/* One of eight words, most of which stand in a lock, too. */
static uint32_t word(const uint32_t *known, uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    const uint32_t choice[8] = {0, 1, 2, 3, known[*state >> 40 & THREADS], 7, 255, 4096};
    return choice[*state >> 61];
}

#define TWINS 300
static struct twin {
    pthread_mutex_t recursive, checked;
    pthread_rwlock_t lock;
} * twins;

/* Bytes of locks, each of which somebody holds. */
static void make_twin(struct twin *twin, int who)
{
    struct twin real;
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&real.recursive, &kind);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&real.checked, &kind);
    pthread_rwlock_init(&real.lock, NULL);
    pthread_mutex_lock(&real.recursive);
    pthread_mutex_lock(&real.checked);
    pthread_rwlock_wrlock(&real.lock);
    *twin = real;
    for (size_t i = 0; i < sizeof *twin / 4; i++)
        if (((uint32_t *)twin)[i] == (uint32_t)getpid())
            ((uint32_t *)twin)[i] = ids[who];
    pthread_mutex_unlock(&real.recursive);
    pthread_mutex_unlock(&real.checked);
    pthread_rwlock_unlock(&real.lock);
}

/* Without an id in it: what is kept of the twins to compare them with. */
static uint64_t sum_of_twins(void)
{
    uint64_t sum = 1;
    for (size_t i = 0; i < TWINS * sizeof *twins / 4; i++)
        sum = sum * 6364136223846793005u + ((uint32_t *)twins)[i];
    return sum;
}

static long differing(const uint32_t *known, int fill)
{
    uint64_t state = 1;
    long differ = 0;
    for (long i = 0; i < WORDS; i++) {
        uint32_t wanted = word(known, &state);
        if (fill)
            memory[i] = wanted;
        differ += memory[i] != wanted;
    }
    return differ;
}

int main(void)
{
    pthread_t thread[THREADS];
    uint32_t known[THREADS + 1], secret[THREADS + 1]; /* the latter looks like no id */

    memory = mmap(NULL, WORDS * sizeof *memory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                  -1, 0);
    ids[THREADS] = (uint32_t)getpid();
    for (long n = 0; n < THREADS; n++)
        if (memory == MAP_FAILED || pthread_create(&thread[n], NULL, live, (void *)&ids[n]))
            cannot("a thread");
    for (int n = 0; n <= THREADS; n++) {
        while (!ids[n])
            rest(1);
        known[n] = ids[n];
        secret[n] = ~ids[n];
    }
    differing(known, 1);
    twins = malloc(TWINS * sizeof *twins);
    for (int n = 0; n < TWINS; n++)
        make_twin(&twins[n], n % (THREADS + 1));
    uint64_t sum = sum_of_twins();
    ready();
    do
        rest(5);
    while (!stop_asked());
    over = 1;
    for (int n = 0; n < THREADS; n++)
        pthread_join(thread[n], NULL);
    for (int n = 0; n <= THREADS; n++)
        known[n] = ~secret[n];
    long differ = differing(known, 0);
    CHECK(!differ, "%ld of %d words are others", differ, WORDS);
    CHECK(sum_of_twins() == sum, "what only looked like held locks was changed");
    return finish();
}
